"""Source `products`: the layout of the public "Fashion Product Images (Small)" data set."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from dialog_env.catalog.sources.manifest import Manifest, share
from dialog_env.catalog.sources.photographs import Photographs
from dialog_env.io.reading import read_text, some

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
VISIBLE_ATTRIBUTES = ("articleType", "baseColour", "usage", "bright in colour", "long on the leg")
TRAIN_SHARE, VALIDATION_SHARE = 0.65, 0.08
BRAND_COUNT = 20
GENDER_WORD = re.compile(
    r"\b(?:men|women|man|woman|unisex|kids?|boys?|girls?|infants?|teens?)(?:['’]?s)?(?![\w'’])", re.IGNORECASE
)


@dataclass
class Products(Photographs):
    """`styles.csv` and `images/<id>.jpg` below a root.

    Categorical attributes are gender, articleType, baseColour, usage and brand; train, validation and test hold
    about 65, 8 and 27 % of the images, by a hash of the id. Gender and brand cannot be seen, and so are by default not
    among the visible attributes, of which the describer speaks.

    Args:
        category: keep only this masterCategory, such as "Footwear".
    """

    category: str = ""
    visible: tuple[str, ...] = field(default=VISIBLE_ATTRIBUTES, kw_only=True)

    def manifest(self) -> Manifest:
        """Reads `styles.csv`; rows without a picture and pictures without a row are left out and counted.

        Raises:
            FileNotFoundError: no `styles.csv`.
            ValueError: it cannot be read without doubt, see `read_styles`, or nothing is left.
        """
        path = self.root / "styles.csv"
        rows, notes = read_styles(path)
        wanted = [row for row in rows if not self.category or row["masterCategory"] == self.category]
        if not wanted:
            known = sorted({row["masterCategory"] for row in rows})
            raise ValueError(f"{path} has no row of category {self.category!r}; choose one of {some(known, 50)}")
        present = {picture.name for picture in (self.root / "images").glob("*.jpg")}
        kept = [row for row in wanted if f"{row['id']}.jpg" in present]
        brands = read_brands([row["productDisplayName"] for row in kept])
        return Manifest(
            name=self.name or self.root.resolve().name,
            ids=[row["id"] for row in kept],
            files=[self.root / "images" / f"{row['id']}.jpg" for row in kept],
            splits=[split_of(row["id"]) for row in kept],
            columns={**{name: [row[name] for row in kept] for name in CATEGORICAL}, "brand": brands},
            skipped={
                "row without image": len(wanted) - len(kept),
                "image without row": len(present - {f"{row['id']}.jpg" for row in rows}),
                "other category": len(rows) - len(wanted),
            },
            notes=notes,
            provenance={"layout": "Fashion Product Images (Small)", "category": self.category or "all"},
        )


def split_of(identifier: str) -> str:
    """The split of an id: 65 % train, 8 % validation, 27 % test."""
    position = share(identifier)
    if position < TRAIN_SHARE:
        return "train"
    return "validation" if position < TRAIN_SHARE + VALIDATION_SHARE else "test"


def read_styles(path: Path) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    """The rows of a `styles.csv`, one a line, and a sentence for each thing about them that may be a mistake.

    A quote within a field is a character; one at its beginning must be closed at its end and on the same line.
    Commas beyond the last column belong to it: it is the name of the product, and the public data set does not quote
    it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a needed column is missing or one stands twice, a line has quotes that do not match, too few
            fields or no id, or an id stands twice.
    """
    remedy = "give the folder that holds styles.csv and images/ as root"
    text = read_text(path, "list of products", remedy).removeprefix("\ufeff")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    header = [name.strip() for name in _fields(lines[0], path, 1)]
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}; its columns must be {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise ValueError(f"{path} has a column twice ({some(header, 20)}); give every column a name of its own")
    rows: dict[str, dict[str, str]] = {}
    longer = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = _fields(line, path, number)
        if len(fields) < len(header):
            raise ValueError(
                f"{path} has {len(fields)} of {len(header)} fields in line {number} ({line[:60]!r}); "
                "mend or remove the line"
            )
        if len(fields) > len(header):
            longer.append(number)
        last = len(header) - 1
        values = [*fields[:last], ",".join(fields[last:])]
        row = dict(zip(header, map(str.strip, values), strict=True))
        if not row["id"]:
            raise ValueError(f"{path} has no id in line {number}; give every row an id")
        if row["id"] in rows:
            raise ValueError(f"{path} has the id {some([row['id']])!r} twice, again in line {number}; remove one row")
        rows[row["id"]] = row
    if not rows:
        raise ValueError(f"{path} has no rows; give one row for each image")
    notes = []
    if longer:
        notes.append(
            f"{path} has more fields than columns in {len(longer)} lines ({some(longer)}); the rest was read as part "
            f"of {some(header[-1:])}"
        )
    if lines[-1]:
        notes.append(f"{path} does not end with the end of a line; its last row may be cut off")
    return list(rows.values()), tuple(notes)


def _fields(line: str, path: Path, number: int) -> list[str]:
    """The fields of one line."""
    try:
        [fields] = csv.reader([line], strict=True) if line else [[]]
    except csv.Error as error:
        raise ValueError(
            f"{path} has a stray quote or another slip in line {number} ({error}: {line[:60]!r}); mend the line"
        ) from error
    return fields


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
