"""The main directions of a gallery: what images are seen along, and where to go from the one shown.

A step is given along the K directions in which the images differ most, in units of their spread, from the image shown
last: 0 is "more like this one". For on-policy algorithms its reach is far beyond the gallery's edge on purpose. A query
out there ranks images by how far they lie in its direction, so a percentile changes smoothly with the query, and noise
that explores many directions at once still tells which of them were good.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 65_536
"""Images at once, in float64."""


@dataclass(frozen=True)
class Directions:
    """The main directions of a gallery.

    Args:
        mean: (D,) mean of the pooled features.
        axes: (K, D) orthonormal directions, the one with the largest spread first.
        spread: (K,) standard deviation of the features along each.
    """

    mean: Tensor
    axes: Tensor
    spread: Tensor

    @classmethod
    def of(cls, features: Tensor, count: int) -> Directions:
        """Those of pooled features (N, D); as many as there can be where `count` is more than D."""
        mean = features.mean(dim=0, dtype=torch.float64)
        products = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=features.device)
        for rows in features.split(ROWS):
            away = rows.double() - mean
            products += away.T @ away
        variances, axes = torch.linalg.eigh(products / max(len(features) - 1, 1))  # the smallest first
        axes = axes.T.flip(0)[:count]  # (K, D)
        axes = axes * axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()  # the sign of an axis is arbitrary
        spread = variances.flip(0)[:count].clamp(min=0).sqrt()
        return cls(mean.float(), axes.float(), spread.float().clamp(min=1e-6))

    @classmethod
    def unknown(cls, dimensions: int, count: int) -> Directions:
        """Stand-ins for a gallery not yet seen."""
        count = min(count, dimensions)
        return cls(torch.zeros(dimensions), torch.eye(dimensions)[:count], torch.full((count,), dimensions**-0.5))

    def first(self, count: int) -> Directions:
        """The `count` directions with the largest spread, or all."""
        return Directions(self.mean, self.axes[:count], self.spread[:count])

    def coordinates(self, features: Tensor) -> Tensor:
        """(…, K) coordinates of pooled features (…, D), in standard deviations from the mean."""
        return (features - self.mean) @ self.axes.T / self.spread

    def query(self, features: Tensor, steps: Tensor, reach: float, bound: float) -> Tensor:
        """(B, D) queries: from candidates (B, D) by steps (B, K) in [-1, 1], 1 being `reach` standard deviations.

        They go no further than `bound` in any dimension. Summed in float64, so that a batch gives what each would.
        """
        away = (steps.double() * (reach * self.spread.double())) @ self.axes.double()
        return (features + away).float().clamp(-bound, bound)
