"""The dialog as the documents say it is, one dialog and one image at a time, in plain Python: the oracle.

Written from the design and the environment's docstring, not from the code, and as slow as it likes. An image's cost is
its squared distance to the query less the query's own square, exact but for one rounding to float32; images of equal
cost are level and count half; of level images the first is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

WORDS_AT_MOST = 16
Answers = Callable[[int, int, int], list[int]]
"""(target, candidate, image before or -1) to the tokens of the feedback."""


def query_costs(query: Sequence[float], features: Sequence[Sequence[float]]) -> list[float]:
    """Costs of all images for a query of float32 numbers."""
    return [
        float(np.float32(math.fsum(part for x, q in zip(image, query, strict=True) for part in (x * x, -2 * q * x))))
        for image in features
    ]


def score_costs(scores: Sequence[float]) -> list[float]:
    """Costs of all images for a score each, higher being better."""
    return [-float(np.float32(score)) for score in scores]


def best(costs: Sequence[float]) -> int:
    """The image that is shown."""
    return costs.index(min(costs))


def target_rank(costs: Sequence[float], target: int) -> tuple[int, int]:
    """How many images are closer than the target, and how many are level with it, itself included."""
    return sum(cost < costs[target] for cost in costs), sum(cost == costs[target] for cost in costs)


def half_rank(closer: int, equal: int) -> float:
    """The 0-based rank."""
    return closer + (equal - 1) / 2


@dataclass
class Rules:
    """The keywords of an environment that decide what a turn does.

    Args:
        features: N images of D numbers each, float32.
        answers: the user.
        action: "candidate", "query" or "score".
        reward: "percentile", "change", "log_rank" or "found".
        turns: T.
        stop_when_found: whether a dialog ends when its target is shown.
    """

    features: list[list[float]]
    answers: Answers
    action: str
    reward: str
    turns: int
    stop_when_found: bool

    @property
    def bound(self) -> float:
        """What queries are measured in, and what bounds observed features: 1, or the largest absolute feature."""
        return max(1.0, max(abs(x) for image in self.features for x in image))

    def costs(self, action: Sequence[float] | int) -> list[float]:
        """What an action ranks the gallery by."""
        if self.action == "score":
            assert not isinstance(action, int)
            return score_costs(action)
        if self.action == "candidate":
            assert isinstance(action, int)
            return query_costs(self.features[action], self.features)
        assert not isinstance(action, int)
        scaled = [float(np.float32(number) * np.float32(self.bound)) for number in action]
        return query_costs(scaled, self.features)


@dataclass
class LiteralDialog:
    """One dialog.

    Attributes:
        shown: the images shown, the first candidate first.
        said: the tokens of the feedback on each.
        rank: 0-based rank of the target now.
        over: whether it has ended.
    """

    rules: Rules
    target: int = -1
    shown: list[int] = field(default_factory=list)
    said: list[list[int]] = field(default_factory=list)
    rank: float = 0.0
    over: bool = True

    def begin(self, target: int, candidate: int) -> None:
        """Shows the first candidate."""
        self.target, self.shown, self.said = target, [candidate], [self.rules.answers(target, candidate, -1)]
        self.rank = half_rank(*target_rank(query_costs(self.rules.features[candidate], self.rules.features), target))
        self.over = False

    def step(self, action: Sequence[float] | int) -> float:
        """One turn; gives what it pays."""
        rules, before = self.rules, self.percentile
        costs = rules.costs(action)
        candidate = action if isinstance(action, int) else best(costs)
        self.rank = half_rank(*target_rank(costs, self.target))
        found = candidate == self.target
        self.over = self.turn + 1 == rules.turns or (rules.stop_when_found and found)
        answer = [] if self.over else rules.answers(self.target, candidate, self.shown[-1])
        self.shown.append(candidate)
        self.said.append(answer)
        unused = rules.turns - self.turn if self.over else 0
        return self._pay(before, found, unused)

    def _pay(self, before: float, found: bool, unused: int) -> float:
        if self.rules.reward == "percentile":
            return self.percentile + unused
        if self.rules.reward == "change":
            return self.percentile - before + (1 - self.percentile if unused else 0)
        if self.rules.reward == "log_rank":
            return -math.log(1 + self.rank)
        return float(found) + unused

    @property
    def turn(self) -> int:
        """Turns taken so far."""
        return len(self.shown) - 1

    @property
    def percentile(self) -> float:
        """1 - rank / N."""
        return 1 - self.rank / len(self.rules.features)

    def feedback(self) -> list[int]:
        """The tokens on the latest image, padded with 0."""
        return self.said[-1] + [0] * (WORDS_AT_MOST - len(self.said[-1]))
