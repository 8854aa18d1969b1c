"""What the protocol reports: one function a metric, each from a record alone.

An agent may score several images alike, the target among them. Ranks and percentiles then count the middle of the
level images, and BRI is made of those ranks. What depends on a rank in another way (R@K, Hits, MRR, NDCG, success)
counts by its expected value over all orders of the level images, each as likely as any other: if the target is one of
ten level images behind the first five, that is half a hit for R@10. Orders at different turns are independent. With
ties="strict" the target comes before those level with it, as in the released code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.evaluate.protocol import Record
from dialog_env.registry import Parts

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Metric:
    """A number for each dialog, and how many dialogs make one.

    Args:
        of: from a record to (M, T) values, one a turn, or (M,) values, one a dialog.
        summary: what makes one number of M: the mean, the interquartile mean, or the median.
        higher_is_better: the direction.
        percent: whether the values run from 0 to 100.
        decimals: in tables.
        meaning: a sentence that is said below a table; empty where the name says it.
    """

    of: Callable[[Record], Values]
    summary: Callable[..., Values] = np.mean
    higher_is_better: bool = True
    percent: bool = True
    decimals: int = 1
    meaning: str = ""


def interquartile_mean(values: Values, axis: int = -1) -> Values:
    """Mean of the middle half of the values: the lowest and the highest quarter are left out (Agarwal et al., 2021)."""
    count = values.shape[axis]
    middle = np.sort(values, axis=axis).take(range(count // 4, count - count // 4), axis=axis)
    mean: Values = middle.mean(axis=axis)
    return mean


def percentile(record: Record) -> Values:
    """(M, T) ranking percentile, 0 to 100: 100 (1 - rank / N)."""
    return ranking_percentile(record.rank, record.images)


def ranking_percentile(rank: Values, images: int) -> Values:
    """Percentiles of 0-based ranks, 0 to 100."""
    return 100 * (1 - rank / images)


def rank(record: Record) -> Values:
    """(M, T) 1-based rank."""
    return record.rank + 1


def expected(record: Record, worth: Callable[[Values], Values]) -> Values:
    """(M, T) expected worth of the target's rank over all orders of the images level with it.

    Args:
        record: of the dialogs.
        worth: from 0-based ranks (N,) to what each is worth.
    """
    each = worth(np.arange(record.images, dtype=np.float64))
    first, level = record.closer[:, 1:], record.equal[:, 1:]
    alone = each[first]
    if record.ties == "strict" or (level == 1).all():
        return alone
    below = np.concatenate([[0.0], each.cumsum()])
    return np.where(level == 1, alone, (below[first + level] - below[first]) / level)


def _by_now(chance: Values) -> Values:
    """(M, T) chance that something has happened by each turn, from its chance at each turn, 0 to 1."""
    return 1 - np.cumprod(1 - chance, axis=1)


def recall_at(count: int) -> Callable[[Record], Values]:
    """(M, T) 100 where the target is among the first `count` images, else 0."""
    return lambda record: expected(record, lambda rank: 100.0 * (rank < count))


def cumulative_hits_at(count: int) -> Callable[[Record], Values]:
    """(M, T) 100 where the target has been among the first `count` images at this or an earlier turn, else 0."""
    return lambda record: 100 * _by_now(expected(record, lambda rank: 1.0 * (rank < count)))


def reciprocal_rank(record: Record) -> Values:
    """(M, T) 100 / 1-based rank; its mean is the MRR."""
    return expected(record, lambda rank: 100 / (rank + 1))


def ndcg_at(count: int) -> Callable[[Record], Values]:
    """(M, T) 100 / log2(1 + 1-based rank) within the first `count` images: NDCG with one relevant image."""
    return lambda record: expected(record, lambda rank: np.where(rank < count, 100 / np.log2(rank + 2), 0.0))


def success_at(level: float) -> Callable[[Record], Values]:
    """(M, T) 100 where the ranking percentile is at least `level`, else 0."""
    return lambda record: 100 * _success(record, level)


def _success(record: Record, level: float) -> Values:
    return expected(record, lambda rank: 1.0 * (ranking_percentile(rank, record.images) >= level))


def found(record: Record) -> Values:
    """(M, T) 100 where the target has been shown by that turn, whatever the ranking says of it then."""
    shown = np.logical_or.accumulate(record.shown == record.target[:, None], axis=1)
    return 100.0 * shown[:, 1:]


def repeat_rate(record: Record) -> Values:
    """(M, T) 100 where the image shown at a turn was shown before in that dialog."""
    shown = record.shown
    repeated = [(shown[:, :turn] == shown[:, turn : turn + 1]).any(axis=1) for turn in range(1, shown.shape[1])]
    return 100.0 * np.stack(repeated, axis=1)


def turns_to_success(record: Record) -> Values:
    """(M,) first turn whose percentile is at least 95; T + 1 where there is none."""
    return 1 + np.cumprod(1 - _success(record, 95), axis=1).sum(axis=1)


def best_log_rank_integral(record: Record) -> Values:
    """(M,) BRI = (1/2T) log(pi_0 pi_T) + (1/T) sum_{t=1..T-1} log pi_t, pi_t the best 1-based rank so far.

    Lower is better (Lee et al., ACL 2024). pi_0 is the rank by distance to the first candidate.
    """
    ranks = np.concatenate([record.initial_rank[:, None], record.rank], axis=1) + 1
    best = np.log(np.minimum.accumulate(ranks, axis=1))
    ends = (best[:, 0] + best[:, -1]) / (2 * record.turns)
    return ends + best[:, 1:-1].sum(axis=1) / record.turns


METRICS = Parts(
    "metric",
    "metrics",
    {
        "found": Metric(found, meaning="Found: the target has been shown by that turn."),
        "percentile": Metric(percentile),
        "IQM percentile": Metric(
            percentile, interquartile_mean, meaning="IQM: interquartile mean, of the middle half of the dialogs."
        ),
        "mean rank": Metric(rank, higher_is_better=False, percent=False),
        "median rank": Metric(rank, np.median, higher_is_better=False, percent=False),
        "R@1": Metric(recall_at(1)),
        "R@5": Metric(recall_at(5)),
        "R@10": Metric(recall_at(10)),
        "R@50": Metric(recall_at(50)),
        "Hits@10": Metric(cumulative_hits_at(10)),
        "MRR": Metric(reciprocal_rank),
        "NDCG@10": Metric(ndcg_at(10)),
        "success@90": Metric(success_at(90)),
        "success@95": Metric(success_at(95)),
        "repeat rate": Metric(repeat_rate, higher_is_better=False),
        "turns to success": Metric(turns_to_success, higher_is_better=False, percent=False),
        "BRI": Metric(best_log_rank_integral, higher_is_better=False, percent=False, decimals=2),
    },
)
"""A metric is a `Metric`."""


def metric_of(name: str) -> Metric:
    """The metric of a registered name, or at `module:NAME`; ValueError for what is none."""
    found = METRICS.find(name)
    if not isinstance(found, Metric):
        raise ValueError(
            f"{name!r} is no metric but a {type(found).__name__}; give an object of dialog_env.evaluate.metrics.Metric"
        )
    return found
