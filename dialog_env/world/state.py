"""What a batch of dialogs is at one moment, what an agent may know of it, and what a turn did."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from dialog_env.world.ranking import TargetRank


@dataclass(frozen=True)
class Observation:
    """What an agent may know of B dialogs; nothing of the target. Its tensors are its own: no other is a view of them.

    Args:
        candidate: (B,) int64, gallery positions of the images shown.
        features: (B, D) float32, pooled features of those images.
        feedback: (B, L) int64, tokens of the feedback on them; all 0 once a dialog has ended.
        turn: (B,) int64, answers given so far to this dialog: 0 at its start.
    """

    candidate: Tensor
    features: Tensor
    feedback: Tensor
    turn: Tensor

    def __len__(self) -> int:
        return len(self.candidate)


@dataclass(frozen=True)
class DialogState:
    """All that a dialog is at one moment; tensors of B rows on one device."""

    target: Tensor
    candidate: Tensor
    previous: Tensor
    feedback: Tensor
    turn: Tensor
    found: Tensor

    def rows(self, index: Tensor) -> DialogState:
        """The dialogs at `index` (M,), in that order, repeated where it repeats."""
        return DialogState(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True)
class Outcome:
    """What a turn did.

    Args:
        target_rank: where the target stood in the ranking that the agent gave.
        over: (B,) bool, dialogs that this turn ended.
        found: (B,) bool, dialogs whose candidate is now the target.
    """

    target_rank: TargetRank
    over: Tensor
    found: Tensor


@dataclass(frozen=True)
class Situation:
    """Where B dialogs are.

    Args:
        state: of the world.
        target_rank: where the targets stood in the ranking that led here, at the start by distance to the first
            candidate; None where nobody asks for it.
    """

    state: DialogState
    target_rank: TargetRank | None
