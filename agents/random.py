"""Chance: the floor of every comparison."""

from __future__ import annotations

import torch

from agents.agent import Agent, Memory
from dialog_env.catalog import Catalog
from dialog_env.dialog import Observation
from dialog_env.ranking import Ranking, ScoreRanking


class Random(Agent):
    """A uniform random score for every image, drawn anew each turn; `bind` takes the draws back to their start."""

    name = "random"

    def bind(self, gallery: Catalog) -> None:
        """Takes the size of the gallery, and begins to draw from the seed."""
        self._images = len(gallery)
        self._generator = torch.Generator(device=self.device).manual_seed(self.seed)

    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """Scores (B, N) that depend on nothing."""
        scores = torch.rand(len(observation), self._images, generator=self._generator, device=self.device)
        return ScoreRanking(scores), None
