"""Any agent that ranks by a query, on a gallery that is divided among processes."""

from __future__ import annotations

import torch

from dialog_env.agents.base import Agent, Memory
from dialog_env.catalog import Catalog
from dialog_env.world.ranking import QueryRanking, Ranking
from dialog_env.world.sharded import ShardedGallery, ShardedRanking, Shards
from dialog_env.world.state import Observation

NOWHERE = torch.iinfo(torch.int64).max
"""In place of the position of the image shown, which may be in the part of another process."""


class Sharded(Agent):
    """Embeds the part of this process as another agent does, and ranks by its queries with all the others.

    It shows the first image of the ranking; `Unseen(Sharded(…))` shows none twice. The other agent is not told at which
    position the image is that was shown: one that looks it up, as `belief` and `greedy` do, is refused.

    Args:
        inner: the agent whose queries rank, the same in every process.
        shards: how the gallery is divided.
    """

    name = "sharded"

    def __init__(self, inner: Agent, shards: Shards) -> None:
        super().__init__(inner.settings, dimensions=inner.dimensions, vocabulary=inner.vocabulary, device=inner.device)
        self.inner, self.shards, self.space = inner, shards, inner.space
        self.reads_attributes, self.knows_user = inner.reads_attributes, inner.knows_user  # type: ignore[misc]

    def bind(self, gallery: Catalog) -> None:
        """Binds the part of this process, which is `gallery`."""
        self.inner.bind(gallery)
        self._gallery: ShardedGallery | None = None

    def begin(self, batch: int) -> Memory:
        """That of the other agent."""
        return self.inner.begin(batch)

    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """The order of the whole gallery by the query of the other agent.

        Raises:
            ValueError: the agent looks up images by their position, or does not rank by a query.
            ConnectionError: a process that holds another part has gone.
        """
        nowhere = torch.full_like(observation.candidate, NOWHERE)
        try:
            ranking, memory = self.inner.rank(
                Observation(nowhere, observation.features, observation.feedback, observation.turn), memory
            )
        except IndexError as error:
            raise ValueError(
                f"agent {self.inner.name} looks up the image shown by its position, which another process may hold; "
                "rank by what the observation holds of it"
            ) from error
        if not isinstance(ranking, QueryRanking):
            raise ValueError(
                f"agent {self.inner.name} gives a {type(ranking).__name__}, and only queries can be asked of all parts "
                "of a gallery; give a QueryRanking"
            )
        if self._gallery is None or self._gallery.embeddings is not ranking.gallery.embeddings:
            self._gallery = ShardedGallery(ranking.gallery.embeddings, self.shards)
        return ShardedRanking(ranking.queries, self._gallery), memory
