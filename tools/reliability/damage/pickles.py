"""Pickles that would run code, or take all memory."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

from tools.reliability.damage.target import Random, Target


class Executed:
    """Leaves a mark when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def pickled(value: Any, random: Random) -> bytes:
    """A pickle of some protocol."""
    return pickle.dumps(value, protocol=int(random.integers(0, 5)))


def pickle_code(target: Target) -> None:
    """A pickle that calls a function."""
    value: Any = Executed(target.canary)
    if target.random.random() < 0.5:
        value = {"opt": value, "vocab": {"1": "UNK"}}
    target.path.write_bytes(pickled(value, target.random))


def pickle_import(target: Target) -> None:
    """A pickle that names a module that leaves a mark when it is imported."""
    target.path.write_bytes(
        b"cevil\nEvil\n." if target.random.random() < 0.5 else b"\x80\x04\x8c\x04evil\x8c\x04Evil\x93."
    )


def doubling() -> bytes:
    """A pickle of 2^60 entries in some hundred bytes."""
    return b"\x80\x02(I1\nI1\nt" + b"".join(b"q%c(h%ch%ct" % (n, n, n) for n in range(60)) + b"."


def pickle_bomb(target: Target) -> None:
    """A pickle of tuples in tuples, each twice in the next."""
    target.path.write_bytes(doubling())


def pickle_nest(target: Target) -> None:
    """A pickle of lists in lists."""
    target.path.write_bytes(b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".")


def pickle_size(target: Target) -> None:
    """A pickle that promises a text of many gigabytes."""
    target.path.write_bytes(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"a.")
