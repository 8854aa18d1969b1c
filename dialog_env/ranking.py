"""Where a target stands among all images: exact ranks, ties counted half, whatever the batch or chunk size.

Squared distances are accumulated in float64 and then rounded to float32. Two images with equal embeddings get equal
distances however the product was cut, so ties are ties, and no rank depends on the chunk or the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

CHUNK_ELEMENTS = 8_388_608
"""A chunk holds at most this many distances and, apart from them, this many feature values: 64 MiB each in float64."""


@dataclass(frozen=True)
class Standing:
    """How the images compare with the target of each dialog.

    Args:
        closer: (B,) int64, images strictly before the target.
        equal: (B,) int64, images level with the target, itself included.
        images: N, the size of the gallery.
    """

    closer: Tensor
    equal: Tensor
    images: int

    def rank(self, ties: str = "half") -> Tensor:
        """(B,) 0-based rank: closer + (equal - 1) / 2 as float32, or `closer` alone with ties="strict"."""
        if ties == "strict":
            return self.closer.float()
        return self.closer + (self.equal - 1) / 2

    def percentile(self, ties: str = "half") -> Tensor:
        """(B,) float32 ranking percentile in (0, 1]: 1 - rank / N (DESIGN 2)."""
        return 1 - self.rank(ties) / self.images


class Ranking(ABC):
    """An order of the gallery for each dialog of a batch; the best image comes first."""

    images: int

    def __len__(self) -> int:
        return self.batch

    @property
    @abstractmethod
    def batch(self) -> int:
        """B, the number of dialogs."""

    @abstractmethod
    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """First position and costs (B, n) of consecutive pieces of the gallery; a lower cost is better."""

    @abstractmethod
    def costs(self, positions: Tensor) -> Tensor:
        """(B, K) costs of images (B, K), equal to those in `chunks`."""

    def standing(self, targets: Tensor) -> Standing:
        """How many images stand before and level with `targets` (B,)."""
        reference = self.costs(targets[:, None])
        closer = torch.zeros_like(targets)
        equal = torch.zeros_like(targets)
        for _, cost in self.chunks():
            closer += (cost < reference).sum(dim=1)
            equal += (cost == reference).sum(dim=1)
        return Standing(closer, equal.clamp(min=1), self.images)

    def top(self, count: int, excluded: Tensor | None = None) -> Tensor:
        """(B, K) positions of the best images, best first; the lower position wins a tie.

        Args:
            count: K.
            excluded: (B, E) positions that are left out, -1 for none.

        Raises:
            ValueError: more images asked for than there are.
        """
        if not 1 <= count <= self.images:
            raise ValueError(
                f"{count} nearest images asked for in a gallery of {self.images}; ask for 1 to {self.images}"
            )
        best_cost: Tensor | None = None
        best: Tensor | None = None
        for start, cost in self.chunks():
            if excluded is not None:
                cost = _without(cost, excluded - start)
            kept = _first(cost, min(count, cost.shape[1]))
            cost, positions = cost.gather(1, kept), kept + start
            if best is not None and best_cost is not None:
                cost, positions = torch.cat([best_cost, cost], dim=1), torch.cat([best, positions], dim=1)
                kept = _first(cost, min(count, cost.shape[1]))
                cost, positions = cost.gather(1, kept), positions.gather(1, kept)
            best_cost, best = cost, positions
        assert best is not None
        return best


def _without(cost: Tensor, excluded: Tensor) -> Tensor:
    """`cost` (B, n) with infinity at columns `excluded` (B, E) that lie within it."""
    inside = (excluded >= 0) & (excluded < cost.shape[1])
    column = excluded.clamp(0, cost.shape[1] - 1)
    current = cost.gather(1, column)
    return cost.scatter_reduce(1, column, current.masked_fill(inside, torch.inf), "amax")


def _first(cost: Tensor, count: int) -> Tensor:
    """Columns (B, K) of the lowest costs, lowest first; the lower column wins a tie, which `topk` does not promise."""
    if count == 1:
        return cost.argmin(dim=1, keepdim=True)
    if count == cost.shape[1]:
        return cost.argsort(dim=1, stable=True)
    limit = cost.topk(count, dim=1, largest=False).values[:, -1:]
    settled = (cost < limit).sum(dim=1, keepdim=True)
    level = cost == limit
    chosen = (cost < limit) | (level & (level.cumsum(dim=1) <= count - settled))
    columns = chosen.nonzero()[:, 1].view(len(cost), count)
    return columns.gather(1, cost.gather(1, columns).argsort(dim=1, stable=True))


class ScoreRanking(Ranking):
    """Images ordered by a score each, higher first.

    Args:
        scores: (B, N) float.
    """

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores
        self.images = scores.shape[1]

    @property
    def batch(self) -> int:
        """B, the number of dialogs."""
        return len(self.scores)

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """All costs at once: they are there already."""
        yield 0, -self.scores

    def costs(self, positions: Tensor) -> Tensor:
        """(B, K) negated scores."""
        return -self.scores.gather(1, positions)


class EmbeddedGallery:
    """The image embeddings of a gallery, ready to be searched.

    Args:
        embeddings: (N, D) float32 on the device where it is searched; a memory-mapped tensor is read in pieces.
    """

    def __init__(self, embeddings: Tensor) -> None:
        self.embeddings = embeddings.detach()
        dimensions = embeddings.shape[1]
        self.rows = max(1, CHUNK_ELEMENTS // max(dimensions, 1))

    def __len__(self) -> int:
        return len(self.embeddings)

    @cached_property
    def _resident(self) -> tuple[Tensor, Tensor] | None:
        """Embeddings in float64 (D, N) with their squared norms (N,), where one chunk holds them all."""
        return self._prepare(0, len(self)) if len(self) <= self.rows else None

    def _prepare(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        piece = self.embeddings[start:stop].double()
        return piece.T, piece.square().sum(dim=1)

    def pieces(self, batch: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """First position, embeddings (D, n) and squared norms (n,), both float64, in pieces fit for B queries."""
        rows = max(1, min(self.rows, CHUNK_ELEMENTS // max(batch, 1)))
        for start in range(0, len(self), rows):
            stop = min(start + rows, len(self))
            if self._resident is not None:
                yield start, self._resident[0][:, start:stop], self._resident[1][start:stop]
            else:
                yield start, *self._prepare(start, stop)


class QueryRanking(Ranking):
    """Images ordered by squared Euclidean distance of their embedding to a query, nearest first (DESIGN 2).

    Costs leave out the query's own squared norm, which is the same for all images. Without it no cost is the
    small difference of large numbers, so equal embeddings stay equal after rounding.

    Args:
        queries: (B, D) float32.
        gallery: the embeddings to search.
    """

    def __init__(self, queries: Tensor, gallery: EmbeddedGallery) -> None:
        self.queries = queries.detach()
        self.gallery = gallery
        self.images = len(gallery)

    @property
    def batch(self) -> int:
        """B, the number of dialogs."""
        return len(self.queries)

    @cached_property
    def _doubled(self) -> Tensor:
        return self.queries.double() * -2

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """Costs (B, n) by matrix product, piece by piece."""
        for start, embeddings, norms in self.gallery.pieces(self.batch):
            yield start, torch.addmm(norms, self._doubled, embeddings).float()

    def costs(self, positions: Tensor) -> Tensor:
        """(B, K) costs of single images, by the same arithmetic as the pieces."""
        chosen = self.gallery.embeddings[positions.to(self.gallery.embeddings.device)].double()
        products = torch.einsum("bkd,bd->bk", chosen, self._doubled)
        return (chosen.square().sum(dim=2) + products).float()
