"""How sure a number is: bootstrap intervals over dialogs, and over training seeds where there are several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.estimate import RESAMPLES, Estimate

Floats = NDArray[np.floating[Any]]


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
    return Estimate.from_resamples(value, drawn)


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
