"""The lowest cost of every few images: a fraction of the memory, and enough to find the nearest again."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

GROUP = 32
"""Images."""


class GroupMinima:
    """Minima of costs (B, N) that came in consecutive pieces, all of the same width but the last."""

    def __init__(self) -> None:
        self._pieces: list[Tensor] = []
        self._last = 0

    def add(self, costs: Tensor) -> None:
        """Takes in the next piece (B, n), which has n / GROUP groups; its image i falls into group i modulo that."""
        self._last = costs.shape[1]
        width = -(-self._last // GROUP)
        if GROUP * width > self._last:
            costs = functional.pad(costs, (0, GROUP * width - self._last), value=torch.inf)
        self._pieces.append(costs.view(len(costs), GROUP, width).amin(dim=1))

    @cached_property
    def _together(self) -> Tensor:
        return torch.cat(self._pieces, dim=1)

    def shortlist(self, count: int, slack: Tensor, most: float) -> tuple[Tensor, Tensor] | None:
        """Images among which the K nearest of each dialog are sure to be.

        Args:
            count: K.
            slack: (B, 1), twice how far the costs may be from the exact ones.
            most: how many images, in all, are worth looking at.

        Returns:
            rows (P,) in rising order and positions (P,); None where there would be too many.
        """
        minima = self._together  # (B, N / GROUP)
        if count > minima.shape[1]:
            return None
        limit = minima.topk(count, dim=1, largest=False).values[:, -1:] + slack
        rows, groups = (minima <= limit).nonzero().unbind(1)
        if not len(rows) or GROUP * len(rows) > most:
            return None
        width, pieces = self._pieces[0].shape[1], len(self._pieces)
        piece = groups // width
        start = piece * width * GROUP
        stride = torch.where(piece == pieces - 1, self._pieces[-1].shape[1], width)
        within = (groups - piece * width)[:, None] + stride[:, None] * torch.arange(GROUP)  # (P,) -> (P, GROUP)
        there = within < torch.where(piece == pieces - 1, self._last, width * GROUP)[:, None]
        positions = start[:, None] + within
        return rows[:, None].expand_as(positions)[there], positions[there]
