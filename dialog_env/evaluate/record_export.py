"""Records of dialogs as arrays and as a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog import Catalog
from dialog_env.evaluate.records import DialogRecord
from dialog_env.io.atomic import replacing

COLUMNS = (
    *("dialog", "role", "agent", "user", "gallery", "images", "seed", "target", "turn", "candidate", "said", "shown"),
    *("rank", "milliseconds", "other", "verdict", "found", "gave_up", "rating", "taken_back"),
)
"""Of the table: a row a turn, and one without a turn for a dialog in which nothing was said."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A sheet takes what begins so for something to compute."""


@dataclass(frozen=True)
class RecordArrays:
    """M dialogs of up to T turns; what lies beyond the end of one is -1, "" or NaN.

    Args:
        turns: (M,) int64, of each dialog.
        target: (M,) int64 gallery positions, -1 where it is not known.
        candidate: (M, T) int64, the images of which was spoken.
        said: (M, T) sentences.
        shown: (M, T) int64, the images shown next, -1 where none was.
        rank: (M, T) 0-based ranks of the target, NaN where not known.
        milliseconds: (M, T), NaN where not known.
    """

    turns: NDArray[np.int64]
    target: NDArray[np.int64]
    candidate: NDArray[np.int64]
    said: NDArray[Any]
    shown: NDArray[np.int64]
    rank: NDArray[np.float64]
    milliseconds: NDArray[np.float64]


def to_arrays(records: Sequence[DialogRecord], gallery: Catalog) -> RecordArrays:
    """The dialogs as arrays.

    Raises:
        ValueError: dialogs of another gallery, or an image that the gallery has not.
    """
    where = positions_of(records, gallery)
    turns = np.array([len(record.turns) for record in records], dtype=np.int64)
    shape = (len(records), int(turns.max(initial=0)))
    arrays = RecordArrays(
        turns=turns,
        target=np.array([where[record.begin.target] for record in records], dtype=np.int64),
        candidate=np.full(shape, -1),
        said=np.full(shape, "", dtype=object),
        shown=np.full(shape, -1),
        rank=np.full(shape, np.nan),
        milliseconds=np.full(shape, np.nan),
    )
    for row, record in enumerate(records):
        for column, turn in enumerate(record.turns):
            arrays.candidate[row, column] = where[turn.candidate]
            arrays.said[row, column] = turn.said
            arrays.shown[row, column] = where[turn.shown]
            arrays.rank[row, column] = np.nan if turn.rank is None else turn.rank
            arrays.milliseconds[row, column] = np.nan if turn.milliseconds is None else turn.milliseconds
    return arrays


def positions_of(records: Sequence[DialogRecord], gallery: Catalog) -> dict[str | None, int]:
    """Gallery position of every id, -1 for None.

    Raises:
        ValueError: dialogs of another gallery, or with an image that the gallery has not.
    """
    where: dict[str | None, int] = {str(name): position for position, name in enumerate(gallery.ids)}
    where[None] = -1
    for record in records:
        begin = record.begin
        if begin.gallery != gallery.fingerprint:
            raise ValueError(
                f"dialog {begin.dialog} is of gallery {begin.gallery} and {gallery!r} is {gallery.fingerprint}; "
                "give the gallery that the dialogs were held in"
            )
        named = {begin.first, begin.target, *(each for turn in record.turns for each in (turn.candidate, turn.shown))}
        unknown = sorted(str(name) for name in named - where.keys())
        if unknown:
            raise ValueError(
                f"dialog {begin.dialog} has image {unknown[0]!r}, which {gallery!r} has not; record it again"
            )
    return where


def to_csv(records: Sequence[DialogRecord], path: str | Path) -> None:
    """Writes a table with a row a turn, atomically.

    What a sheet would take for a formula, because of how it begins, is written with an apostrophe before it.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
        table.writeheader()
        for record in records:
            shared = {**vars(record.begin), **(vars(record.end) if record.end else {}), "taken_back": record.taken_back}
            del shared["rank"]
            for turn in [vars(each) for each in record.turns] or [{}]:
                table.writerow({key: _harmless(value) for key, value in {**shared, **turn}.items()})


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
