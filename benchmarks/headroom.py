"""How much of what the sentences hold an agent takes out: its share of the way from chance to the ceiling.

The values of all agents come from the same dialogs, say `found` at one turn. The ceiling is the agent `ceiling`, which
knows the user, and chance the agent `random`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.evaluate.intervals import Interval
from dialog_env.evaluate.statistics import Difference, confidence_interval, paired_difference

Floats = NDArray[np.floating[Any]]


def share_of_ceiling(agent: Floats, chance: Floats, ceiling: Floats) -> Interval:
    """Share, in percent, of the way from chance to the ceiling that an agent has come, and its 95% interval.

    The share is 100 (A - C) / (U - C), with A, C and U the means of agent, chance and ceiling. The interval is that of
    its linear part, whose value for a seed and dialog is (a - c - share (u - c)) / (U - C): a ratio of means varies as
    the mean of those does (Cochran, *Sampling Techniques*, 1977, chapter 6), and so all three are uncertain in it.

    Args:
        agent: (S, M), one row for each training seed, one column for each dialog; one row, or (M,), serves all seeds.
        chance, ceiling: the same of the two ends of the way.

    Raises:
        ValueError: other dialogs or numbers of seeds, or a ceiling that is not above chance, between which there is
            no way to go.
    """
    own, low, high = (np.atleast_2d(np.asarray(each, dtype=np.float64)) for each in (agent, chance, ceiling))
    seeds, dialogs = (set(sizes) for sizes in zip(own.shape, low.shape, high.shape, strict=True))
    if len(dialogs) > 1 or len(seeds - {1}) > 1:
        raise ValueError(
            f"results of {own.shape} seeds and dialogs cannot be placed between those of {low.shape} of chance and "
            f"{high.shape} of the ceiling; run all on the same gallery, with the same seeds or with one"
        )
    way = high.mean() - low.mean()
    if not way > 0:
        raise ValueError(
            f"the ceiling reaches {high.mean():.4g} and chance {low.mean():.4g}, so that there is no way from one to "
            "the other; choose a metric and a turn at which they differ"
        )
    share = (own.mean() - low.mean()) / way
    linear = 100 * (share + (own - low - share * (high - low)) / way)
    return confidence_interval(linear, np.random.default_rng(0))  # of a mean nothing is drawn


def value_of_asking(asks: Floats, likely: Floats) -> Difference:
    """What choosing the image by what its answer would tell gains over showing a likeliest one, and its 95% interval.

    Both are ceilings, so the difference is that of the choice alone: 0 in a world where it matters not what is shown.

    Args:
        asks: (S, M) values of the agent `ceiling@asks`, one row for each seed, one column for each dialog.
        likely: the same of the agent `ceiling`.

    Raises:
        ValueError: different seeds or dialogs, which cannot be paired.
    """
    return paired_difference(asks, likely)
