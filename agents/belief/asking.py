"""Which image to show: the one by which the target is found soonest in expectation, the user being known."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.agents.ceiling.answers import AnswerTable
from dialog_env.agents.ceiling.information import expected_finding
from dialog_env.world.user import UserSimulator

COMPARISONS_AT_ONCE = 1 << 23
"""So many pairs of answers are compared in one piece."""
TABLE_BYTES = 256 << 20
"""Memory for answers of the user."""


class ExpectedFinding:
    """Weighs the likeliest images not shown yet by how likely the target is then found at this turn or the next.

    Of the user, who is asked what it would say, it learns how the answers on a candidate divide the likeliest targets;
    how likely each of these is the belief says. Of candidates that promise as much the likelier one is shown.

    Args:
        simulator: the user, deterministic, of the gallery.
        images: N.
        candidates: K, so many are weighed at most.
        targets: M, so many are told apart at most; as many as candidates at least.
        discount: what finding the target a turn later is worth.
        device: where it computes.

    Raises:
        ValueError: a user who may answer the same question in two ways.
    """

    def __init__(
        self,
        simulator: UserSimulator,
        images: int,
        *,
        candidates: int,
        targets: int,
        discount: float,
        device: torch.device,
    ) -> None:
        if not getattr(simulator, "deterministic", True):
            raise ValueError(
                f"user {simulator.id} may answer the same question in two ways, and what an answer would tell is "
                "known for deterministic users only; use ask=likely"
            )
        self.answers = AnswerTable(simulator, images, TABLE_BYTES, device)
        self.candidates, self.targets, self.discount = candidates, max(candidates, targets), discount

    def choose(self, log_belief: Tensor, shown: Tensor, current: Tensor) -> Tensor:
        """(B,) the images to show after `current` (B,), by the log-belief (B, N) and what was shown (B, S)."""
        at_once = max(1, COMPARISONS_AT_ONCE // (self.candidates * self.targets**2))
        parts = [each.split(at_once) for each in (log_belief, shown, current)]
        return torch.cat([self._choose(*some) for some in zip(*parts, strict=True)])

    def _choose(self, log_belief: Tensor, shown: Tensor, current: Tensor) -> Tensor:
        fresh = log_belief.scatter(1, shown, -torch.inf)
        left = fresh.isfinite().sum(dim=1)
        if int(left.min()) == 0:  # nothing is left to show: the likeliest again
            return log_belief.argmax(dim=1)
        count = min(self.targets, int(left.min()))
        likeliest = fresh.topk(count, dim=1)  # (b, n)
        targets, candidates = likeliest.indices, likeliest.indices[:, : self.candidates]
        weights = likeliest.values.double().softmax(dim=1)
        grid = (len(targets), candidates.shape[1], targets.shape[1])  # (b, K, M)
        asked = [
            targets[:, None].expand(grid),
            candidates[:, :, None].expand(grid),
            current[:, None, None].expand(grid),
        ]
        answers = self.answers.ask(*(each.flatten() for each in asked)).view(*grid, -1)
        best = expected_finding(answers, weights, self.discount).argmax(dim=1, keepdim=True)
        return candidates.gather(1, best)[:, 0]
