"""Random integers of many dialogs, each from a generator of its own."""

from __future__ import annotations

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

AHEAD = 8
"""Integers drawn at once: they cost little more than one, and are the same as drawn one by one."""


class Draws:
    """What `generator.integers(bound)` gives for each of B generators.

    Args:
        dialogs: B.
        bound: above all integers.
    """

    def __init__(self, dialogs: int, bound: int) -> None:
        self.bound = bound
        self._generators: list[np.random.Generator | None] = [None] * dialogs
        self._ahead = np.zeros((dialogs, AHEAD), dtype=np.int64)
        self._used = np.full(dialogs, AHEAD)

    def seed(self, dialog: int, seed: int | None) -> None:
        """Gives a dialog a new generator, unless it has one and the seed is None."""
        if seed is not None or self._generators[dialog] is None:
            self._generators[dialog] = seeding.np_random(seed)[0]
            self._used[dialog] = AHEAD

    def of(self, dialogs: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) the next integer of each of the dialogs (n,), all different and seeded."""
        for dialog in dialogs[self._used[dialogs] == AHEAD]:
            generator = self._generators[dialog]
            assert generator is not None, "seeded by the reset before"
            self._ahead[dialog] = generator.integers(self.bound, size=AHEAD)
            self._used[dialog] = 0
        drawn = self._ahead[dialogs, self._used[dialogs]]
        self._used[dialogs] += 1
        return drawn
