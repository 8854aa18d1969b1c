"""Rows of arrays that grow on disk batch by batch, whatever stops the process or fills the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.io import checkpoint
from dialog_env.io.atomic import lock

SUFFIX = ".safetensors"


class Batches:
    """Arrays that grow together, each batch of their rows in a file of its own, named after its first row.

    A batch counts when its file has been flushed to the disk, renamed, and read back with the digest that it was
    written with. A folder that is opened again holds the batches up to the first that is missing, damaged or of other
    settings; the files behind it are removed.

    Args:
        folder: made where there is none.
        settings: what the rows depend on, JSON-able.
        notify: gets a sentence about what was found in the folder.

    Attributes:
        done: rows in the folder.

    Raises:
        ValueError: another process writes there.
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], notify: Callable[[str], Any]) -> None:
        self.folder = folder
        self.done = 0
        self._settings = digest_of(settings)
        self._ends: list[int] = []
        self._rows: dict[str, Any] = {}
        self._open: tuple[int, dict[str, Tensor]] = (-1, {})
        if folder.is_file():  # of a release that kept one file of HDF5 here
            folder.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("ab")
        try:
            if not lock(self._lock.fileno()):
                raise ValueError(
                    f"{folder} is being written by another process; let that end, or choose another output"
                )
            self._resume(notify)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets other processes write; the batches can still be read."""
        self._lock.close()

    def append(self, arrays: Mapping[str, Tensor]) -> None:
        """Adds rows (n, …) of every array.

        Raises:
            OSError: the disk is full or gives back something else than was written; the batches before stay.
        """
        path = self._path(self.done)
        write_batch(path, arrays, self._settings, self.done)
        try:
            self._count(self._read(path))
        except ValueError as error:
            raise OSError(f"{path} does not read back as it was written; make room on its disk") from error

    def __contains__(self, name: str) -> bool:
        return name in self._batch(0)

    def __getitem__(self, name: str) -> Rows:
        return Rows(self, name)

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop of an array."""
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right").tolist()
        pieces = []
        for number in range(first, last + 1):
            begin = self._ends[number - 1] if number else 0
            pieces.append(self._batch(number)[name][max(start - begin, 0) : stop - begin].numpy())
        return np.concatenate(pieces)

    def clear(self) -> None:
        """Removes all batches."""
        self._remove_from(0)
        self.done, self._ends, self._open = 0, [], (-1, {})

    def remove(self) -> None:
        """Removes all batches, and the folder where nothing else is in it."""
        self.clear()
        self.close()
        (self.folder / "lock").unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _resume(self, notify: Callable[[str], Any]) -> None:
        with suppress(FileNotFoundError, ValueError):
            while True:
                self._count(self._read(self._path(self.done)))
        removed = self._remove_from(self.done)
        left = f"; {removed} batches were damaged or of no use" if removed else ""
        if self.done:
            notify(f"going on after {self.done} images found in {self.folder}{left}")
        elif removed:
            notify(f"{self.folder} is of other images or another backbone, or damaged; it starts anew")

    def _read(self, path: Path) -> dict[str, Tensor]:
        saved = checkpoint.read(path, "batch of features")
        if saved.facts != _facts(self._settings, self.done):
            raise ValueError(f"{path} is of other images or another backbone")
        rows = {name: (tensor.shape[1:], tensor.dtype) for name, tensor in saved.tensors.items()}
        if len({len(tensor) for tensor in saved.tensors.values()}) != 1 or (self._ends and rows != self._rows):
            raise ValueError(f"{path} has rows of other shapes than the batches before")
        self._rows = rows
        return saved.tensors

    def _count(self, arrays: dict[str, Tensor]) -> None:
        self._open = (len(self._ends), arrays)
        self.done += len(next(iter(arrays.values())))
        self._ends.append(self.done)

    def _batch(self, number: int) -> dict[str, Tensor]:
        if self._open[0] != number:
            path = self._path(self._ends[number - 1] if number else 0)
            self._open = (number, checkpoint.read(path, "batch of features").tensors)
        return self._open[1]

    def _path(self, start: int) -> Path:
        return path_of(self.folder, start)

    def _remove_from(self, start: int) -> int:
        """Removes the files of rows from `start` on; how many there were."""
        listed = [path for path in self.folder.glob(f"*{SUFFIX}") if path.name >= self._path(start).name]
        for path in listed:
            path.unlink()
        return len(listed)


class Rows:
    """One array of `Batches`, read where it is sliced."""

    def __init__(self, batches: Batches, name: str) -> None:
        self._batches = batches
        self._name = name
        first = batches.read(name, 0, 1)
        self.dtype = first.dtype
        self.shape = (batches.done, *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(len(self))
        return self._batches.read(self._name, start, stop)


def digest_of(settings: Mapping[str, Any]) -> str:
    """By which batches know that they are of these settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def path_of(folder: Path, start: int) -> Path:
    """The file of the batch whose first row is `start`."""
    return folder / f"{start:09d}{SUFFIX}"


def write_batch(path: Path, arrays: Mapping[str, Tensor], settings: str, start: int) -> None:
    """Writes a batch (n, …) of every array, whole or not at all."""
    checkpoint.write(path, arrays, _facts(settings, start))


def holds(path: Path, settings: str, start: int) -> bool:
    """Whether a whole batch of these settings (see `digest_of`) lies there."""
    try:
        return checkpoint.read(path, "batch of features").facts == _facts(settings, start)
    except (FileNotFoundError, ValueError):
        return False


def _facts(settings: str, start: int) -> dict[str, Any]:
    return {"settings": settings, "start": start}
