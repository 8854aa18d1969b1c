"""How sure an agent is of what the person means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dialog_env.agents.base import Memory
from dialog_env.world.ranking import Ranking


class Believer(Protocol):
    """What an agent may have beside all else: it says how likely it holds each image to be the one in mind."""

    def log_belief(self, memory: Memory) -> Tensor:
        """(B, N) natural logarithms of probabilities that add up to 1, after what the memory holds."""
        ...


@dataclass(frozen=True)
class Certainty:
    """How sure an agent is.

    Args:
        best: probability, by its own belief, that the first image of its ranking is meant; None where it has none.
        images: exp of the entropy of that belief, in nats: it is as unsure as between so many images that are equally
            likely; None where it has none.
        lead: by how many standard deviations of all costs the first image lies before the mean of the gallery, 0 where
            all images are level: what there is to say of an agent that orders images and believes nothing. None for
            one that believes something.
    """

    best: float | None = None
    images: float | None = None
    lead: float | None = None

    def told(self) -> str:
        """In words."""
        if self.best is None or self.images is None:
            return f"the first image lies {self.lead or 0:.1f} standard deviations before the mean of the gallery"
        if self.images < 1.5:
            return f"sure of the first image ({self.best:.0%})"
        return f"as unsure as between {self.images:,.0f} images ({self.best:.0%} for the first)"


def certainties(agent: object, ranking: Ranking, memory: Memory) -> list[Certainty]:
    """How sure an agent is in each of B dialogs.

    Args:
        agent: with the method of a `Believer`, or without.
        ranking: of the turn.
        memory: after it.

    Raises:
        ValueError: a belief that is no (B, N) of log-probabilities.
    """
    log_belief = getattr(agent, "log_belief", None)
    if log_belief is None:
        return [Certainty(lead=each) for each in _lead(ranking).tolist()]
    probability = log_belief(memory).detach().exp()
    total = probability.sum(dim=-1)
    if probability.shape != (ranking.batch, ranking.images) or not bool(((total - 1).abs() < 1e-3).all()):
        raise ValueError(
            f"the belief of agent {getattr(agent, 'name', type(agent).__name__)} is {tuple(probability.shape)} with "
            f"sums {total.flatten()[:3].tolist()}; give log-probabilities ({ranking.batch}, {ranking.images})"
        )
    best = probability.gather(1, ranking.top(1))[:, 0]
    images = torch.special.entr(probability).sum(dim=1).exp()
    return [Certainty(*each) for each in zip(best.tolist(), images.tolist(), strict=True)]


def _lead(ranking: Ranking) -> Tensor:
    """(B,) float64."""
    costs = torch.cat([piece.double() for _, piece in ranking.pieces()], dim=1)
    spread = costs.std(dim=1, correction=0)
    lead = (costs.mean(dim=1) - costs.amin(dim=1)) / spread
    return torch.where(spread > 0, lead, 0.0)
