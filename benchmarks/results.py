"""Results as files: for each run one JSON with provenance and scores, and one HDF5 file with every dialog.

The JSON holds the SHA-256 of the HDF5 file and of itself, and reading compares both (results of before it did have
neither). What no run can have given, such as a negative rank, is refused.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import lzma
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from dialog_env.evaluate.metrics import METRICS, Values, metric_of, ranking_percentile
from dialog_env.evaluate.protocol import Record
from dialog_env.io.atomic import file_digest, signed, write_atomically
from dialog_env.io.heaps import refuse_endless_heaps
from dialog_env.io.reading import (
    EXACT,
    JSON_BYTES,
    attribute,
    one_sentence,
    open_hdf5,
    parse_signed,
    read_array,
    read_bytes,
    regular_file,
)

RESULT = "result.json"
DIALOGS = "dialogs.h5"
ARRAYS = ("target", "shown", "closer", "equal")
WHAT = "result"
PACKED_BYTES = 1 << 27
"""Most of an array in a packed result."""
REMEDY = "remove its folder and run the benchmark again"


@dataclass(frozen=True)
class Run:
    """What was run: everything that decides the numbers.

    Args:
        agent: name with its settings, as it stands in tables.
        seed: of training.
        catalog, split, gallery: name, split and fingerprint of the evaluation gallery.
        training_gallery: fingerprint of the gallery it learned on.
        user: the user simulator as it was asked for.
        simulator: its id.
        evaluation_seed: draws the first candidates.
        turns: T.
        ties: how ranks count level images.
        validation_gallery: fingerprint of the gallery by which its best epoch was chosen.
        configuration: settings of the agent, with a hash of its source where it is not one of `agents`.
        targets: how many images were targets, a sample; None for all.
        training_user: the user simulator it learned from; None: the same.
        known_from: by what images are known where that is not pictures: "descriptions".
    """

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    agent: str
    seed: int
    catalog: str
    split: str
    gallery: str
    training_gallery: str
    user: str
    simulator: str
    evaluation_seed: int
    turns: int
    ties: str
    validation_gallery: str
    configuration: dict[str, Any]
    targets: int | None = None
    training_user: str | None = None
    known_from: str = ""

    @property
    def name(self) -> str:
        """Readable, and different for different agents, seeds and galleries."""
        user = "-".join(Path(part).name for part in self.user.split(":"))
        parts = (Path(self.catalog).stem, user, self.agent, f"seed{self.seed}")
        return "_".join(map(readable, parts))


def readable(text: str) -> str:
    """A text as a part of the name of a file."""
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in text)


@dataclass(frozen=True)
class Result:
    """A run and its record, with where it came from."""

    run: Run
    record: Record
    provenance: dict[str, Any]
    training: dict[str, Any]

    @property
    def images(self) -> int:
        """Size of the gallery."""
        return self.record.images

    @property
    def dialogs(self) -> int:
        """How many were held."""
        return len(self.record.target)

    @property
    def targets(self) -> NDArray[np.int64]:
        """(M,) positions of the targets, sorted."""
        return np.sort(self.record.target)

    @property
    def metrics(self) -> Collection[str]:
        """Names of those that there are values of: all."""
        return METRICS

    @property
    def start(self) -> Values:
        """(M,) percentile of the target by distance to the first candidate, in the order of the targets' positions."""
        return self._by_target(ranking_percentile(self.record.initial_rank, self.record.images))

    def values(self, metric: str) -> Values:
        """(M, T) or (M,) values of a metric, in the order of the targets' positions."""
        return self._by_target(metric_of(metric).of(self.record))

    def _by_target(self, values: Values) -> Values:
        return values[np.argsort(self.record.target)]

    def scores(self) -> dict[str, list[float] | float]:
        """Every metric: a list over turns, or a number for those that judge a whole dialog."""
        scores: dict[str, list[float] | float] = {}
        for name, metric in METRICS.items():
            summary = np.round(metric.summary(metric.of(self.record), axis=0), 4)
            scores[name] = summary.tolist()
        return scores


@dataclass(frozen=True)
class Content:
    """What the JSON of a result holds.

    Args:
        run: what was run.
        scores: every metric.
        training: what the agent's training gave.
        provenance: where it comes from.
        dialogs: SHA-256 (hex) of the file with the dialogs; None in results of before it was kept.
    """

    run: Run
    scores: dict[str, list[float] | float]
    training: dict[str, Any]
    provenance: dict[str, Any]
    dialogs: str | None = None


def write(result: Result, folder: Path) -> None:
    """Writes both files; the JSON last, so that where it lies the result is whole.

    Raises:
        ValueError: numbers that no run can have given.
        OSError: the disk is full or cannot be written.
    """
    record = result.record
    check(result.run, record)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name in ARRAYS:
            file.create_dataset(name, data=getattr(record, name).astype(np.int32), compression="gzip", shuffle=True)
        file.attrs.update(images=record.images, ties=np.bytes_(record.ties.encode()))
    dialogs = hashlib.sha256(buffer.getvalue()).hexdigest()
    content = Content(result.run, result.scores(), result.training, result.provenance, dialogs)
    write_atomically(folder / DIALOGS, buffer.getvalue())
    write_atomically(folder / RESULT, json.dumps(signed(asdict(content)), indent=1).encode())


def read(folder: Path) -> Result:
    """A result written by `write`.

    Raises:
        FileNotFoundError: one of its files is missing.
        ValueError: one is damaged or something else, they do not belong together, or no run can have given them.
    """
    path = folder / RESULT
    text = read_bytes(path, WHAT, "run the benchmark first", limit=JSON_BYTES)
    content = parse_signed(text, Content, str(path), WHAT, REMEDY)
    path = regular_file(folder / DIALOGS, "record of dialogs", REMEDY)
    if content.dialogs not in (None, file_digest(path)):
        raise ValueError(f"{path} is damaged or of another result than {RESULT} beside it; {REMEDY}")
    if content.dialogs is None:
        with one_sentence(path, "record of dialogs", REMEDY):
            refuse_endless_heaps(path)
    with open_hdf5(path, "record of dialogs", REMEDY) as file:
        turns = (None, content.run.turns + 1)
        arrays = {name: read_array(file, name, "iu", (None,) if name == "target" else turns) for name in ARRAYS}
        record = Record(
            **{name: array.astype(np.int64) for name, array in arrays.items()},
            images=attribute(file, "images", int),
            ties=attribute(file, "ties", str),
        )
        check(content.run, record)
    return Result(content.run, record, content.provenance, content.training)


@dataclass(frozen=True)
class Packed:
    """What one JSON with a whole result holds: see `Content`; `dialogs` are arrays as text.

    Args:
        run, training, provenance: of the result.
        images: size of the gallery.
        dialogs: name of an array of the record to its numbers: int32 after int32, by rows, compressed (LZMA), Base64.
    """

    run: Run
    training: dict[str, Any]
    provenance: dict[str, Any]
    images: int
    dialogs: dict[str, str]


def write_packed(result: Result, path: Path) -> None:
    """Writes a result as one signed JSON, without what each epoch of the training did.

    Raises:
        ValueError: numbers that no run can have given.
        OSError: the disk is full or cannot be written.
    """
    check(result.run, result.record)
    training = {name: value for name, value in result.training.items() if name != "history"}
    order = np.argsort(result.record.target)
    dialogs = {name: _text_of(getattr(result.record, name)[order]) for name in ARRAYS}
    content = Packed(result.run, training, result.provenance, result.images, dialogs)
    write_atomically(path, (json.dumps(signed(asdict(content)), indent=1) + "\n").encode())


def read_packed(path: Path) -> Result:
    """A result written by `write_packed`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged or something else, or no run can have given it.
    """
    remedy = "publish that result again"
    text = read_bytes(path, WHAT, remedy, limit=JSON_BYTES)
    content = parse_signed(text, Packed, str(path), WHAT, remedy)
    with one_sentence(path, WHAT, remedy):
        if content.dialogs.keys() != set(ARRAYS):
            raise ValueError(f"its dialogs are {', '.join(sorted(content.dialogs))}, not {', '.join(ARRAYS)}")
        arrays = {name: _array_of(content.dialogs[name]) for name in ARRAYS}
        turns = content.run.turns + 1
        for name in ARRAYS[1:]:
            if arrays[name].size != len(arrays["target"]) * turns:
                raise ValueError(f"{name!r} has {arrays[name].size} numbers, not {turns} for each dialog")
            arrays[name] = arrays[name].reshape(-1, turns)
        record = Record(**arrays, images=content.images, ties=content.run.ties)
        check(content.run, record)
    return Result(content.run, record, content.provenance, content.training)


def _text_of(array: NDArray[np.int64]) -> str:
    return base64.b64encode(lzma.compress(array.astype("<i4").tobytes(), preset=9)).decode()


def _array_of(text: str) -> NDArray[np.int64]:
    decompressor = lzma.LZMADecompressor(memlimit=1 << 28)
    try:
        content = decompressor.decompress(base64.b64decode(text, validate=True), max_length=PACKED_BYTES)
    except lzma.LZMAError as error:
        raise ValueError(f"an array cannot be decompressed: {error}") from error
    if not decompressor.eof:
        raise ValueError(f"an array is cut off, or has more than {PACKED_BYTES} bytes")
    return np.frombuffer(content, "<i4").astype(np.int64)


def check(run: Run, record: Record) -> None:
    """ValueError where a record is not of a run, or has numbers that none can have given."""
    if record.ties != run.ties or record.ties not in ("half", "strict"):
        raise ValueError(f"ties are {record.ties!r} in the dialogs and {run.ties!r} in the run, not half or strict")
    dialogs, last = len(record.target), record.images - 1
    if not dialogs or run.turns < 1:
        raise ValueError(f"there are {dialogs} dialogs of {run.turns} turns")
    for name in ("shown", "closer", "equal"):
        shape = getattr(record, name).shape
        if shape != (dialogs, run.turns + 1):
            raise ValueError(f"{name!r} has shape {shape}, with 'target' of {dialogs} not ({dialogs}, {run.turns + 1})")
    for name, least, most in (("target", 0, last), ("shown", 0, last), ("closer", 0, last), ("equal", 1, last + 1)):
        array = getattr(record, name)
        if array.dtype.kind not in "iu" or array.min() < least or array.max() > most:
            reach = f"from {array.min()} to {array.max()}"
            raise ValueError(f"{name!r} of dialogs over {record.images} images goes {reach}, not {least} to {most}")
    if (record.closer + record.equal > record.images).any():
        raise ValueError(f"'closer' and 'equal' are together more than the {record.images} images")


def read_all(output: Path) -> list[Result]:
    """All results below a folder, in order of their names; errors as of `read` for one that lacks a file."""
    folders = sorted(output.iterdir()) if output.is_dir() else []
    return [read(folder) for folder in folders if any(os.path.lexists(folder / name) for name in (RESULT, DIALOGS))]
