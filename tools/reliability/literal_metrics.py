"""The metrics of the protocol as the design words them, one dialog at a time: the oracle.

With ties counted half, what depends on a threshold is the expected value over all orders of the level images, each turn
having an order of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class LiteralDialogRecord:
    """One dialog: the target, the T + 1 images shown, and how many images were closer and level each time."""

    target: int
    shown: Sequence[int]
    closer: Sequence[int]
    equal: Sequence[int]
    images: int
    ties: str

    @property
    def turns(self) -> range:
        """1 to T."""
        return range(1, len(self.shown))

    def positions(self, turn: int) -> list[int]:
        """All 0-based ranks that the target may have, equally likely."""
        level = 1 if self.ties == "strict" else self.equal[turn]
        return [self.closer[turn] + place for place in range(level)]

    def rank(self, turn: int) -> float:
        """The middle of them."""
        return self.closer[turn] + (0.0 if self.ties == "strict" else (self.equal[turn] - 1) / 2)

    def expected(self, turn: int, worth: Callable[[int], float]) -> float:
        """What a 0-based rank is worth, on average over them."""
        positions = self.positions(turn)
        return math.fsum(map(worth, positions)) / len(positions)


def percentile(images: int, position: int) -> Fraction:
    """Exact, 0 to 100."""
    return 100 * (1 - Fraction(position, images))


def by_turn(worth: Callable[[LiteralDialogRecord, int], float]) -> Callable[[LiteralDialogRecord], list[float]]:
    """A value for each turn."""
    return lambda record: [worth(record, turn) for turn in record.turns]


def recall(count: int) -> Callable[[LiteralDialogRecord], list[float]]:
    """R@K."""
    return by_turn(lambda record, turn: record.expected(turn, lambda position: 100.0 * (position < count)))


def success(level: int) -> Callable[[LiteralDialogRecord], list[float]]:
    """Share of orders in which the percentile reaches a level."""
    return by_turn(
        lambda record, turn: record.expected(turn, lambda p: 100.0 * (percentile(record.images, p) >= level))
    )


def hits(record: LiteralDialogRecord) -> list[float]:
    """Hits@10: that it has been among the first ten at this turn or before."""
    missed, values = 1.0, []
    for share in recall(10)(record):
        missed *= 1 - share / 100
        values.append(100 * (1 - missed))
    return values


def found(record: LiteralDialogRecord, turn: int) -> float:
    """100 where the target has been shown by a turn."""
    return 100.0 * (record.target in record.shown[: turn + 1])


def repeated(record: LiteralDialogRecord, turn: int) -> float:
    """100 where the image was shown before."""
    return 100.0 * (record.shown[turn] in record.shown[:turn])


def bri(record: LiteralDialogRecord) -> float:
    """(1/2T) log(pi_0 pi_T) + (1/T) sum_{t=1..T-1} log pi_t, with pi_t the best 1-based rank so far."""
    pi = [min(record.rank(before) + 1 for before in range(turn + 1)) for turn in range(len(record.shown))]
    turns = len(record.shown) - 1
    return math.log(pi[0] * pi[-1]) / (2 * turns) + math.fsum(math.log(each) for each in pi[1:-1]) / turns


LITERAL: dict[str, Callable[[LiteralDialogRecord], list[float]]] = {
    "found": by_turn(found),
    "percentile": by_turn(lambda record, turn: 100 * (1 - record.rank(turn) / record.images)),
    "mean rank": by_turn(lambda record, turn: record.rank(turn) + 1),
    "median rank": by_turn(lambda record, turn: record.rank(turn) + 1),
    "R@1": recall(1),
    "R@5": recall(5),
    "R@10": recall(10),
    "R@50": recall(50),
    "Hits@10": hits,
    "MRR": by_turn(lambda record, turn: record.expected(turn, lambda position: 100 / (position + 1))),
    "NDCG@10": by_turn(lambda record, turn: record.expected(turn, lambda p: 100 / math.log2(p + 2) if p < 10 else 0.0)),
    "success@90": success(90),
    "success@95": success(95),
    "repeat rate": by_turn(repeated),
    "BRI": lambda record: [bri(record)],
}
"""Name of a metric to its values, one a turn or one a dialog."""
