"""Chance: the floor of every comparison."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from dialog_env.agents.base import Agent, Memory
from dialog_env.catalog import Catalog
from dialog_env.world.ranking import Ranking, ScoreRanking
from dialog_env.world.state import Observation


class Random(Agent):
    """A uniform random score for every image, drawn anew each turn; `bind` takes the draws back to their start.

    Every dialog has draws of its own, by the order in which dialogs begin, so none depends on the batch around it. The
    memory is the number of each dialog, (B,) int64.
    """

    name = "random"

    def bind(self, gallery: Catalog) -> None:
        """Takes the size of the gallery, and begins to draw from the seed."""
        self._images = len(gallery)
        self._begun = 0

    def begin(self, batch: int) -> Memory:
        """Numbers (B,) of the dialogs, counted since `bind`."""
        first, self._begun = self._begun, self._begun + batch
        return torch.arange(first, self._begun)

    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """Scores (B, N) that depend on nothing but the seed, the number of the dialog and the turn."""
        rows = zip(memory.tolist(), observation.turn.tolist(), strict=True)
        scores = torch.stack([self._scores(dialog, turn) for dialog, turn in rows])
        return ScoreRanking(scores.to(self.device)), memory

    def _scores(self, dialog: int, turn: int) -> Tensor:
        digest = hashlib.sha256(f"{self.seed}:{dialog}:{turn}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
        return torch.rand(self._images, generator=generator)
