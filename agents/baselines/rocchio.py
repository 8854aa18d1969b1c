"""Relevance feedback by Rocchio's rule (Rocchio, 1971): towards what was closer, away from what was farther."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dialog_env.agents.base import Agent, Decision, Memory
from dialog_env.agents.candidate_selection import first_unseen
from dialog_env.catalog import Catalog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking
from dialog_env.world.state import Observation

CLOSER, FARTHER = "closer", "farther"


@dataclass(frozen=True)
class RocchioSettings:
    """Settings of Rocchio's rule."""

    keep: float = 1.0
    """Weight of the query of before."""
    toward: float = 0.75
    """Weight of the image that was closer."""
    away: float = 0.25
    """Weight of the image that was farther."""

    def __post_init__(self) -> None:
        if not self.keep + self.toward - self.away > 0:
            raise ValueError(
                f"keep {self.keep} + toward {self.toward} - away {self.away} is not above 0; give a smaller away"
            )


@dataclass(frozen=True)
class Search:
    """What Rocchio's rule remembers of B dialogs.

    Args:
        query: (B, D), or None before the first image.
        features: (B, D) of the image last shown.
        shown: (B, S) int64 positions shown.
    """

    query: Tensor | None
    features: Tensor | None
    shown: Tensor


class Rocchio(Agent):
    """Moves a query through the space of pooled features and shows the nearest image not shown yet.

    The first image is the first query. At each word after it, of the last two images the one that is closer to the
    target counts as relevant and the other as not:
    q <- (keep q + toward x_closer - away x_farther) / (keep + toward - away).

    Raises:
        ValueError: a vocabulary without "closer" and "farther".
    """

    name = "rocchio"
    Settings = RocchioSettings

    def __init__(self, settings: Any = None, **made_with: Any) -> None:
        super().__init__(settings, **made_with)
        words = {} if self.vocabulary is None else self.vocabulary.tokens
        for word in (CLOSER, FARTHER):
            if word not in words:
                raise ValueError(
                    f"agent rocchio needs a user who says {CLOSER!r} and {FARTHER!r}, and {word!r} is not among the "
                    f"{len(words)} words of this one; use the user simulator `relevance`"
                )
        self._words = [words[CLOSER], words[FARTHER]]
        self._gallery: EmbeddedGallery | None = None

    def bind(self, gallery: Catalog) -> None:
        """Takes the pooled features of a gallery."""
        self._gallery = EmbeddedGallery(torch.from_numpy(gallery.features).to(self.device))

    def begin(self, batch: int) -> Search:
        """Nothing shown."""
        return Search(None, None, torch.zeros(batch, 0, dtype=torch.int64, device=self.device))

    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Search]:
        """Images by the distance to the query, once it has moved."""
        if self._gallery is None:
            raise RuntimeError("agent rocchio has no gallery; call bind first")
        query = observation.features if memory.query is None else self._move(memory, observation)
        shown = torch.cat([memory.shown, observation.candidate[:, None]], dim=1)
        return QueryRanking(query, self._gallery), Search(query, observation.features, shown)

    def _move(self, memory: Search, observation: Observation) -> Tensor:
        assert memory.query is not None
        assert memory.features is not None
        word = observation.feedback[:, :1]
        closer, farther = (word == token for token in self._words)
        good = torch.where(closer, observation.features, memory.features)
        bad = torch.where(closer, memory.features, observation.features)
        settings = self.settings
        moved = (settings.keep * memory.query + settings.toward * good - settings.away * bad) / (
            settings.keep + settings.toward - settings.away
        )
        return torch.where(closer | farther, moved, memory.query)

    def act(self, observation: Observation, memory: Memory) -> Decision:
        """Shows the nearest image not shown yet; once all have been, simply the nearest."""
        ranking, memory = self.rank(observation, memory)
        return Decision(ranking, first_unseen(ranking, memory.shown), memory)
