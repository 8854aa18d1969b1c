"""What is known of the target when one knows the user: exactly, or as a likelihood."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from dialog_env.agents.ceiling.answers import AnswerTable
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator

PAIRS_AT_ONCE = 262_144
"""So many (dialog, image) pairs, or those of one dialog, are looked at in one piece."""


class Belief(Protocol):
    """How what was said changes what is believed of N images in B dialogs."""

    def begin(self, batch: int) -> Tensor:
        """(B, N) what is believed before anything was said."""

    def hear(self, belief: Tensor, observation: Observation, previous: Tensor) -> Tensor:
        """(B, N) what is believed after one more answer; `previous` (B,) is as in `UserSimulator.feedback`."""

    def scores(self, belief: Tensor, shown: Tensor) -> Tensor:
        """(B, N) scores, the likeliest image the highest; `shown` (B, N) bool, images shown so far."""


class Consistent:
    """For a deterministic user: the images of which it would have said just what it said, all equally likely.

    The belief is (B, N) bool. Its images score 2, or 1 once they were shown, and all others 0.

    Args:
        answers: of the user.
    """

    def __init__(self, answers: AnswerTable) -> None:
        self.answers = answers

    def begin(self, batch: int) -> Tensor:
        """Every image."""
        return torch.ones(batch, self.answers.images, dtype=torch.bool, device=self.answers.device)

    def hear(self, belief: Tensor, observation: Observation, previous: Tensor) -> Tensor:
        """Keeps the images with this answer; ValueError where none is left, as the user would not say it again."""
        said = self.answers.pack(observation.feedback)
        left = torch.zeros_like(belief)
        pieces = belief.sum(dim=1).cumsum(dim=0) // PAIRS_AT_ONCE
        for piece in pieces.unique():
            rows = (pieces == piece).nonzero()[:, 0]
            place, targets = belief[rows].nonzero(as_tuple=True)
            dialogs = rows[place]
            answers = self.answers.ask(targets, observation.candidate[dialogs], previous[dialogs])
            left[dialogs, targets] = (answers == said[dialogs]).all(dim=1)
        if not bool(left.any(dim=1).all()):
            raise ValueError(
                f"user {self.answers.simulator.id} gave an answer that it would now give for no image; the ceiling "
                "needs a user who repeats itself, or one with deterministic=False and log_likelihood"
            )
        return left

    def scores(self, belief: Tensor, shown: Tensor) -> Tensor:
        """Scores (B, N) float32: what was shown without end of the dialog comes after what was not."""
        return belief.float() + (belief & ~shown)


class Likely:
    """For a user who may answer in several ways: the log-probability of all that it said, given each image.

    The belief is (B, N) float64 in nats, and is the score. Images shown before count as any other.

    Args:
        simulator: a user with `log_likelihood`, to whom the image shown before does not matter.
        images: N.
        device: where the dialogs are.
    """

    def __init__(self, simulator: UserSimulator, images: int, device: torch.device) -> None:
        self.log_likelihood = simulator.log_likelihood  # type: ignore[attr-defined]
        self.images = images
        self.device = device

    def begin(self, batch: int) -> Tensor:
        """Nothing said of any image."""
        return torch.zeros(batch, self.images, dtype=torch.float64, device=self.device)

    def hear(self, belief: Tensor, observation: Observation, previous: Tensor) -> Tensor:
        """Adds the log-probability of this answer on this candidate, for every image."""
        belief = belief.clone()
        at_once = max(1, PAIRS_AT_ONCE // self.images)
        for first in range(0, len(belief), at_once):
            some = slice(first, first + at_once)
            tokens, candidates = (
                part[some].repeat_interleave(self.images, dim=0)
                for part in (observation.feedback, observation.candidate)
            )
            targets = torch.arange(self.images, device=self.device).repeat(len(belief[some]))
            belief[some] += self.log_likelihood(tokens, targets, candidates).view(-1, self.images)
        return belief

    def scores(self, belief: Tensor, shown: Tensor) -> Tensor:
        """The belief itself."""
        return belief
