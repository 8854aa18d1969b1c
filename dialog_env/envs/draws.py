"""Random integers of many dialogs, each from a generator of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

AHEAD = 32
"""Integers drawn at once: they cost little more than one, and are the same as drawn one by one."""


class Draws:
    """What `generator.integers(bound)` gives next for each of B generators; what was drawn from stays as it was.

    Args:
        dialogs: B.
        bound: above all integers.
    """

    def __init__(self, dialogs: int, bound: int) -> None:
        self.bound = bound
        self._generators: list[np.random.Generator | None] = [None] * dialogs
        self._ahead = np.zeros((dialogs, AHEAD), dtype=np.int64)
        self._used = np.full(dialogs, AHEAD)

    def seeded(self, dialogs: NDArray[np.int64], seeds: Sequence[int | None]) -> Draws:
        """The draws where the dialogs (n,) have new generators, but for those with one already and the seed None."""
        twin = self._copy()
        for dialog, seed in zip(dialogs, seeds, strict=True):
            if seed is not None or twin._generators[dialog] is None:
                twin._generators[dialog] = seeding.np_random(seed)[0]
                twin._used[dialog] = AHEAD
        return twin

    def of(self, dialogs: NDArray[np.int64]) -> tuple[NDArray[np.int64], Draws]:
        """(n,) the next integer of each of the dialogs (n,), all different and seeded; and the draws after these."""
        twin = self._copy()
        used_up = dialogs[self._used[dialogs] == AHEAD]
        if len(used_up):
            twin._ahead = self._ahead.copy()
        for dialog in used_up:
            generator = copy.deepcopy(self._generators[dialog])
            assert generator is not None, "seeded by the reset before"
            twin._ahead[dialog] = generator.integers(self.bound, size=AHEAD)
            twin._generators[dialog], twin._used[dialog] = generator, 0
        drawn = twin._ahead[dialogs, twin._used[dialogs]]
        twin._used[dialogs] += 1
        return drawn, twin

    def _copy(self) -> Draws:
        twin = copy.copy(self)
        twin._generators, twin._used = self._generators.copy(), self._used.copy()
        return twin
