"""Chance: the floor of every comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from agents import checkpoints
from agents.agent import AGENT_FILE, Agent, Memory
from agents.checkpoints import Saved
from dialog_env.catalog import Catalog
from dialog_env.dialog import Observation
from dialog_env.ranking import Ranking, ScoreRanking
from dialog_env.vocabulary import Vocabulary


class Random(Agent):
    """A uniform random score for every image, drawn anew each turn; `bind` takes the draws back to their start."""

    name = "random"

    def __init__(self, seed: int = 0, device: str = "cpu") -> None:
        self.seed = seed
        self.device = torch.device(device)
        self._images = 0
        self._generator = torch.Generator(device=self.device)

    @classmethod
    def create(
        cls, args: Any, *, dimensions: int | None, vocabulary: Vocabulary | None, seed: int, device: str
    ) -> Random:
        """A random agent of this seed."""
        return cls(seed, device)

    @classmethod
    def restore(cls, saved: Saved, folder: Path, device: str) -> Random:
        """The random agent of the seed that was saved."""
        return cls(saved.facts["seed"], device)

    def bind(self, gallery: Catalog) -> None:
        """Takes the size of the gallery, and begins to draw from the seed."""
        self._images = len(gallery)
        self._generator.manual_seed(self.seed)

    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """Scores (B, N) that depend on nothing."""
        scores = torch.rand(len(observation), self._images, generator=self._generator, device=self.device)
        return ScoreRanking(scores), None

    def save(self, folder: str | Path) -> None:
        """Writes the seed."""
        checkpoints.write(Path(folder, AGENT_FILE), {}, {"agent": self.name, "seed": self.seed})
