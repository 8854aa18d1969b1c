"""Ranks and nearest images of a large gallery on a CPU, found faster than by products in float64 alone, and the same.

Taken where `pays` says so: on a CPU, for more than `LARGE` images and not for a few dialogs. With 100,000 images it is
2.4 to 2.7 times as fast as the plain path in `dialog_env.world.ranking`; with 1,000 that one is up to twice as fast. On
a graphics card products in float64 are fast, and looking closer would make the host wait.

Costs come from a product in float32, whose error has a bound. It settles nearly all comparisons; only the images within
the bound are looked at in float64. Costs that are too many to be kept are made in chunks, one after the other in the
same memory; the lowest of every few images is kept, and is enough to find the nearest without another product.

Costs, and what they are compared in, lie in memory that one search leaves to the next (`Spare`). A chunk has columns
for a whole number of groups; those behind its last image cost infinitely much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from dialog_env.io.lasting import lasting
from dialog_env.world.topk import counted, lowest, lowest_in, lowest_of, without

LARGE = 2_048
"""Images up to which a gallery is small."""

FEW_PRODUCTS = 2_097_152
"""Products up to which the plain path is as fast in any gallery: those of a few dialogs at a time."""

CLOSE_SHARE = 1 / 32
"""A chunk of which more than this share has to be looked at in float64 is computed anew as a whole."""

GROUP = 32
"""Images of which the lowest cost is kept, and the smallest distance to a reference is compared for all."""

COMPARED = 262_144
"""Costs compared at a time, if a dialog has no more: few enough to stay in the cache."""

LEAST_MADE = 128
"""Rows of costs that are made at a time at least: products of fewer are slow."""

GATHERED_SHARE = 1 / 4
"""Kept costs are looked at group by group where no more than this share of them is in groups with low minima."""

SPARE_PARTS = 4
"""Pieces of memory that wait for the next search at most."""


def pays(batch: int, embeddings: Tensor) -> bool:
    """Whether embeddings (N, D) are searched faster this way; never where products in float32 are made in less."""
    return (
        len(embeddings) > LARGE
        and batch * embeddings.numel() > FEW_PRODUCTS
        and embeddings.device.type == "cpu"
        and torch.get_float32_matmul_precision() == "highest"
    )


class Spare:
    """Memory for costs, each piece lent to one holder at a time: fresh memory costs a CPU more than filling it.

    What is lent stays with its holder, who gives it back when nothing looks at it any more, and never gives a view of
    it to others.
    """

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    @lasting
    def lend(self, elements: int) -> Tensor:
        """(M,) float32 of any values, M at least `elements`."""
        try:
            part = self._parts.pop()
        except IndexError:
            return torch.empty(elements)
        return part if len(part) >= elements else torch.empty(elements)

    def take_back(self, part: Tensor) -> None:
        """Keeps a piece for the next, the largest ones where there are many."""
        self._parts.append(part)
        if len(self._parts) > SPARE_PARTS:
            self._parts = sorted(self._parts, key=len)[-SPARE_PARTS:]


SPARE = Spare()


class ExactCosts(Protocol):
    """Costs in float64 before the last rounding, asked for where float32 cannot tell."""

    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) of single images at `positions` (P,) for dialogs `rows` (P,)."""
        ...

    def costs(self, start: int, stop: int) -> Tensor:
        """(B, n) of consecutive images."""
        ...


class LargeGallerySearch:
    """What a batch of queries asks of a large gallery.

    Args:
        queries: (B, D) float32.
        embeddings: (N, D) float32.
        norms: (N,) float32 squared norms of the embeddings.
        largest: of the norms.
        elements: a chunk has at most this many costs.
        kept: so many costs are kept between questions.
    """

    _room: Tensor | None = None
    _late = False

    def __init__(
        self, queries: Tensor, embeddings: Tensor, norms: Tensor, largest: float, elements: int, kept: int
    ) -> None:
        self.queries, self.embeddings, self.norms = queries, embeddings, norms
        self.batch, self.images = len(queries), len(embeddings)
        self.keeps = self.batch * self.images <= kept
        # (B, 1) bound on the error of costs. A sum of D products in any order is off by at most D u |q| |e| with
        # u = 2^-24 (Higham, 2002, section 3.1); the norm, the addition, the last rounding and the comparison itself
        # add less than eight more u.
        products = 2 * queries.double().norm(dim=1, keepdim=True) * largest**0.5
        self.error = ((queries.shape[1] + 8) * 2.0**-24 * (products + largest)).float()
        all_rows = -(-self.images // GROUP) * GROUP
        rows = max(1, elements // max(self.batch, 1) // GROUP) * GROUP
        self.rows = all_rows if self.keeps else min(rows, all_rows)  # of a chunk
        self._costs: Tensor | None = None
        self._minima: Tensor | None = None

    def __del__(self) -> None:
        if self._room is not None:
            SPARE.take_back(self._room)

    def compared(self, ranking: ExactCosts, reference: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 each: how many costs are below the exact reference (B, 1), and how many equal it."""
        closer, equal = torch.zeros(2, self.batch, dtype=torch.int64)
        for start, costs in self._chunks(late=True):
            below, rows, columns = compared(costs, reference, self.error, self._multiply if self._late else None)
            if self._few(rows, costs, 1):
                exact, limit = ranking.exact(rows, columns + start), reference[rows, 0]
                closer += below
                closer.index_add_(0, rows, (exact < limit).long())
                equal.index_add_(0, rows, (exact == limit).long())
            else:
                below, level = counted(ranking.costs(start, self._end(start)), reference)
                closer, equal = closer + below, equal + level
        return closer, equal

    def top(self, ranking: ExactCosts, count: int, excluded: Tensor | None) -> Tensor:
        """(B, K) positions of the lowest exact costs, lowest first, without those `excluded` (B, E)."""
        found = self._top_of_groups(ranking, count, excluded)
        if found is not None:
            return found
        chunks = (self._lowest_in(ranking, start, costs, count, excluded) for start, costs in self._chunks())
        return lowest_of(chunks, count)

    def _end(self, start: int) -> int:
        """Position behind the last image of a chunk."""
        return min(start + self.rows, self.images)

    def _chunks(self, *, late: bool = False) -> Iterator[tuple[int, Tensor]]:
        """Position of the first image and costs (B, n), infinite behind the last one, each valid until the next.

        Args:
            late: costs that are kept are yet to be made, row by row, by who gets them, with `_multiply`.
        """
        if self._costs is not None:
            yield 0, self._costs
            return
        self._room = self._room if self._room is not None else SPARE.lend(self.batch * self.rows)
        costs = self._room[: self.batch * self.rows].view(self.batch, self.rows)
        minima = []
        for start in range(0, self.images, self.rows):
            self._late = late and self.keeps
            if not self._late:
                self._multiply(costs, slice(None), start)
            if not self.keeps:
                minima.append(_minima_of(costs))
            yield start, costs
        self._late = False
        if self.keeps:
            self._costs = costs
        else:
            self._minima = torch.cat(minima, dim=1)

    def _multiply(self, costs: Tensor, rows: slice, start: int = 0) -> None:
        """Makes costs of some dialogs, in their rows of a chunk (B, n) that begins at `start`."""
        end, made = self._end(start), costs[rows]
        embeddings = self.embeddings[start:end]
        torch.addmm(self.norms[start:end], self.queries[rows], embeddings.T, alpha=-2, out=made[:, : end - start])
        made[:, end - start :] = torch.inf

    def _few(self, rows: Tensor, costs: Tensor, least: int) -> bool:
        """Whether the images in question are worth being looked at one by one."""
        return len(rows) <= max(CLOSE_SHARE * costs.numel(), least * self.batch)

    def _lowest_in(
        self, ranking: ExactCosts, start: int, costs: Tensor, count: int, excluded: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Exact costs and positions (B, K) of the best images of a chunk, fewer where it has fewer."""
        most = min(count, self._end(start) - start)
        offered = costs if excluded is None else without(costs, excluded - start)
        limit = generous_limit(offered, most)
        rows, columns = marked(offered <= limit + 2 * self.error)
        if not self._few(rows, costs, most) or not limit.isfinite().all():
            return lowest_in(ranking.costs(start, self._end(start)), count, excluded, start)
        exact, places = padded(rows, ranking.exact(rows, columns + start), columns, self.batch)
        kept = lowest(exact, most)
        return exact.gather(1, kept), places.gather(1, kept) + start

    def _top_of_groups(self, ranking: ExactCosts, count: int, excluded: Tensor | None) -> Tensor | None:
        """(B, K) the best, all of which are in groups with low minima; None where these are too many."""
        if self._minima is None:
            for _ in self._chunks():
                pass
        if self._minima is None and self._costs is not None:
            self._minima = _minima_of(self._costs)
        minima = self._minima  # (B, G)
        wanted = count + (0 if excluded is None else excluded.shape[1])
        if minima is None or wanted > minima.shape[1]:
            return None
        limit = minima.topk(wanted, dim=1, largest=False).values[:, -1:] + 2 * self.error
        rows, groups = (minima <= limit).nonzero().unbind(1)
        share = CLOSE_SHARE if self._costs is None else GATHERED_SHARE
        if not limit.isfinite().all() or GROUP * len(rows) > share * self.batch * self.images:
            return None
        width = self.rows // GROUP
        first = groups // width * self.rows + groups % width
        positions = first[:, None] + width * torch.arange(GROUP)  # (P,) -> (P, GROUP)
        rows = rows[:, None].expand_as(positions)
        kept = positions < self.images if self._costs is None else self._costs[rows, positions] <= limit[rows, 0]
        if excluded is not None:
            kept &= (positions[:, :, None] != excluded[rows]).all(dim=2)
        rows, positions = rows[kept], positions[kept]
        if self._costs is not None and not self._few(rows, self._costs, count):
            return None
        order = (rows * self.images + positions).argsort()
        rows, positions = rows[order], positions[order]
        costs, places = padded(rows, ranking.exact(rows, positions), positions, self.batch)
        return places.gather(1, lowest(costs, count))


def _minima_of(costs: Tensor) -> Tensor:
    """(B, G) the lowest of every group; image i of a chunk (B, n) falls into group i modulo their number."""
    return costs.view(len(costs), GROUP, -1).amin(dim=1)


def marked(marks: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (P,) where (B, n) is True, row by row; looks at eight marks at a time where few are True."""
    if marks.shape[1] % 8:
        rows, columns = marks.nonzero().unbind(1)
        return rows, columns
    rows, words = marks.view(torch.int64).nonzero().unbind(1)
    which, places = marks.view(len(marks), -1, 8)[rows, words].nonzero().unbind(1)
    return rows[which], words[which] * 8 + places


def compared(
    costs: Tensor, reference: Tensor, error: Tensor, make: Callable[[Tensor, slice], None] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Which costs are surely below a reference, and which are too close to it to tell.

    Signs are added up and nearness is looked for in groups, because a CPU compares one number at a time several times
    slower than it subtracts.

    Args:
        costs: (B, n) finite, fewer than 2^24 a dialog, so that their signs add up exactly in float32.
        reference: (B, 1) finite.
        error: (B, 1), how far costs may be from the exact ones.
        make: makes some rows of the costs, where these are not there yet: just before they are compared, so that they
            are still in the cache then.

    Returns:
        (B,) int64, how many are below the reference by more than the error; rows and columns (P,) of the costs within
        the error.
    """
    batch, images = costs.shape
    at_once = max(1 if make is None else LEAST_MADE, COMPARED // images)
    together = GROUP if images % GROUP == 0 else 1
    room = SPARE.lend(2 * min(at_once, batch) * images)
    signs, close = [], []
    for first in range(0, batch, at_once):
        block = slice(first, first + at_once)
        if make is not None:
            make(costs, block)
        some, limits, errors = costs[block], reference[block], error[block]
        away, distances = room[: 2 * some.numel()].view(2, *some.shape)
        torch.abs(torch.sub(some, limits, out=away), out=distances)
        close.append(distances.view(len(some), together, -1).amin(dim=1) <= errors)
        signs.append(away.sign_().sum(dim=1))
    SPARE.take_back(room)
    rows, groups = torch.cat(close).nonzero().unbind(1)
    columns = groups[:, None] + images // together * torch.arange(together)
    rows = rows[:, None].expand_as(columns)
    away = costs[rows, columns] - reference[rows, 0]
    near = away.abs() <= error[rows, 0]
    rows, columns, away = rows[near], columns[near], away[near]
    level, near_below = (torch.bincount(rows[which], minlength=batch) for which in (away == 0, away < 0))
    # Level ones are all near. Of the others, those above are `signs` more than those below.
    return (images - level - torch.cat(signs).long()) // 2 - near_below, rows, columns


def generous_limit(costs: Tensor, count: int) -> Tensor:
    """(B, 1) a cost that at least K images of each dialog do not exceed, and few more than K."""
    if count == 1:
        return costs.amin(dim=1, keepdim=True)
    if costs.shape[1] % 8 == 0 and costs.shape[1] // 8 >= count:
        costs = costs.view(len(costs), 8, -1).amin(dim=1)
    return costs.topk(count, dim=1, largest=False).values[:, -1:]


def padded(rows: Tensor, costs: Tensor, columns: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Costs and columns (P,), in order of their dialogs `rows` (P,), as (B, M) with infinite costs after the last."""
    counts = torch.bincount(rows, minlength=batch)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(rows), device=rows.device) - first[rows]
    shape = (batch, int(counts.max()))
    filled = costs.new_full(shape, torch.inf).index_put_((rows, place), costs)
    return filled, columns.new_zeros(shape).index_put_((rows, place), columns)
