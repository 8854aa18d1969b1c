"""What a case is, what may come of it, and what a part of the campaign consists of."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np

RIGHT, SKIPPED = "right", "skipped"
FAILURES = {
    "wrong": "a result that differs from the oracle's",
    "lost": "work that was done and is gone, or a file that is neither whole nor absent",
    "silent": "damage that was read without a word",
    "hang": "a case that did not end in its time, took more memory than it may, or whose process died",
    "traceback": "a traceback from a command line",
    "unclear": "an error that is not one sentence naming what is wrong",
    "executed": "code in a file that was run",
}
"""Verdict to what it means."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Args:
        verdict: `RIGHT`, `SKIPPED` or one of `FAILURES`.
        count: how many cases it stands for, such as the calls of a session.
        note: what was tried, and what came of it where that was not right.
    """

    verdict: str = RIGHT
    count: int = 1
    note: str = ""


class Failed(Exception):
    """Ends a case with one of `FAILURES`."""

    def __init__(self, verdict: str, note: str) -> None:
        super().__init__(f"{verdict}: {note}")
        self.verdict, self.note = verdict, note


def fail(verdict: str, note: str) -> NoReturn:
    """Ends a case."""
    raise Failed(verdict, note)


def expect(holds: bool, verdict: str, note: str) -> None:
    """Ends a case unless something holds."""
    if not holds:
        fail(verdict, note)


@dataclass(frozen=True)
class Case:
    """One case: all that it draws comes from the seed, the part and the number.

    Args:
        part: name of the part.
        number: from 0.
        seed: of the campaign.
        folder: empty, of this case alone, removed afterwards.
        materials: what `Part.prepare` has put there; not to be changed.
    """

    part: str
    number: int
    seed: int
    folder: Path
    materials: Path

    @cached_property
    def random(self) -> np.random.Generator:
        """The generator of the case."""
        return np.random.default_rng([self.seed, zlib.crc32(self.part.encode()), self.number])


def nothing(materials: Path) -> None:
    """Prepares nothing."""


@dataclass(frozen=True)
class Part:
    """A kind of harm.

    Args:
        name: as on the command line.
        tries: what it tries, for the table.
        run: does a case; a `Failed` or any other exception is its outcome.
        cases: how many make the campaign.
        small: how many make the small one.
        prepare: puts what the cases need into a folder; what is there already need not be made again.
        seconds: a case may take.
        memory: bytes that a process may take beyond what it has when it begins.
        together: whether cases may run beside each other.
    """

    name: str
    tries: str
    run: Callable[[Case], Outcome]
    cases: int
    small: int
    prepare: Callable[[Path], None] = nothing
    seconds: float = 60
    memory: int = 2 << 30
    together: bool = True
