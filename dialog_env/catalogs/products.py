"""Source `products`: the layout of the public "Fashion Product Images (Small)" data set."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dialog_env.catalogs.listing import Listing, share
from dialog_env.catalogs.photographs import Photographs

COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)
CATEGORICAL = ("gender", "articleType", "baseColour", "usage")
NEEDED = ("id", *CATEGORICAL, "masterCategory", "productDisplayName")
TRAIN_SHARE, VALIDATION_SHARE = 0.65, 0.08
BRAND_COUNT = 20
GENDER_WORD = re.compile(
    r"\b(?:men|women|man|woman|unisex|kids?|boys?|girls?|infants?|teens?)(?:['’]?s)?(?![\w'’])", re.IGNORECASE
)


@dataclass
class Products(Photographs):
    """`styles.csv` and `images/<id>.jpg` below a root.

    Categorical attributes are gender, articleType, baseColour, usage and brand; train, validation and test hold
    about 65, 8 and 27 % of the images, by a hash of the id.

    Args:
        category: keep only this masterCategory, such as "Footwear".
    """

    category: str = ""

    def listing(self) -> Listing:
        """Reads `styles.csv`; rows without an image file are skipped and counted.

        Raises:
            FileNotFoundError: no `styles.csv`.
            ValueError: a column is missing, a row has no id or too few fields, an id stands twice, or nothing is left.
        """
        rows = read_styles(self.root / "styles.csv")
        wanted = [row for row in rows if not self.category or row["masterCategory"] == self.category]
        if not wanted:
            known = ", ".join(sorted({row["masterCategory"] for row in rows}))
            raise ValueError(
                f"{self.root / 'styles.csv'} has no row of category {self.category!r}; choose one of {known}"
            )
        present = {path.name for path in (self.root / "images").glob("*.jpg")}
        kept = [row for row in wanted if f"{row['id']}.jpg" in present]
        brands = read_brands([row["productDisplayName"] for row in kept])
        return Listing(
            name=self.name or self.root.resolve().name,
            ids=[row["id"] for row in kept],
            files=[self.root / "images" / f"{row['id']}.jpg" for row in kept],
            splits=[split_of(row["id"]) for row in kept],
            columns={**{name: [row[name] for row in kept] for name in CATEGORICAL}, "brand": brands},
            skipped={"row without image": len(wanted) - len(kept), "other category": len(rows) - len(wanted)},
            provenance={"layout": "Fashion Product Images (Small)", "category": self.category or "all"},
        )


def split_of(identifier: str) -> str:
    """The split of an id: 65 % train, 8 % validation, 27 % test."""
    position = share(identifier)
    if position < TRAIN_SHARE:
        return "train"
    return "validation" if position < TRAIN_SHARE + VALIDATION_SHARE else "test"


def read_styles(path: Path) -> list[dict[str, str]]:
    """The rows of a `styles.csv`; unquoted commas in the last column, the name of the product, are put back.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a needed column is missing, a row has too few fields or no id, or an id stands twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; give the folder that holds styles.csv and images/ as root")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in NEEDED if name not in header]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}; its columns must be {', '.join(COLUMNS)}")
        rows: dict[str, dict[str, str]] = {}
        for fields in filter(None, reader):
            if len(fields) < len(header):
                raise ValueError(
                    f"{path} has {len(fields)} of {len(header)} fields in line {reader.line_num} "
                    f"({','.join(fields)[:60]!r}); mend or remove the line"
                )
            last = len(header) - 1
            values = [*fields[:last], ",".join(fields[last:])]
            row = dict(zip(header, map(str.strip, values), strict=True))
            if not row["id"]:
                raise ValueError(f"{path} has no id in line {reader.line_num}; give every row an id")
            if row["id"] in rows:
                raise ValueError(
                    f"{path} has the id {row['id']!r} twice, again in line {reader.line_num}; remove one row"
                )
            rows[row["id"]] = row
    if not rows:
        raise ValueError(f"{path} has no rows; give one row for each image")
    return list(rows.values())


def read_brands(display_names: list[str]) -> list[str]:
    """The brand of each product, "" where unknown: the words before "Men", "Women", … in its name.

    A brand counts when at least 20 products have it; a product whose name starts with a known brand has it too.
    """
    leading = []
    for name in display_names:
        found = GENDER_WORD.search(name)
        leading.append(name[: found.start()].strip() if found else "")
    counts = Counter(words.casefold() for words in leading if words)
    known = sorted((brand for brand, count in counts.items() if count >= BRAND_COUNT), key=len, reverse=True)
    spellings = {brand: Counter(w for w in leading if w.casefold() == brand).most_common(1)[0][0] for brand in known}
    brands = []
    for name in display_names:
        folded = f"{name.casefold()} "
        brands.append(next((spellings[brand] for brand in known if folded.startswith(f"{brand} ")), ""))
    return brands
