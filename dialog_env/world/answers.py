"""What a user has said of pairs of images, kept for the next time and for other processes.

A table has a row for every pair of a gallery, candidate by candidate: the 16 tokens, in one byte each for up to 255
words, in two for up to 65,535, and a check of 32 bits, 1 in the lowest. A row whose check is not that of its tokens and
place is unknown: one that was never written (zeros), written by half, or damaged since.

The table is a sparse file in the user's cache folder, under all that an answer depends on. It is read through a map of
its bytes and written with ordinary writes, as a map of a file ends the process where the disk is full. Processes share
it without a lock: all write the same bytes, and a row that another is writing is unknown until it is whole.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.io.atomic import cache_folder, replacing
from dialog_env.io.lasting import lasting
from dialog_env.world.vocabulary import MAX_WORDS

LARGEST_TABLE = 4 << 30
"""Bytes: 14,654 images at up to 255 words, 10,922 beyond. Of a larger gallery no answers are kept."""
LARGEST_IN_MEMORY = 256 << 20
"""Bytes of a table that cannot be a file: 3,663 and 2,730 images."""
FREE = 1 << 30
"""Bytes of the disk that are left to others: nothing is written where fewer are free."""
HEADER = 4096
"""Bytes before the rows; they say what the answers depend on."""
PAIRS_AT_ONCE = 4096
"""While a table is filled."""
SWITCH = "DIALOG_RETRIEVAL_ANSWERS"
"""Environment variable: where answers are kept."""
UNABLE = (OSError, ValueError, OverflowError, MemoryError, RuntimeError)
"""What files, maps and a missing home raise where they cannot be had."""
PLACES = ("file", "memory", "nowhere")
FACTORS = np.cumprod(np.full(9, 0x9E3779B97F4A7C15, dtype=np.uint64))
"""Of the parts of a row and, last, of its place: odd, and without so long a run of equal bits that a single flipped bit
could leave the upper half of their sum as it was."""

Answers = Callable[[Tensor, Tensor, Tensor], Tensor]
Rows = NDArray[np.uint32]


class KeptAnswers:
    """The answers of one user on one gallery; `dialog_env.world.user.ask` looks here before it asks the user.

    A user who has one, as its attribute `kept_answers`, says by this that its answer depends on the target and the
    candidate alone, always, and that looking it up is quicker than making it.

    Args:
        user: id of the user.
        gallery_fingerprint: of the gallery.
        images: N, of the gallery.
        words: V, of the user's vocabulary.
        feedback: the method, as the class has it, whose answers these are. Those of a class that overrides it, or
            of an object whose method is replaced, are neither looked up nor kept.
    """

    def __init__(self, user: str, gallery_fingerprint: str, images: int, words: int, feedback: Answers | Any) -> None:
        self.user, self.gallery_fingerprint, self.images, self.words = user, gallery_fingerprint, images, words
        self.feedback = feedback
        self.token = np.dtype("u1" if words < 2**8 else "<u2")
        self.parts = MAX_WORDS * self.token.itemsize // 4 + 1
        self.bytes = HEADER + images * images * self.parts * 4
        self.path: Path | None = None
        self._file: _Descriptor | None = None
        self._rows: Rows | None = None
        self._opened = False

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "path": None, "_file": None, "_rows": None, "_opened": False}

    def are_of(self, user: Any) -> bool:
        """Whether what a user would say now is what is kept here."""
        said_by = getattr(user.feedback, "__func__", None)
        return said_by is self.feedback and (user.id, user.gallery_fingerprint) == (self.user, self.gallery_fingerprint)

    def open(self) -> bool:
        """Opens the table, made anew where there is none or another; False where nothing can be kept.

        Raises:
            ValueError: a place that is none.
        """
        if not self._opened:
            place = os.environ.get(SWITCH) or PLACES[0]
            if place not in PLACES:
                raise ValueError(f"{SWITCH} is {place!r}; give one of {', '.join(PLACES)}")
            if place == "file" and self.words < 2**16 and self.bytes <= LARGEST_TABLE:
                with suppress(*UNABLE):  # a folder, file system or system that cannot
                    self._open_file()
            if self._rows is None and place != "nowhere" and self.words < 2**16 and self.bytes <= LARGEST_IN_MEMORY:
                with suppress(*UNABLE):
                    self._rows = self._rows_in(mmap.mmap(-1, self.bytes))
            self._opened = True
        return self._rows is not None

    @lasting
    def ask(self, user: Answers, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of pairs, on the device of the targets; only pairs that are new, each once, are asked.

        Args:
            user: gives tokens (Q, 16) int64 of targets (Q,), candidates (Q,) and images shown before (Q,).
            targets: (B,) int64 positions.
            candidates: (B,) int64 positions.
            previous: (B,) int64 positions, -1 where there was none.
        """
        shapes = {tuple(part.shape) for part in (targets, candidates, previous)}
        if not self.open() or shapes != {(targets.numel(),)} or shapes == {(0,)}:
            return user(targets, candidates, previous)
        pairs = np.stack([part.cpu().numpy() for part in (targets, candidates)])  # (2, B)
        if pairs.dtype != np.int64 or pairs.min() < 0 or pairs.max() >= self.images:
            return user(targets, candidates, previous)  # who says what is wrong with them
        places = pairs[1] * self.images + pairs[0]
        tokens, known = self._look_up(places)
        if not known.all():
            missing = np.flatnonzero(~known)
            distinct, first, inverse = np.unique(places[missing], return_index=True, return_inverse=True)
            asked = torch.from_numpy(missing[first]).to(targets.device)
            answers = user(targets[asked], candidates[asked], previous[asked]).cpu().numpy()
            tokens[missing] = answers[inverse.reshape(-1)]
            self._keep(distinct, answers)
        return torch.from_numpy(tokens).to(targets.device)

    def fill(self, user: Answers, device: torch.device | str) -> Iterator[int]:
        """Asks about all pairs in the order of the rows; gives the number of pairs after each portion.

        Raises:
            ValueError: answers that cannot be kept in a file.
            OSError: the disk is full; what was kept stays.
        """
        if not self.open() or self.path is None:
            raise ValueError(
                f"answers of {self.user} on {self.images} images cannot be kept in a file: {cache_folder()} must be "
                f"writable with {FREE >> 30} GiB free, {SWITCH} 'file' or unset, and the table, of {self.bytes} "
                f"bytes, at most {LARGEST_TABLE}"
            )
        for start in range(0, self.images**2, PAIRS_AT_ONCE):
            places = torch.arange(start, min(self.images**2, start + PAIRS_AT_ONCE), device=device)
            targets, candidates = places % self.images, places // self.images
            self.ask(user, targets, candidates, torch.full_like(places, -1))
            if self.path is None:
                raise OSError(
                    f"{cache_folder()} is full or can no longer be written; make room and give the same command again, "
                    "which goes on from there"
                )
            yield len(places)

    def _look_up(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tokens (B, 16) of places (B,), and which of them are known."""
        assert self._rows is not None
        found = self._rows[places]  # (B, P)
        known = found[:, -1] == _checks(found[:, :-1], places)
        return np.ascontiguousarray(found[:, :-1]).view(self.token).astype(np.int64), known

    def _keep(self, places: NDArray[np.int64], answers: NDArray[np.int64]) -> None:
        """Keeps answers (Q, 16) of places (Q,) in rising order."""
        if answers.min() < 0 or answers.max() > self.words:
            return  # words that the vocabulary does not have
        rows = np.empty((len(places), self.parts), dtype="<u4")
        rows[:, :-1] = np.ascontiguousarray(answers.astype(self.token)).view("<u4")
        rows[:, -1] = _checks(rows[:, :-1], places)
        if self._file is not None:
            try:
                return self._write(self._file, places, rows)
            except OSError:  # a full disk: from now on in memory, where it can be
                self._leave_file()
        if self._rows is not None and self._rows.flags.writeable:
            self._rows[places] = rows

    def _write(self, file: _Descriptor, places: NDArray[np.int64], rows: Rows) -> None:
        """Writes rows into the file, neighbours together."""
        if shutil.disk_usage(file.number).free < FREE:
            raise OSError("so little of the disk is free that it is left to others")
        starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        offsets = (HEADER + 4 * self.parts * places[starts]).tolist()
        for offset, start, end in zip(offsets, starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
            content = rows[start:end].tobytes()
            if os.pwrite(file.number, content, offset) != len(content):
                raise OSError("not all of it could be written")

    def _open_file(self) -> None:
        if not hasattr(os, "pwrite"):
            raise OSError("this system does not write at places of a file")
        facts = f"dialog_retrieval answers 1\n{self.user}\n{self.gallery_fingerprint}\n{self.images} {self.words}\n"
        digest = hashlib.sha256(facts.encode()).hexdigest()
        header = f"{facts}sha256 {digest}\n".encode().ljust(HEADER, b"\0")
        path = cache_folder() / f"answers-{digest[:24]}.table"
        if not self._is_whole(path, header):
            if shutil.disk_usage(_existing(path.parent)).free < FREE:
                raise OSError("so little of the disk is free that it is left to others")
            with replacing(path) as temporary, temporary.open("rb+", buffering=0) as file:
                file.write(header)
                file.truncate(self.bytes)
                self._make_safe(file.fileno())
        table = _Descriptor(path)
        self._rows = self._rows_in(mmap.mmap(table.number, self.bytes, access=mmap.ACCESS_READ))
        self._file, self.path = table, path

    def _make_safe(self, file: int) -> None:
        """Sees to it that reading the new file through a map never takes room on the disk, as holes do on a tmpfs.

        Where the disk is full then, the reader is ended by a signal. Small tables are given their room beforehand.

        Raises:
            OSError: the table is too large for that, or the room is not there.
        """
        os.fsync(file)
        before = os.fstat(file).st_blocks
        with mmap.mmap(file, self.bytes, access=mmap.ACCESS_READ) as memory:
            _ = memory[self.bytes - 1]
        if os.fstat(file).st_blocks > before:
            if self.bytes > LARGEST_IN_MEMORY or shutil.disk_usage(file).free < FREE + self.bytes:
                raise OSError("holes take room when they are read")
            os.posix_fallocate(file, 0, self.bytes)

    def _is_whole(self, path: Path, header: bytes) -> bool:
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        with path.open("rb") as file:
            return file.read(HEADER) == header

    def _leave_file(self) -> None:
        """Lets the file be; what it holds is still known, and answers are added in memory if the table is small."""
        file, self._file, self.path = self._file, None, None
        if file is not None and self.bytes <= LARGEST_IN_MEMORY:
            with suppress(*UNABLE):
                self._rows = self._rows_in(mmap.mmap(file.number, self.bytes, access=mmap.ACCESS_COPY))

    def _rows_in(self, memory: mmap.mmap) -> Rows:
        return np.frombuffer(memory, dtype="<u4", offset=HEADER).reshape(-1, self.parts)


class _Descriptor:
    """An open file, closed when no thread has it in use any more: its number may then be another file's."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDWR)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def _checks(parts: Rows, places: NDArray[np.int64]) -> Rows:
    """(B,) the checks of rows without theirs (B, P - 1)."""
    sums = parts.astype(np.uint64) @ FACTORS[: parts.shape[1]] + places.astype(np.uint64) * FACTORS[-1]
    checks: Rows = (sums >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return checks


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
