"""Comparing and finding the lowest in a matrix of costs (B, n): one row a dialog, one column an image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def counted(costs: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) each: how many costs (B, n) are below a reference (B, 1), and how many equal it."""
    # Added up in int32, which a CPU does twice as fast.
    below, level = costs < reference, costs == reference
    return below.sum(dim=1, dtype=torch.int32), level.sum(dim=1, dtype=torch.int32)


def lowest_in(costs: Tensor, count: int, excluded: Tensor | None, start: int = 0) -> tuple[Tensor, Tensor]:
    """The lowest of costs (B, n) of the images from `start` on, at most K: costs and positions (B, K), lowest first.

    Positions `excluded` (B, E) are left out.
    """
    costs = costs if excluded is None else without(costs, excluded - start)
    kept = lowest(costs, min(count, costs.shape[1]))
    return costs.gather(1, kept), kept + start


def lowest_of(pieces: Iterator[tuple[Tensor, Tensor]], count: int) -> Tensor:
    """(B, K) positions of the lowest, lowest first, of what `lowest_in` found in consecutive pieces."""
    costs, positions = next(pieces)
    for more_costs, more_positions in pieces:
        costs, positions = torch.cat([costs, more_costs], dim=1), torch.cat([positions, more_positions], dim=1)
        kept = lowest(costs, min(count, costs.shape[1]))
        costs, positions = costs.gather(1, kept), positions.gather(1, kept)
    return positions


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
