"""How sure a number is: bootstrap intervals over dialogs, and over training seeds where there are several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".1f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def estimate(
    values: Floats,
    generator: np.random.Generator,
    summary: Callable[..., Any] = np.mean,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The summary of `values` and its bootstrap interval.

    Dialogs are drawn anew with replacement, the same ones for all seeds, since all seeds share their targets and
    first candidates; seeds too are drawn anew where there are several.

    Args:
        values: (S, M), one row for each training seed, one column for each dialog.
        generator: draws the resamples.
        summary: what makes one number of (…, M) values with `axis=-1`: mean or median.
        resamples: how many.
    """
    values = np.atleast_2d(values)
    seeds, dialogs = values.shape
    value = float(np.mean(summary(values, axis=-1)))
    drawn = np.empty(resamples)
    for sample in range(resamples):
        chosen = values[:, generator.integers(dialogs, size=dialogs)]
        by_seed = summary(chosen, axis=-1)
        drawn[sample] = by_seed[generator.integers(seeds, size=seeds)].mean() if seeds > 1 else by_seed[0]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def paired_difference(
    first: Floats, second: Floats, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Estimate:
    """Mean of first minus second (S, M) and its interval, paired by seed and dialog.

    Raises:
        ValueError: different seeds or dialogs, which cannot be paired.
    """
    if np.shape(first) != np.shape(second):
        raise ValueError(
            f"results of {np.shape(first)} and {np.shape(second)} seeds and dialogs cannot be paired; "
            "run both agents with the same seeds on the same gallery"
        )
    return estimate(np.asarray(first) - np.asarray(second), generator, resamples=resamples)
