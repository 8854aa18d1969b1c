"""Source `folder`: any folder of pictures, with any table about them or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dialog_env.catalog.images import suffixes
from dialog_env.catalog.sources.manifest import Manifest
from dialog_env.catalog.sources.photographs import Photographs
from dialog_env.catalog.sources.products import split_of
from dialog_env.catalog.sources.table import Columns, check_name


@dataclass
class Folder(Columns, Photographs):
    """Every picture below a root, of any format that is read; its id is its path there without the suffix.

    Without a table the catalogue has no attributes. A table names pictures by id, by path, or by name where that is
    unique. Splits are cut by a hash of the id, 65, 8 and 27 %, unless a column names them.
    """

    measures: Literal["pixels", "none"] = field(default="none", kw_only=True)

    def manifest(self) -> Manifest:
        """Finds the pictures, and what the table says of them.

        Raises:
            FileNotFoundError: there is no such table.
            ValueError: no picture, two of one name, a name that cannot be one, or a table that does not fit.
        """
        files, others = find_pictures(self.root)
        known = self.known(names_of(files), len(files))
        ids = list(files)
        splits = known.splits or [""] * len(ids)
        return Manifest(
            name=self.name or self.root.resolve().name,
            ids=ids,
            files=list(files.values()),
            splits=[split or split_of(name) for name, split in zip(ids, splits, strict=True)],
            columns=known.attributes,
            graded=known.graded,
            skipped={"row without image": known.unused, "file that is no picture": others},
            notes=known.notes,
            provenance={"layout": "folder", "table": None if self.table is None else self.table.name},
        )


def find_pictures(root: Path) -> tuple[dict[str, Path], int]:
    """Picture files below a root by id, in the order of their paths, and how many other files there are.

    Files and folders whose names begin with a dot are passed over.

    Raises:
        ValueError: no picture, two of one name, or a name that cannot be one.
    """
    found: dict[str, Path] = {}
    others = 0
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        if any(part.startswith(".") for part in inner.parts) or not path.is_file():
            continue
        if path.suffix.casefold() not in suffixes():
            others += 1
            continue
        name = inner.with_suffix("").as_posix()
        check_name(name, str(root))
        if name in found:
            raise ValueError(f"{root} has two pictures of one name, {found[name]} and {path}; rename one")
        found[name] = path
    if not found:
        raise ValueError(
            f"{root} holds no picture ({others} other files); give a folder of pictures, such as JPEG or PNG files"
        )
    return found, others


def names_of(files: dict[str, Path]) -> dict[str, int]:
    """What a table may call pictures: their id, their path, and their name with or without suffix if it is unique."""
    names: dict[str, int] = {}
    short: dict[str, list[int]] = {}
    for position, (name, path) in enumerate(files.items()):
        names[name] = names[name + path.suffix] = position
        for called in {path.name, path.stem}:
            short.setdefault(called, []).append(position)
    unique = {called: positions[0] for called, positions in short.items() if len(positions) == 1}
    return {**unique, **names}
