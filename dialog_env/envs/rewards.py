"""What a turn is worth."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from dialog_env.world.ranking import TargetRank


class Reward(Protocol):
    """From where the target stands to a number for each of B dialogs.

    `turn` pays a turn; `early_bonus` pays the turns that a dialog did not need because its target was found, as if each
    had percentile 1, so that finding early never costs return.
    """

    needs_last: bool

    def turn(self, target_rank: TargetRank, last: TargetRank | None, found: Tensor) -> Tensor:
        """(B,) float32 for a turn; `last` is where the target stood a turn before, if `needs_last`."""
        ...

    def early_bonus(self, target_rank: TargetRank, turns: Tensor) -> Tensor:
        """(B,) float32 for `turns` (B,) saved ones."""
        ...


class Percentile:
    """The ranking percentile, in [0, 1] (the paper's)."""

    needs_last = False

    def turn(self, target_rank: TargetRank, last: TargetRank | None, found: Tensor) -> Tensor:
        """1 - rank / N."""
        return target_rank.percentile()

    def early_bonus(self, target_rank: TargetRank, turns: Tensor) -> Tensor:
        """1 for each."""
        return turns.float()


class PercentileChange:
    """How much the ranking percentile rose; a dialog's rewards add up to its last percentile less its first."""

    needs_last = True

    def turn(self, target_rank: TargetRank, last: TargetRank | None, found: Tensor) -> Tensor:
        """Percentile now less percentile before."""
        assert last is not None
        return target_rank.percentile() - last.percentile()

    def early_bonus(self, target_rank: TargetRank, turns: Tensor) -> Tensor:
        """The rise to 1, once, where any turn was saved."""
        return (1 - target_rank.percentile()) * (turns > 0)


class LogRank:
    """Minus the logarithm of the 1-based rank: 0 at best."""

    needs_last = False

    def turn(self, target_rank: TargetRank, last: TargetRank | None, found: Tensor) -> Tensor:
        """-log(1 + rank)."""
        return -torch.log1p(target_rank.rank())

    def early_bonus(self, target_rank: TargetRank, turns: Tensor) -> Tensor:
        """0 for each, the logarithm of the first rank."""
        return torch.zeros_like(turns, dtype=torch.float32)


class Found:
    """1 while the target is shown, else 0."""

    needs_last = False

    def turn(self, target_rank: TargetRank, last: TargetRank | None, found: Tensor) -> Tensor:
        """1 where the image shown is the target."""
        return found.float()

    def early_bonus(self, target_rank: TargetRank, turns: Tensor) -> Tensor:
        """1 for each."""
        return turns.float()


REWARDS: dict[str, type[Percentile] | type[PercentileChange] | type[LogRank] | type[Found]] = {
    "percentile": Percentile,
    "change": PercentileChange,
    "log_rank": LogRank,
    "found": Found,
}
"""Value of the keyword `reward` to what a turn is worth."""
