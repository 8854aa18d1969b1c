"""Browsing by looks alone: nearest to the image last shown, whatever the person says."""

from __future__ import annotations

import torch

from dialog_env.agents.base import Agent, Decision, Memory
from dialog_env.agents.candidate_selection import first_unseen
from dialog_env.catalog import Catalog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking
from dialog_env.world.state import Observation


class Greedy(Agent):
    """Ranks images by the distance of their pooled features to those of the image last shown.

    That image itself comes first in the ranking, so it shows the next one that it has not shown yet. The memory is
    (B, S) int64, the positions shown.
    """

    name = "greedy"

    _gallery: EmbeddedGallery | None = None

    def bind(self, gallery: Catalog) -> None:
        """Takes the pooled features of a gallery."""
        self._gallery = EmbeddedGallery(torch.from_numpy(gallery.features).to(self.device))

    def begin(self, batch: int) -> Memory:
        """Nothing shown."""
        return torch.zeros(batch, 0, dtype=torch.int64, device=self.device)

    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """Images by the distance to the candidate."""
        if self._gallery is None:
            raise RuntimeError("agent greedy has no gallery; call bind first")
        shown = torch.cat([memory, observation.candidate[:, None]], dim=1)
        return QueryRanking(observation.features, self._gallery), shown

    def act(self, observation: Observation, memory: Memory) -> Decision:
        """Shows the nearest image not shown yet; once all have been, the candidate again."""
        ranking, shown = self.rank(observation, memory)
        return Decision(ranking, first_unseen(ranking, shown), shown)
