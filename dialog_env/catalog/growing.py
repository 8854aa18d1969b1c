"""Two catalogues in one: the images of a first, and others of the same feature space behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.contents import Contents
from dialog_env.catalog.images import EncodedImages, ImageSource
from dialog_env.catalog.space import other_space
from dialog_env.io.reading import some

UNKNOWN = -1


class Chain:
    """Arrays (or other sequences) with rows of one shape, end to end; rows are read where they are asked for."""

    def __init__(self, first: Any, second: Any) -> None:
        self._first, self._second = first, second

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all of it."""
        return (len(self), *self._first.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the rows."""
        return np.dtype(self._first.dtype)

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, rows: Any) -> Any:
        if not isinstance(rows, slice):
            return self._first[rows] if rows < len(self._first) else self._second[rows - len(self._first)]
        start, stop, _ = rows.indices(len(self))
        border = len(self._first)
        if stop <= border or start >= border:
            return self._first[start:stop] if stop <= border else self._second[start - border : stop - border]
        return np.concatenate([self._first[start:], self._second[: stop - border]])


def joined(first: Contents, second: Contents) -> Contents:
    """All images of `first`, and those of `second` behind them; see `Catalog.extended`."""
    what = f"catalogue {first.name!r}"
    if other_space(_space_id(first), _space_id(second)):
        raise ValueError(
            f"{what} lies in feature space {first.space} and what is to be added lies in {second.space}; embed the new "
            "images into the old space, as `dialog-retrieval catalog add` does"
        )
    if first.features.shape[1] != second.features.shape[1]:
        raise ValueError(
            f"{what} has features of {first.features.shape[1]} dimensions and what is to be added has "
            f"{second.features.shape[1]}; give features of the same encoder"
        )
    there = set(map(str, first.ids)) & set(map(str, second.ids))
    if there:
        raise ValueError(
            f"{what} has images {some(sorted(there), 3)} already ({len(there)} in all); leave them out, or give the "
            "new ones other ids"
        )
    size = len(first.ids)
    names = [*first.splits, *(name for name in second.splits if name not in first.splits)]
    none = np.zeros(0, np.int64)
    return Contents(
        name=first.name,
        ids=np.concatenate([first.ids, second.ids]),
        features=np.concatenate([np.asarray(each.features, first.features.dtype) for each in (first, second)]),
        regions=_regions(first, second),
        region_scale=first.region_scale,
        attributes=_attributes(first, second),
        splits={
            name: np.concatenate([first.splits.get(name, none), second.splits.get(name, none) + size]) for name in names
        },
        images=_images(first.images, second.images, what),
        provenance={**first.provenance, "added": [*first.provenance.get("added", []), second.provenance]},
        space=first.space or second.space,
    )


def _space_id(contents: Contents) -> str:
    return "" if contents.space is None else contents.space.id


def _regions(first: Contents, second: Contents) -> Any:
    if first.regions is None and second.regions is None:
        return None
    shapes = [
        None if each.regions is None else (*each.regions.shape[1:], each.region_scale) for each in (first, second)
    ]
    if shapes[0] != shapes[1] or first.regions.dtype != second.regions.dtype:
        raise ValueError(
            f"catalogue {first.name!r} has region features of shape and scale {shapes[0]} and what is to be added has "
            f"{shapes[1]}; give region features of the same encoder"
        )
    return Chain(first.regions, second.regions)


def _images(first: ImageSource | None, second: ImageSource | None, what: str) -> ImageSource | None:
    if first is None and second is None:
        return None
    if not isinstance(first, EncodedImages) or not isinstance(second, EncodedImages):
        raise ValueError(
            f"{what} and what is to be added must both have pictures, or both none, and drawn shoes cannot grow; "
            "build a larger catalogue"
        )
    return EncodedImages(Chain(first.encoded, second.encoded), first.size, first.where)


def _attributes(first: Contents, second: Contents) -> AttributeTable | None:
    """The attributes of both sides; values keep their codes, and new ones follow in alphabetical order."""
    if first.attributes is None and second.attributes is None:
        return None
    old, new = (_table(each) for each in (first, second))
    graded = _union(old.graded_names, new.graded_names)
    categorical = _union(old.categorical_names, new.categorical_names)
    values = [_union(_values(old, name), _values(new, name)) for name in categorical]
    grades = [np.concatenate([_grades(old, name), _grades(new, name)]) for name in graded]
    codes = [
        np.concatenate([_codes(old, name, known), _codes(new, name, known)])
        for name, known in zip(categorical, values, strict=True)
    ]
    size = len(old) + len(new)
    return AttributeTable(
        graded_names=graded,
        graded=np.stack(grades, axis=1) if grades else np.zeros((size, 0), np.float32),
        categorical_names=categorical,
        values=tuple(values),
        categorical=np.stack(codes, axis=1) if codes else np.zeros((size, 0), np.int16),
    )


def _table(contents: Contents) -> AttributeTable:
    size = len(contents.ids)
    empty = AttributeTable((), np.zeros((size, 0), np.float32), (), (), np.zeros((size, 0), np.int16))
    return contents.attributes or empty


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return (*first, *(name for name in second if name not in first))


def _values(table: AttributeTable, name: str) -> tuple[str, ...]:
    return table.values[table.categorical_names.index(name)] if name in table.categorical_names else ()


def _grades(table: AttributeTable, name: str) -> NDArray[np.float32]:
    return table.grade(name) if name in table.graded_names else np.full(len(table), np.nan, np.float32)


def _codes(table: AttributeTable, name: str, known: tuple[str, ...]) -> NDArray[np.int16]:
    if name not in table.categorical_names:
        return np.full(len(table), UNKNOWN, np.int16)
    codes = [*(known.index(value) for value in _values(table, name)), UNKNOWN]
    return np.array(codes, np.int16)[table.codes(name)]
