"""What a source of photographs has found before anybody looks at pixels."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.io.reading import some

T = TypeVar("T")

SPLIT_NAME = re.compile(r"[\w -]+")


@dataclass(frozen=True)
class Manifest:
    """Images by id and file, with their split and what is known of them in words.

    Args:
        name: the name of the catalogue.
        ids: N ids.
        files: N image files; none where there are descriptions.
        splits: the split of each image.
        columns: categorical attributes, N values each, "" where unknown.
        graded: graded attributes, N numbers each on a scale of their own, NaN where unknown.
        descriptions: N sentences, in place of pictures that are missing.
        skipped: how many entries were left out, by reason.
        notes: what may be a mistake in the source, a sentence each.
        provenance: what else is worth recording, JSON-able.

    Raises:
        ValueError: no image at all, an id twice, or lists of different lengths.
    """

    name: str
    ids: list[str]
    files: list[Path] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    graded: dict[str, list[float]] = field(default_factory=dict)
    descriptions: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError(
                f"source {self.name!r} found no image to take ({self.skipped} skipped); check its root and filters"
            )
        twice, count = Counter(self.ids).most_common(1)[0]
        if count > 1:
            raise ValueError(
                f"source {self.name!r} has the id {some([twice])!r} {count} times; give every image an id of its own"
            )
        for split in set(self.splits):
            if not SPLIT_NAME.fullmatch(split):
                raise ValueError(
                    f"source {self.name!r} has a split {split[:80]!r}; name splits by letters, digits, spaces, _ and -"
                )
        lists = [self.descriptions or self.files, self.splits, *self.columns.values(), *self.graded.values()]
        if set(map(len, lists)) != {len(self.ids)}:
            raise ValueError(f"source {self.name!r} gives lists of different lengths; give one entry for each image")

    def keep(self, positions: list[int], reason: str) -> Manifest:
        """The images at `positions`; the others are counted as skipped for `reason`."""
        dropped = len(self.ids) - len(positions)

        def kept(values: list[T]) -> list[T]:
            return [values[position] for position in positions] if values else values

        return replace(
            self,
            ids=kept(self.ids),
            files=kept(self.files),
            splits=kept(self.splits),
            columns={name: kept(values) for name, values in self.columns.items()},
            graded={name: kept(values) for name, values in self.graded.items()},
            descriptions=kept(self.descriptions),
            skipped={**self.skipped, reason: self.skipped.get(reason, 0) + dropped} if dropped else self.skipped,
        )

    def split_positions(self) -> dict[str, NDArray[np.int64]]:
        """Positions (n,) int64 of each split, train, validation and test first."""
        known = [name for name in ("train", "validation", "test") if name in self.splits]
        order = [*known, *sorted(set(self.splits) - set(known))]
        splits = np.array(self.splits)
        return {name: np.flatnonzero(splits == name).astype(np.int64) for name in order}

    def attribute_table(self, grades: dict[str, NDArray[np.float32]]) -> AttributeTable | None:
        """The columns as categorical attributes beside grades, (N,) each; values in alphabetical order.

        None where there are neither.
        """
        if not grades and not self.columns:
            return None
        values = {name: tuple(sorted(set(column) - {""})) for name, column in self.columns.items()}
        codes = [
            [position[value] if value else -1 for value in self.columns[name]]
            for name, listed in values.items()
            for position in [{value: code for code, value in enumerate(listed)}]
        ]
        graded = np.stack(list(grades.values()), axis=1) if grades else np.zeros((len(self.ids), 0), np.float32)
        return AttributeTable(
            graded_names=tuple(grades),
            graded=graded.astype(np.float32),
            categorical_names=tuple(values),
            values=tuple(values.values()),
            categorical=np.array(codes, dtype=np.int16).reshape(len(values), len(self.ids)).T,
        )


def share(identifier: str, salt: str = "") -> float:
    """A number in [0, 1) that depends on nothing but the id: what splits are cut by."""
    digest = hashlib.sha256(f"{salt}{identifier}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
