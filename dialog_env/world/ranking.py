"""Where a target stands among all images: exact ranks, ties counted half, whatever the batch or chunk size.

An image's cost is its squared distance accumulated in float64 and then rounded to float32, so that two images with
equal embeddings have equal costs. On a CPU nearly all comparisons are settled by a matrix product in float32 and a
bound on its error; only the images within that bound are looked at in float64. Ties are ties, and no rank depends on
the chunk or the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dialog_env.io.lasting import lasting
from dialog_env.world.group_minima import GROUP, GroupMinima
from dialog_env.world.topk import compared, count_marks, generous_limit, lowest, marked, padded, without

CHUNK_ELEMENTS = 524_288
"""A chunk holds at most this many costs, and at most this many feature values in float64: few enough for the cache."""

KEPT_ELEMENTS = 4_194_304
"""So many costs are kept between questions about the same queries; of more, only the minima of groups are."""

GPU_CHUNK_ELEMENTS, GPU_KEPT_ELEMENTS = 33_554_432, 134_217_728
"""The same on a graphics card: enough to keep it busy, and at most 512 MiB."""

CLOSE_SHARE = 1 / 32
"""A chunk of which more than this share has to be looked at in float64 is computed anew as a whole."""

PROPOSED = 8
"""Images that an index has to propose for each one that is wanted, since its own order is not exact."""

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
        return 1 - self.rank(ties) / self.images


class Chunk(NamedTuple):
    """A piece of the gallery as all dialogs see it.

    Args:
        start: gallery position of its first image.
        costs: (B, n), lower is better.
        error: (B, 1), how far they may be from the exact ones; None where they are exact.
    """

    start: int
    costs: Tensor
    error: Tensor | None = None

    @property
    def stop(self) -> int:
        """Gallery position after its last image."""
        return self.start + self.costs.shape[1]


class Ranking(ABC):
    """An order of the gallery for each dialog of a batch; the best image comes first."""

    images: int

    def __len__(self) -> int:
        return self.batch

    @property
    @abstractmethod
    def batch(self) -> int:
        """B, the number of dialogs."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it is made."""

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """Consecutive pieces of the gallery."""

    @abstractmethod
    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) exact costs of the images at `positions` (P,) for the dialogs `rows` (P,)."""

    def exact_chunk(self, chunk: Chunk) -> Chunk:
        """The same piece with exact costs."""
        return chunk

    def target_rank(self, targets: Tensor) -> TargetRank:
        """How many images stand before and level with `targets` (B,)."""
        rows = torch.arange(self.batch, device=targets.device)
        reference = self.exact(rows, targets)[:, None]
        closer = torch.zeros_like(targets)
        equal = torch.zeros_like(targets)
        for chunk in self.chunks():
            if chunk.error is not None:
                before, rows, columns = compared(chunk.costs, reference, chunk.error)
                if len(rows) <= max(CLOSE_SHARE * chunk.costs.numel(), self.batch):
                    exact, limit = self.exact(rows, columns + chunk.start), reference[rows, 0]
                    closer += before
                    closer.index_add_(0, rows, (exact < limit).long())
                    equal.index_add_(0, rows, (exact == limit).long())
                    continue
                chunk = self.exact_chunk(chunk)
            closer += count_marks(chunk.costs < reference)
            equal += count_marks(chunk.costs == reference)
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
        best_cost: Tensor | None = None
        best: Tensor | None = None
        for chunk in self.chunks():
            cost, positions = self._top_of(chunk, count, excluded)
            if best is not None and best_cost is not None:
                cost, positions = torch.cat([best_cost, cost], dim=1), torch.cat([best, positions], dim=1)
                kept = lowest(cost, min(count, cost.shape[1]))
                cost, positions = cost.gather(1, kept), positions.gather(1, kept)
            best_cost, best = cost, positions
        assert best is not None
        return best

    def _top_of(self, chunk: Chunk, count: int, excluded: Tensor | None) -> tuple[Tensor, Tensor]:
        """Exact costs and positions (B, K) of the best images of a piece, fewer where it has fewer."""
        count = min(count, chunk.costs.shape[1])
        if chunk.error is not None:
            costs = chunk.costs if excluded is None else without(chunk.costs, excluded - chunk.start)
            limit = generous_limit(costs, count)
            rows, columns = marked(costs <= limit + 2 * chunk.error)
            few = len(rows) <= max(CLOSE_SHARE * costs.numel(), count * self.batch)
            if few and bool(limit.isfinite().all()):
                cost, places = padded(rows, self.exact(rows, columns + chunk.start), columns, self.batch)
                kept = lowest(cost, count)
                return cost.gather(1, kept), places.gather(1, kept) + chunk.start
            chunk = self.exact_chunk(chunk)
        costs = chunk.costs if excluded is None else without(chunk.costs, excluded - chunk.start)
        kept = lowest(costs, count)
        return costs.gather(1, kept), kept + chunk.start


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
        self.scores = scores.detach()
        self.images = scores.shape[1]

    @property
    def batch(self) -> int:
        """B, the number of dialogs."""
        return len(self.scores)

    @property
    def device(self) -> torch.device:
        """That of the scores."""
        return self.scores.device

    def chunks(self) -> Iterator[Chunk]:
        """All costs at once: they are there already."""
        yield Chunk(0, -self.scores)

    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) negated scores."""
        return -self.scores[rows, positions]


class CandidateIndex(Protocol):
    """Proposes images that may be near."""

    def search(self, queries: Tensor, count: int) -> Tensor:
        """(B, K) different positions for queries (B, D), -1 where it proposes none."""
        ...


class EmbeddedGallery:
    """The image embeddings of a gallery, ready to be searched.

    Args:
        embeddings: (N, D) float32 on the device where it is searched; a memory-mapped tensor is read in pieces.
        index: proposes the images among which the nearest are looked for (`dialog_env.world.faiss_index`), for
            galleries of millions; all images are looked at where None.

    Raises:
        UnrankableError: embeddings that are not finite, or of which float32 cannot hold the squares.
    """

    def __init__(self, embeddings: Tensor, index: CandidateIndex | None = None) -> None:
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
        self.index = index
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
        """Embeddings in float64, where one chunk holds them all."""
        return self.embeddings.double() if len(self) <= self.rows else None

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
        self.queries = queries.detach()
        self.gallery = gallery
        self.images = len(gallery)
        self._kept: list[Chunk] | None = None
        self._minima: GroupMinima | None = None

    @property
    def batch(self) -> int:
        """B, the number of dialogs."""
        return len(self.queries)

    @property
    def device(self) -> torch.device:
        """That of the queries."""
        return self.queries.device

    @cached_property
    def _doubled(self) -> Tensor:
        return self.queries.double() * -2

    @cached_property
    def _error(self) -> Tensor | None:
        """(B, 1) bound on the error of costs from a float32 product; None where the product is made in float64.

        A sum of D products in any order is off by at most D u |q| |e| with u = 2^-24 (Higham, 2002, section 3.1); the
        norm, the addition, the last rounding and the comparison itself add less than eight more u. A graphics card
        has float64 products fast enough, and looking closer there would make the host wait for it.
        """
        if self.queries.device.type != "cpu" or torch.get_float32_matmul_precision() != "highest":
            return None
        largest = self.gallery.rounded_norms[1]
        products = 2 * self.queries.double().norm(dim=1, keepdim=True) * largest**0.5
        return ((self.queries.shape[1] + 8) * 2.0**-24 * (products + largest)).float()

    def chunks(self) -> Iterator[Chunk]:
        """Costs by matrix product, piece by piece, each valid until the next unless they are few."""
        if self._kept is not None:
            yield from self._kept
            return
        keep = self.batch * self.images <= self.gallery.kept
        rows = self.images + GROUP if keep else self.gallery.elements // max(self.batch, 1)
        if self._error is None and self.gallery.resident is None:
            rows = min(rows, self.gallery.rows)
        rows = max(1, rows // GROUP) * GROUP
        kept, minima = [], GroupMinima()
        scratch = None if keep else self.queries.new_empty(self.batch * min(rows, self.images))
        for start in range(0, self.images, rows):
            chunk = self._product(start, min(start + rows, self.images), scratch)
            if keep:
                kept.append(chunk)
            elif self._error is not None:
                minima.add(chunk.costs)
            yield chunk
        self._kept = kept if keep else None
        self._minima = None if keep else minima

    def _product(self, start: int, stop: int, scratch: Tensor | None) -> Chunk:
        if self._error is None:
            return Chunk(start, self._exact_costs(start, stop))
        norms, embeddings = self.gallery.rounded_norms[0][start:stop], self.gallery.embeddings[start:stop]
        shape = (self.batch, stop - start)
        out = None if scratch is None else scratch[: shape[0] * shape[1]].view(shape)
        return Chunk(start, torch.addmm(norms, self.queries, embeddings.T, alpha=-2, out=out), self._error)

    def _exact_costs(self, start: int, stop: int) -> Tensor:
        norms = self.gallery.norms[start:stop]
        return torch.addmm(norms, self._doubled, self.gallery.doubled(start, stop).T).float()

    def top(self, count: int, excluded: Tensor | None = None) -> Tensor:
        """(B, K) positions of the best images, as in `Ranking`; of those that the index proposes where there is one."""
        if 1 <= count <= self.images:
            wanted = count + (0 if excluded is None else excluded.shape[1])
            listed = self._proposed(wanted) if self.gallery.index is not None else self._shortlist(wanted)
            found = None if listed is None else self._top_among(*listed, count, excluded)
            if found is not None:
                return found
        return super().top(count, excluded)

    def _proposed(self, wanted: int) -> tuple[Tensor, Tensor]:
        """Rows and positions (P,) of images that the index proposes."""
        assert self.gallery.index is not None
        proposed = self.gallery.index.search(self.queries, min(PROPOSED * wanted, self.images))
        rows = torch.arange(self.batch)[:, None].expand_as(proposed)
        return rows[proposed >= 0], proposed[proposed >= 0]

    def _shortlist(self, wanted: int) -> tuple[Tensor, Tensor] | None:
        """Rows and positions (P,) of images among which the nearest are, where costs are not kept and these are few."""
        if self._error is None or self.batch * self.images <= self.gallery.kept:
            return None
        if self._minima is None:
            for _ in self.chunks():
                pass
        assert self._minima is not None
        return self._minima.shortlist(wanted, 2 * self._error, CLOSE_SHARE * self.batch * self.images)

    def _top_among(self, rows: Tensor, positions: Tensor, count: int, excluded: Tensor | None) -> Tensor | None:
        """(B, K) the best of the images at `positions` (P,) for dialogs `rows` (P,); None where they are too few."""
        if excluded is not None:
            kept = (positions[:, None] != excluded[rows]).all(dim=1)
            rows, positions = rows[kept], positions[kept]
        if int(torch.bincount(rows, minlength=self.batch).min()) < count:
            return None
        order = (rows * self.images + positions).argsort()
        rows, positions = rows[order], positions[order]
        cost, places = padded(rows, self.exact(rows, positions), positions, self.batch)
        return places.gather(1, lowest(cost, count))

    def exact_chunk(self, chunk: Chunk) -> Chunk:
        """The same piece by products in float64, in parts that are as small as those of `chunks`."""
        parts = range(chunk.start, chunk.stop, self.gallery.rows)
        costs = [self._exact_costs(start, min(start + self.gallery.rows, chunk.stop)) for start in parts]
        return Chunk(chunk.start, torch.cat(costs, dim=1))

    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) costs of single images, in float64 before the last rounding."""
        parts = zip(rows.split(self.gallery.rows), positions.split(self.gallery.rows), strict=True)
        return torch.cat([self._exact_part(*part) for part in parts])

    def _exact_part(self, rows: Tensor, positions: Tensor) -> Tensor:
        chosen = self.gallery.embeddings[positions].double()
        return (chosen.square() + chosen * self._doubled[rows]).sum(dim=1).float()
