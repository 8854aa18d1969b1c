"""What a turn is worth."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import torch
from torch import Tensor

from dialog_env.registry import Parts
from dialog_env.world.state import Outcome, Situation


class Reward(Protocol):
    """From what a turn began with, what it did and where it led, to a number for each of B dialogs.

    A plain function of the three will do. Its class is called without arguments.

    Attributes:
        needs_rank_before: may be left out; True asks for `before.target_rank`, which is None otherwise.
    """

    def __call__(self, before: Situation, outcome: Outcome, after: Situation) -> Tensor:
        """(B,) float32 for a turn."""
        ...

    def early_bonus(self, outcome: Outcome, turns: Tensor) -> Tensor:
        """(B,) float32 for `turns` (B,) that a dialog did not need because its target was found.

        Asked for with `stop_when_found=True` alone. Paid as if each turn had percentile 1, finding early never costs
        return.
        """
        ...


class Percentile:
    """The ranking percentile, in [0, 1] (the paper's)."""

    def __call__(self, before: Situation, outcome: Outcome, after: Situation) -> Tensor:
        """1 - rank / N."""
        return outcome.target_rank.percentile()

    def early_bonus(self, outcome: Outcome, turns: Tensor) -> Tensor:
        """1 for each."""
        return turns.float()


class PercentileChange:
    """How much the ranking percentile rose; a dialog's rewards add up to its last percentile less its first."""

    needs_rank_before = True

    def __call__(self, before: Situation, outcome: Outcome, after: Situation) -> Tensor:
        """Percentile now less percentile before."""
        assert before.target_rank is not None
        return outcome.target_rank.percentile() - before.target_rank.percentile()

    def early_bonus(self, outcome: Outcome, turns: Tensor) -> Tensor:
        """The rise to 1, once, where any turn was saved."""
        return (1 - outcome.target_rank.percentile()) * (turns > 0)


class LogRank:
    """Minus the logarithm of the 1-based rank: 0 at best."""

    def __call__(self, before: Situation, outcome: Outcome, after: Situation) -> Tensor:
        """-log(1 + rank)."""
        return -torch.log1p(outcome.target_rank.rank())

    def early_bonus(self, outcome: Outcome, turns: Tensor) -> Tensor:
        """0 for each, the logarithm of the first rank."""
        return torch.zeros_like(turns, dtype=torch.float32)


class Found:
    """1 while the target is shown, else 0."""

    def __call__(self, before: Situation, outcome: Outcome, after: Situation) -> Tensor:
        """1 where the image shown is the target."""
        return outcome.found.float()

    def early_bonus(self, outcome: Outcome, turns: Tensor) -> Tensor:
        """1 for each."""
        return turns.float()


REWARDS = Parts(
    "reward",
    "rewards",
    {"percentile": Percentile, "change": PercentileChange, "log_rank": LogRank, "found": Found},
    required=("__call__",),
)
"""Value of the keyword `reward` to what a turn is worth."""


def reward_of(asked: Any, *, stop_when_found: bool) -> Reward:
    """What turns are worth: by name, `module:Class`, class, object or function.

    Raises:
        ValueError: what is none, or pays no early bonus where one is needed.
    """
    reward: Reward = REWARDS.make(asked)
    name = getattr(reward, "__name__", type(reward).__name__)
    try:
        inspect.signature(reward).bind(None, None, None)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name!r} is no reward: it is not called with what was before, the outcome and what is after ({error}); "
            "give a function of these three"
        ) from error
    if stop_when_found and not hasattr(reward, "early_bonus"):
        raise ValueError(f"reward {name!r} has no early_bonus, which stop_when_found=True pays; give it one")
    return reward
