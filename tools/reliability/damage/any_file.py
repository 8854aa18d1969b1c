"""Damage to a file of whatever kind."""

from __future__ import annotations

import io
import os
import tarfile

import numpy as np

from tools.reliability.damage.pickles import Executed
from tools.reliability.damage.target import Target

SPARSE = 1 << 30


def truncate(target: Target) -> None:
    """Cut off somewhere."""
    content = target.content
    target.path.write_bytes(content[: target.place(len(content))])


def cut_last_bytes(target: Target) -> None:
    """Cut off shortly before its end."""
    content = target.content
    target.path.write_bytes(content[: max(0, len(content) - 1 - target.place(40))])


def empty(target: Target) -> None:
    """Nothing in it."""
    target.path.write_bytes(b"")


def zero_block(target: Target) -> None:
    """A block of zeros, as after a crash."""
    content = target.content
    start, size = target.place(len(content)), int(target.random.choice([16, 512, 4096]))
    content[start : start + size] = bytes(len(content[start : start + size]))
    target.path.write_bytes(content)


def noise_block(target: Target) -> None:
    """A block of random bytes."""
    content = target.content
    start, size = target.place(len(content)), int(target.random.choice([4, 64, 1024]))
    part = content[start : start + size]
    content[start : start + size] = target.random.bytes(len(part))
    target.path.write_bytes(content)


def flip_bytes(target: Target) -> None:
    """Some bytes changed."""
    content = target.content
    for _ in range(int(target.random.integers(1, 20))):
        if content:
            content[target.place(len(content))] ^= int(target.random.integers(1, 256))
    target.path.write_bytes(content)


def drop_block(target: Target) -> None:
    """A block missing in the middle."""
    content = target.content
    start = target.place(len(content))
    del content[start : start + int(target.random.integers(1, 5000))]
    target.path.write_bytes(content)


def append(target: Target) -> None:
    """Something behind its end."""
    target.path.write_bytes(target.content + target.random.bytes(int(target.random.integers(1, 300))))


def twice(target: Target) -> None:
    """Its content twice."""
    target.path.write_bytes(target.content * 2)


def swap(target: Target) -> None:
    """A file of another kind."""
    target.path.write_bytes(target.others[target.random.integers(len(target.others))].read_bytes())


def archive(target: Target) -> None:
    """A tar file with it, as a download may leave it."""
    content = bytes(target.content)
    with tarfile.open(target.path, "w:gz") as file:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))


def numpy_objects(target: Target) -> None:
    """A numpy file of pickled objects."""
    with target.path.open("wb") as file:
        np.save(file, np.array([Executed(target.canary)], dtype=object), allow_pickle=True)


def invalid_text(target: Target) -> None:
    """Bytes that are no UTF-8."""
    content = target.content
    start = target.place(len(content))
    content[start:start] = b"\xff\xfe\x80\xc3"
    target.path.write_bytes(content)


def missing(target: Target) -> None:
    """No file."""
    target.path.unlink()


def folder(target: Target) -> None:
    """A folder in its place."""
    target.path.unlink()
    target.path.mkdir()


def pipe(target: Target) -> None:
    """A named pipe in its place, to which nobody writes."""
    target.path.unlink()
    os.mkfifo(target.path)


def endless(target: Target) -> None:
    """A link to a device that never ends."""
    target.path.unlink()
    target.path.symlink_to("/dev/zero")


def loop(target: Target) -> None:
    """A link to itself."""
    target.path.unlink()
    target.path.symlink_to(target.path.name)


def sparse(target: Target) -> None:
    """Followed by a gigabyte of nothing."""
    os.truncate(target.path, SPARSE)


ANY = (
    truncate, truncate, cut_last_bytes, empty, zero_block, zero_block, noise_block, flip_bytes, flip_bytes, drop_block,
    append, twice, swap, archive, numpy_objects, invalid_text, missing, folder, pipe, endless, loop, sparse,
)  # fmt: skip
