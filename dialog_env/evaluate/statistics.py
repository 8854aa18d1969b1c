"""How sure a number is, over dialogs and training seeds, and which of many differences are shown.

All seeds of an agent hold the same dialogs (the same targets and first candidates), so that three things make a value
vary: its seed, its dialog, and what the two make together. For S seeds and M dialogs the analysis of variance of such a
crossed design (Searle, Casella, McCulloch, *Variance Components*, 1992, chapter 4) estimates the variance of their mean
as V = V_seeds + V_dialogs - V_both, each the mean square of its part over S M; here never as less than V_seeds or
V_dialogs alone. An interval reaches t sqrt(V) to either side of the mean, with (S - 1) V / V_seeds degrees of freedom,
M - 1 at most: S - 1 where the seeds make all of the variance, more where dialogs make some of it.

That is more careful than Satterthwaite's (S - 1) (V / V_seeds)^2, and was chosen by simulation: whatever the shares of
the three parts, the 95% covers 93.1 to 97.3% with 3, 5 or 10 seeds, where Satterthwaite's covers 92.1 to 98.5%, and a
bootstrap over seeds and dialogs 82% with 3 seeds that make all of the variance. With 2 seeds it may cover 87%: train
three. `tests/evaluate/test_statistics.py` simulates anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.evaluate.intervals import LEVEL, RESAMPLES, Interval
from dialog_env.evaluate.student_t import quantile, two_sided_p

Floats = NDArray[np.floating[Any]]

SEEDS_ALIKE = 0.9
"""Seeds are taken not to differ where V_seeds is at most this share of V_both, which is what it then is on average."""

VALUES_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Difference(Interval):
    """A difference with its 95% interval, and how likely one as large would be if there were none.

    Args:
        p: of the two-sided t test, by the variance and the degrees of freedom of the interval.
    """

    p: float


def confidence_interval(
    values: Floats,
    generator: np.random.Generator,
    summary: Callable[..., Any] = np.mean,
    *,
    percent: bool = False,
) -> Interval:
    """The summary of `values` over dialogs, averaged over seeds, and its 95% interval.

    Where the summary is not the mean, a bootstrap over dialogs, the same ones for all seeds, gives the three variances.

    Args:
        values: (S, M), one row for each training seed, one column for each dialog; (M,) for one seed, whose interval is
            over dialogs alone; (S, 1) where one score for each seed is all there is: the interval is over seeds alone.
        generator: draws the resamples, where there are any.
        summary: what makes one number of (…, M) values with `axis=-1`.
        percent: whether it is a mean of values from 0 to 100. The interval is then that of Wilson (1927) for a share,
            with as many trials as give this variance: it stays within 0 to 100, and covers close to them too.
    """
    values = np.atleast_2d(values)
    if summary is not np.mean and values.shape[1] > 1:
        return _of_summary(values, summary, generator)
    value, (variance, freedom) = float(values.mean()), _of_mean(values)
    return _share(value, variance, freedom, values.shape[1]) if percent else _around(value, variance, freedom)


def paired_difference(first: Floats, second: Floats) -> Difference:
    """Mean of first minus second (S, M) and its interval, paired by seed and dialog.

    Raises:
        ValueError: different seeds or dialogs, which cannot be paired.
    """
    if np.shape(first) != np.shape(second):
        raise ValueError(
            f"results of {np.shape(first)} and {np.shape(second)} seeds and dialogs cannot be paired; "
            "run both agents with the same seeds on the same gallery"
        )
    less = np.atleast_2d(np.asarray(first) - np.asarray(second))
    value, (variance, freedom) = float(less.mean()), _of_mean(less)
    interval = _around(value, variance, freedom)
    if variance == math.inf:
        p = 1.0
    elif variance > 0:
        p = two_sided_p(value / math.sqrt(variance), freedom)
    else:
        p = float(value == 0)
    return Difference(interval.value, interval.low, interval.high, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values made larger for their number, so that all verdicts below 0.05 are right together in 95% of the tables.

    The smallest of n counts n times, the next n - 1 times, and none less than a smaller one (Holm, 1979).
    """
    corrected, largest = [1.0] * len(p_values), 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        corrected[number] = largest
    return corrected


def _of_mean(values: Floats) -> tuple[float, float]:
    """Variance of the mean of (S, M) values, and its degrees of freedom."""
    seeds, dialogs = values.shape
    by_seed, by_dialog = values.mean(axis=1), values.mean(axis=0)
    if dialogs == 1 and seeds > 1:
        return float(by_seed.var(ddof=1)) / seeds, seeds - 1
    of_dialogs = float(by_dialog.var(ddof=1)) / dialogs if dialogs > 1 else math.inf
    both = values - by_seed[:, None] - by_dialog + values.mean()
    of_both = float((both**2).sum()) / max((seeds - 1) * (dialogs - 1), 1) / values.size
    beyond, freedom = _beyond_dialogs(by_seed, of_dialogs, of_both, dialogs)
    return of_dialogs + beyond, freedom


def _of_summary(values: Floats, summary: Callable[..., Any], generator: np.random.Generator) -> Interval:
    """The interval of a summary of (S, M) values that is no mean.

    Over dialogs it holds 95% of the resamples and has two sides of their own, since ranks are whole numbers and their
    median jumps. Each side is made longer by what the seeds vary beyond the dialogs, as a sum of squares.
    """
    seeds, dialogs = values.shape
    by_seed = summary(values, axis=-1)
    at_once = max(1, VALUES_AT_ONCE // values.size)
    drawn = np.concatenate(
        [
            summary(values[:, generator.integers(dialogs, size=(min(at_once, RESAMPLES - start), dialogs))], axis=-1)
            for start in range(0, RESAMPLES, at_once)
        ],
        axis=1,
    )  # (S, resamples)
    mean = drawn.mean(axis=0)
    of_both = float((drawn - mean).var(axis=1, ddof=1).sum()) / max(seeds - 1, 1) / seeds
    beyond, freedom = _beyond_dialogs(by_seed, float(mean.var(ddof=1)), of_both, dialogs)
    over_dialogs = Interval.from_resamples(by_seed.mean(), mean)
    value, wider = over_dialogs.value, quantile(LEVEL, freedom)
    low, high = (
        value + sign * wider * math.sqrt(((side - value) / quantile(LEVEL, dialogs - 1)) ** 2 + beyond)
        for sign, side in ((-1, over_dialogs.low), (1, over_dialogs.high))
    )
    return Interval(value, float(max(low, values.min())), float(min(high, values.max())))


def _beyond_dialogs(by_seed: Floats, of_dialogs: float, of_both: float, dialogs: int) -> tuple[float, float]:
    """What scores by seed (S,) add to the variance over dialogs, and the degrees of freedom of the sum."""
    seeds = len(by_seed)
    if seeds == 1:
        return 0.0, dialogs - 1
    of_seeds = float(by_seed.var(ddof=1)) / seeds
    beyond = max(of_seeds - min(of_both, of_dialogs), 0.0)
    if of_seeds <= SEEDS_ALIKE * of_both:
        return beyond, dialogs - 1
    return beyond, min((seeds - 1) * (of_dialogs + beyond) / of_seeds, dialogs - 1)


def _around(value: float, variance: float, freedom: float) -> Interval:
    half = quantile(LEVEL, freedom) * math.sqrt(variance) if variance < math.inf else math.inf
    return Interval(value, value - half, value + half)


def _share(value: float, variance: float, freedom: float, dialogs: int) -> Interval:
    """Wilson's interval for a share in percent; where none or all of the dialogs have it, they are the trials."""
    share = value / 100
    if variance == math.inf:
        return Interval(value, 0.0, 100.0)
    if variance > 0:
        trials = 1e4 * share * (1 - share) / variance
    else:
        trials = dialogs if share in (0, 1) and dialogs > 1 else math.inf
    more = quantile(LEVEL, freedom) ** 2 / trials
    centre = (share + more / 2) / (1 + more)
    half = math.sqrt(more * share * (1 - share) + more**2 / 4) / (1 + more)
    return Interval(value, 100 * max(centre - half, 0.0), 100 * min(centre + half, 1.0))
