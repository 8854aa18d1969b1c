"""Finding the lowest in a matrix of costs (B, n): one row a dialog, one column an image."""

from __future__ import annotations

import torch
from torch import Tensor

GROUPED = 8
"""Distances of which the smallest is compared for all."""


def count_marks(marks: Tensor) -> Tensor:
    """(B,) how many of (B, n) are True; in int32, which a CPU adds up twice as fast."""
    return marks.sum(dim=1, dtype=torch.int32)


def marked(marks: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (P,) where (B, n) is True, row by row; looks at eight marks at a time where few are True."""
    if marks.shape[1] % 8:
        rows, columns = marks.nonzero().unbind(1)
        return rows, columns
    rows, words = marks.view(torch.int64).nonzero().unbind(1)
    which, places = marks.view(len(marks), -1, 8)[rows, words].nonzero().unbind(1)
    return rows[which], words[which] * 8 + places


def compared(costs: Tensor, reference: Tensor, error: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which costs are surely below a reference, and which are too close to it to tell.

    Signs are added up and nearness is looked for in groups, because a CPU compares one number at a time several times
    slower than it subtracts.

    Args:
        costs: (B, n) finite, fewer than 2^24 a dialog, so that their signs add up exactly in float32.
        reference: (B, 1) finite.
        error: (B, 1), how far costs may be from the exact ones.

    Returns:
        (B,) int64, how many are below the reference by more than the error; rows and columns (P,) of the costs within
        the error.
    """
    away = costs - reference
    rows, columns = _within(away.abs_(), error)
    signs = torch.sub(costs, reference, out=away).sign_().sum(dim=1).long()
    near = costs[rows, columns] - reference[rows, 0]
    level, near_below = (torch.bincount(rows[which], minlength=len(costs)) for which in (near == 0, near < 0))
    # Level ones are all near. Of the others, those above are `signs` more than those below.
    return (costs.shape[1] - level - signs) // 2 - near_below, rows, columns


def _within(distances: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (P,) of distances (B, n) that are at most the error (B, 1)."""
    batch, images = distances.shape
    if images % GROUPED:
        return marked(distances <= error)
    rows, groups = (distances.view(batch, GROUPED, -1).amin(dim=1) <= error).nonzero().unbind(1)
    columns = groups[:, None] + images // GROUPED * torch.arange(GROUPED, device=groups.device)
    near = distances[rows[:, None], columns] <= error[rows]
    return rows[:, None].expand_as(columns)[near], columns[near]


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


def without(cost: Tensor, excluded: Tensor) -> Tensor:
    """`cost` (B, n) with infinity at columns `excluded` (B, E) that lie within it."""
    inside = (excluded >= 0) & (excluded < cost.shape[1])
    column = excluded.clamp(0, cost.shape[1] - 1)
    current = cost.gather(1, column)
    return cost.scatter_reduce(1, column, current.masked_fill(inside, torch.inf), "amax")


def lowest(cost: Tensor, count: int) -> Tensor:
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
