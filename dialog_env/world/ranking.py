"""Where a target stands among all images: exact ranks, ties counted half, whatever the batch or chunk size.

An image's cost is its squared distance accumulated in float64 and then rounded to float32, so that two images with
equal embeddings have equal costs. Costs are compared as they are: ties are ties. A large gallery on a CPU is searched
by `dialog_env.world.large_gallery`, which is faster there and finds the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dialog_env.io.lasting import lasting
from dialog_env.world import large_gallery
from dialog_env.world.large_gallery import LargeGallerySearch
from dialog_env.world.topk import counted, lowest_in, lowest_of

CHUNK_ELEMENTS = 524_288
"""A piece has at most this many costs, and at most this many feature values in float64: few enough for the cache."""

KEPT_ELEMENTS = 4_194_304
"""So many costs are kept between questions about the same queries, and so many features in float64 between all."""

GPU_CHUNK_ELEMENTS, GPU_KEPT_ELEMENTS = 33_554_432, 134_217_728
"""The same on a graphics card: enough to keep it busy, and at most 512 MiB of costs and 1 GiB of features."""

FEATURE_LIMIT = 1e15
"""No feature, embedding or query may be larger: up to ten million of its squares have a sum that float32 can hold."""

FEATURE_FLOOR = 1e-15
"""A gallery without a norm as large has squares that float32 holds badly or not at all; one of zeros alone is level."""


class UnrankableError(ValueError):
    """Scores, embeddings or queries by which no image can be ranked."""


def require_rankable(values: Tensor, what: str, limit: float = FEATURE_LIMIT) -> float:
    """The largest absolute one of real numbers (…), up to a limit; UnrankableError, saying what they are, otherwise."""
    if values.is_complex() or values.dtype == torch.bool:
        raise UnrankableError(f"{what} are of type {values.dtype}; give real numbers")
    if not values.numel() or values.is_meta:
        return 0.0
    low, high = values.detach().aminmax()
    largest = float(torch.maximum(-low.double(), high.double()))  # NaN where there is one
    if not largest <= limit:
        raise UnrankableError(f"{what} contain {largest}; give finite numbers from {-limit:.3g} to {limit:.3g}")
    return largest


@dataclass(frozen=True)
class TargetRank:
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
        """(B,) float32 ranking percentile in (0, 1]: 1 - rank / N."""
        rank = self.rank(ties)
        # By a number of the host a graphics card divides as if multiplied by its reciprocal, which rounds otherwise.
        return 1 - rank / torch.full_like(rank, self.images)


class Ranking(ABC):
    """An order of the gallery for each dialog of a batch; the best image comes first.

    Args:
        batch: B, the number of dialogs.
        images: N, the size of the gallery.
        device: where it is made.
    """

    def __init__(self, batch: int, images: int, device: torch.device) -> None:
        self.batch, self.images, self.device = batch, images, device

    def __len__(self) -> int:
        return self.batch

    @abstractmethod
    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """Consecutive pieces of the gallery: position of the first image and exact costs (B, n), lower is better."""

    @abstractmethod
    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) exact costs of the images at `positions` (P,) for the dialogs `rows` (P,)."""

    def target_rank(self, targets: Tensor) -> TargetRank:
        """How many images stand before and level with `targets` (B,)."""
        rows = torch.arange(self.batch, device=targets.device)
        closer, equal = self._compared(self.exact(rows, targets)[:, None])
        # A cost found alone and one found by a product may differ in the last bit; a target is level with itself.
        return TargetRank(closer, equal.clamp(min=1), self.images)

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
        return self._top(count, excluded)

    def _compared(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 each: how many costs are below the reference (B, 1), and how many equal it."""
        closer, equal = torch.zeros(2, self.batch, dtype=torch.int64, device=self.device)
        for _, costs in self.pieces():
            below, level = counted(costs, reference)
            closer, equal = closer + below, equal + level
        return closer, equal

    def _top(self, count: int, excluded: Tensor | None) -> Tensor:
        return lowest_of((lowest_in(costs, count, excluded, start) for start, costs in self.pieces()), count)


class ScoreRanking(Ranking):
    """Images ordered by a score each, higher first.

    Args:
        scores: (B, N) finite real numbers.
        trusted: who calls has made sure of that, and the device need not be waited for.

    Raises:
        UnrankableError: other scores. To pass over an image, choose another candidate; its score stays finite.
    """

    def __init__(self, scores: Tensor, *, trusted: bool = False) -> None:
        if scores.ndim != 2:
            raise UnrankableError(
                f"scores have shape {tuple(scores.shape)}; give one for each dialog and image, (B, N)"
            )
        if not trusted:
            require_rankable(scores, "scores", torch.finfo(torch.float64).max)
        super().__init__(len(scores), scores.shape[1], scores.device)
        self.scores = scores.detach()

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """All costs at once: they are there already."""
        yield 0, -self.scores

    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) negated scores."""
        return -self.scores[rows, positions]


class EmbeddedGallery:
    """The image embeddings of a gallery, ready to be searched.

    Args:
        embeddings: (N, D) float32 on the device where it is searched; a memory-mapped tensor is read in pieces.

    Raises:
        UnrankableError: embeddings that are not finite, or of which float32 cannot hold the squares.
    """

    def __init__(self, embeddings: Tensor) -> None:
        if embeddings.ndim != 2 or embeddings.dtype != torch.float32:
            raise UnrankableError(
                f"embeddings are {tuple(embeddings.shape)} {embeddings.dtype}; give one row an image, (N, D) float32"
            )
        largest = require_rankable(embeddings, "the features or embeddings of a gallery")
        if 0 < largest * embeddings.shape[1] ** 0.5 < FEATURE_FLOOR:
            raise UnrankableError(
                f"the features or embeddings of a gallery are at most {largest:.3g}, and float32 cannot hold their "
                f"squares; scale them up to norms of {FEATURE_FLOOR} or more"
            )
        self.embeddings = embeddings.detach()
        on_cpu = embeddings.device.type == "cpu"
        self.elements = CHUNK_ELEMENTS if on_cpu else GPU_CHUNK_ELEMENTS
        self.kept = KEPT_ELEMENTS if on_cpu else GPU_KEPT_ELEMENTS
        self.rows = max(1, self.elements // max(embeddings.shape[1], 1))

    def __len__(self) -> int:
        return len(self.embeddings)

    @cached_property
    @lasting
    def norms(self) -> Tensor:
        """(N,) float64 squared norms."""
        # One piece of memory for all pieces: fresh ones between lasting results would fragment the heap into gigabytes.
        room = self.embeddings.new_empty(min(self.rows, len(self)), self.embeddings.shape[1], dtype=torch.float64)
        norms = self.embeddings.new_empty(len(self), dtype=torch.float64)
        for piece, norm in zip(self.embeddings.split(self.rows), norms.split(self.rows), strict=True):
            torch.sum(room[: len(piece)].copy_(piece).square_(), dim=1, out=norm)
        return norms

    @cached_property
    @lasting
    def rounded_norms(self) -> tuple[Tensor, float]:
        """(N,) float32 squared norms, and the largest."""
        return self.norms.float(), float(self.norms.max())

    @cached_property
    @lasting
    def resident(self) -> Tensor | None:
        """Embeddings in float64, where they are few enough to be kept."""
        return self.embeddings.double() if self.embeddings.numel() <= self.kept else None

    def doubled(self, start: int, stop: int) -> Tensor:
        """Embeddings (n, D) in float64."""
        return self.embeddings[start:stop].double() if self.resident is None else self.resident[start:stop]


class QueryRanking(Ranking):
    """Images ordered by squared Euclidean distance of their embedding to a query, nearest first.

    Costs leave out the query's own squared norm, which is the same for all images. Without it no cost is the
    small difference of large numbers, so equal embeddings stay equal after rounding.

    Args:
        queries: (B, D) float32.
        gallery: the embeddings to search.
        trusted: who calls has made sure that the queries are finite and within `FEATURE_LIMIT`, and the device need not
            be waited for.

    Raises:
        ValueError: queries of another width, type or device than the embeddings.
        UnrankableError: queries that are not finite, or of which float32 cannot hold the squares.
    """

    def __init__(self, queries: Tensor, gallery: EmbeddedGallery, *, trusted: bool = False) -> None:
        theirs = gallery.embeddings
        alike = queries.device == theirs.device and queries.dtype == theirs.dtype
        if not alike or queries.ndim != 2 or queries.shape[1:] != theirs.shape[1:]:
            raise ValueError(
                f"queries {tuple(queries.shape)} {queries.dtype} on {queries.device} do not fit embeddings "
                f"{tuple(theirs.shape)} {theirs.dtype} on {theirs.device}; give queries of that width and type on that "
                "device"
            )
        if not trusted:
            require_rankable(queries, "queries")
        super().__init__(len(queries), len(gallery), queries.device)
        self.queries = queries.detach()
        self.gallery = gallery

    @cached_property
    def _doubled(self) -> Tensor:
        return self.queries.double() * -2

    def costs(self, start: int, stop: int) -> Tensor:
        """(B, n) exact costs of consecutive images, by products in float64."""
        if stop - start <= self.gallery.rows:
            return self._product(start, stop)
        costs = self.queries.new_empty(self.batch, stop - start)
        for first in range(start, stop, self.gallery.rows):
            last = min(first + self.gallery.rows, stop)
            costs[:, first - start : last - start] = self._product(first, last)
        return costs

    def _product(self, start: int, stop: int) -> Tensor:
        norms, embeddings = self.gallery.norms[start:stop], self.gallery.doubled(start, stop)
        return torch.addmm(norms, self._doubled, embeddings.T).float()

    @cached_property
    def _kept(self) -> Tensor:
        return self.costs(0, self.images)

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """All costs at once where they are few enough to be kept."""
        if self.batch * self.images <= self.gallery.kept:
            yield 0, self._kept
        else:
            rows = max(1, self.gallery.elements // self.batch)
            for start in range(0, self.images, rows):
                yield start, self.costs(start, min(start + rows, self.images))

    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) costs of single images, in float64 before the last rounding."""
        if len(rows) <= self.gallery.rows:
            return self._exact_part(rows, positions)
        parts = zip(rows.split(self.gallery.rows), positions.split(self.gallery.rows), strict=True)
        return torch.cat([self._exact_part(*part) for part in parts])

    def _exact_part(self, rows: Tensor, positions: Tensor) -> Tensor:
        chosen = self.gallery.embeddings[positions].double()
        return (chosen.square() + chosen * self._doubled[rows]).sum(dim=1).float()

    @cached_property
    def _search(self) -> LargeGallerySearch | None:
        theirs = self.gallery
        if not large_gallery.pays(self.batch, theirs.embeddings):
            return None
        return LargeGallerySearch(self.queries, theirs.embeddings, *theirs.rounded_norms, theirs.elements, theirs.kept)

    def _compared(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        return super()._compared(reference) if self._search is None else self._search.compared(self, reference)

    def _top(self, count: int, excluded: Tensor | None) -> Tensor:
        return super()._top(count, excluded) if self._search is None else self._search.top(self, count, excluded)
