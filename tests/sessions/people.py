"""Stand-ins that the tests of sessions share."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env import agents
from dialog_env.agents import Agent, Decision
from dialog_env.agents.base import Memory
from dialog_env.catalog import Catalog
from dialog_env.sessions import Partner
from dialog_env.world.ranking import ScoreRanking
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator
from tests.toys import ToyUser


class ToyPerson(ToyUser):
    """A toy user who may err: each wrong word costs two nats."""

    uses_previous = False

    def log_likelihood(self, tokens: Tensor, targets: Tensor, candidates: Tensor) -> Tensor:
        truth = self.feedback(targets, candidates, candidates)
        wrong = (tokens[:, :, None] == (truth[:, None, :4] - 1 ^ 1) + 1).any(dim=1).sum(dim=1)
        return -2.0 * wrong.double()


def partner_of(
    gallery: Catalog, name: str = "ceiling", user: UserSimulator | None = None, **settings: object
) -> Partner:
    user = user or ToyPerson(gallery)
    agent = agents.create(name, gallery=gallery, vocabulary=user.vocabulary, **settings)
    return Partner(agent, gallery, user=user)


class Listening(Agent):
    """Keeps all that it is told, and scores images by how often their number was shown; `broken` scores are NaN."""

    name = "listening"
    broken = False

    def __init__(self, **made_with: object) -> None:
        super().__init__(None, **made_with)
        self.told: list[Observation] = []

    def bind(self, gallery: Catalog) -> None:
        self.gallery = gallery

    def begin(self, batch: int) -> Memory:
        return torch.zeros(batch, len(self.gallery))

    def rank(self, observation: Observation, memory: Memory) -> tuple[ScoreRanking, Memory]:
        self.told.append(observation)
        memory = memory.scatter_add(1, observation.candidate[:, None], torch.ones(len(observation), 1))
        scores = -memory - torch.arange(memory.shape[1]) / 1000
        return ScoreRanking(scores * torch.nan if self.broken else scores), memory

    def act(self, observation: Observation, memory: Memory) -> Decision:
        return super().act(observation, memory)


def sentence(user: UserSimulator, target: int, candidate: int) -> str:
    """What a user says of two images."""
    asked = (torch.tensor([each]) for each in (target, candidate, -1))
    return user.vocabulary.decode(user.feedback(*asked).numpy())[0]
