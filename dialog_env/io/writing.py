"""Writing HDF5 so that a disk that is full, or fails, is told."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


@contextmanager
def create_hdf5(path: Path, **settings: Any) -> Iterator[h5py.File]:
    """An HDF5 file open for writing.

    The HDF5 library does not survive a write that fails: it goes on, and passes over the error or crashes where an
    object is freed. So it writes to something that never fails, and the first error is raised here.

    Args:
        path: of the file; what was there is overwritten.
        settings: of `h5py.File`.

    Raises:
        OSError: the disk is full or fails; what lies at `path` then is of no use.
    """
    with path.open("wb+", buffering=0) as file:
        sink = _Sink(file)
        try:
            with h5py.File(sink, "w", **settings) as written:
                yield written
        finally:
            if sink.error is not None:
                raise sink.error


class _Sink(io.RawIOBase):
    """A file for h5py that takes everything: after the first error, which it keeps, nothing is written any more."""

    def __init__(self, file: io.FileIO) -> None:
        self.error: OSError | None = None
        self._file = file
        self._place = 0

    def seek(self, offset: int, origin: int = io.SEEK_SET) -> int:
        """Moves to a byte."""
        self._place = offset if origin == io.SEEK_SET else self._file.seek(offset, origin)
        return self._place

    def write(self, content: Any) -> int:
        """Writes all of it, where nothing has failed yet."""
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            self._file.seek(self._place)
            while len(left) and self.error is None:
                left = left[self._file.write(left) :]
        except OSError as error:
            self.error = error
        self._place += size
        return size

    def readinto(self, buffer: Any) -> int:
        """Reads what was written, zeros where nothing was."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._place)
        content = self._file.read(len(view)) or b""
        view[:] = content.ljust(len(view), b"\0")
        self._place += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Makes the file as long as HDF5 says."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return self._place
