"""Principal components of features, fitted on one split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 256


@dataclass(frozen=True)
class Projection:
    """Centring and rotation onto the directions of largest variance.

    Args:
        mean: (C,) float64.
        components: (C, D) float64, orthonormal columns by falling variance, the largest entry of each positive.
        kept: share of the variance that the D directions hold.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    kept: float

    @classmethod
    def fit(cls, features: Any, rows: NDArray[np.int64], dimensions: int) -> Projection:
        """Fits on the rows (n,) of features (N, C) or (N, R, C), an array or rows that are read where they are sliced.

        At most C directions and at most as many as there are vectors are kept; all of them where `dimensions` is 0.
        """
        channels = features.shape[-1]
        count, total = 0, np.zeros(channels)
        for block in _blocks(features, rows):
            count, total = count + len(block), total + block.sum(axis=0, dtype=np.float64)
        mean = total / count
        covariance = np.zeros((channels, channels))
        for block in _blocks(features, rows):
            centred = block - mean.astype(np.float32)
            covariance += centred.T @ centred
        variances, vectors = np.linalg.eigh(covariance / count)
        size = min(dimensions or channels, channels, count)
        components = vectors[:, ::-1][:, :size]
        components = components * np.where(components[np.abs(components).argmax(axis=0), np.arange(size)] < 0, -1, 1)
        kept = variances[::-1][:size].sum() / max(variances.sum(), np.finfo(float).tiny)
        return cls(mean, components, float(kept))

    def __call__(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """(…, C) -> (…, D) float32."""
        centred = features.astype(np.float32) - self.mean.astype(np.float32)
        return centred @ self.components.astype(np.float32)


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (N, D) with every row of norm 1 (a row of zeros stays)."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(norms, np.finfo(np.float32).tiny)


def fit_regions(features: Any, rows: NDArray[np.int64], channels: int) -> tuple[Projection, float]:
    """A reduction of regions (N, R, C) to `channels`, fitted on `rows`, and a number to multiply the reduced ones with.

    With it, their mean square over the fitted rows is 1.
    """
    projection = Projection.fit(features, rows, channels)
    square = np.mean([float(np.square(projection(block)).mean()) for block in _batches(features, rows)])
    return projection, float(np.float32(1 / np.sqrt(max(square, np.finfo(np.float32).tiny))))


def _batches(features: Any, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """The chosen rows, block by block; whole blocks are read and rows picked from them in memory."""
    for start in range(0, len(features), BLOCK):
        chosen = rows[(rows >= start) & (rows < start + BLOCK)] - start
        if len(chosen):
            yield features[start : start + BLOCK][chosen]


def _blocks(features: Any, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """The vectors (n, C) float32 of the chosen rows, block by block."""
    for batch in _batches(features, rows):
        yield batch.reshape(-1, batch.shape[-1]).astype(np.float32)
