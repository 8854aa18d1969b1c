"""What the belief sees of an image: its pooled features beside the main components of its region features."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dialog_env.catalog import Catalog

CHANNELS = 64
"""Region features with more channels than this are reduced to so many first, place by place."""

FITTED_ON = 8192
"""Components are found on so many images at most, evenly spaced over the gallery."""

AT_ONCE = 512
"""Images whose regions are in memory at a time."""

ROUNDS = 4
"""Of the subspace iteration that finds components (Halko, Martinsson & Tropp, 2011)."""

LIMIT = 6.0
"""Standardised features are cut there: a picture unlike all others must not drown what is said."""

Places = NDArray[np.int64]
Self = TypeVar("Self", bound="ImageFeatures")


class ImageFeatures(nn.Module):
    """Pooled (D) and reduced region features (K) of images, standardised: (N, D + K).

    Regions (R, C) are flattened, so that a component knows where in the picture it looks. Where they have more than
    `CHANNELS` channels these are reduced first: 49 places of 1,024 channels would need a matrix of 50,176 rows, and
    so need one of 1,024 and one of 3,136. Nothing is known before `fit`: the matrices are made of zeros, and regions
    play no part.

    Args:
        dimensions: D.
        components: K; 0 leaves the regions out.
        region_shape: (R, C) of the galleries; None for those without regions.
    """

    mean: Tensor
    scale: Tensor
    channels: Tensor | None
    centre: Tensor | None
    components: Tensor | None

    def __init__(self, dimensions: int, components: int, region_shape: tuple[int, int] | None) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.size = dimensions + components
        self.region_shape = region_shape if components else None
        regions, channels = self.region_shape or (0, 0)
        kept = min(channels, CHANNELS)
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("scale", torch.ones(self.size))
        self.register_buffer("channels", torch.zeros(channels, kept) if channels > kept else None)
        self.register_buffer("centre", torch.zeros(regions * kept) if regions else None)
        self.register_buffer("components", torch.zeros(regions * kept, components) if regions else None)

    @classmethod
    def fit(cls: type[Self], gallery: Catalog, components: int, generator: torch.Generator) -> Self:
        """Components, means and deviations of the images of a gallery; the generator draws where the search begins."""
        features = cls(gallery.dimensions, components, gallery.region_shape)
        places = np.unique(np.linspace(0, len(gallery) - 1, min(FITTED_ON, len(gallery))).astype(np.int64))
        if features.centre is not None and features.components is not None:
            if features.channels is not None:
                second = torch.zeros(2 * (len(features.channels),))
                for some in _pieces(places):
                    cells = torch.from_numpy(gallery.read_regions(some)).flatten(0, 1)  # (n, R, C) -> (n R, C)
                    second += cells.T @ cells
                features.channels.copy_(main_components(second, features.channels.shape[1], generator))
            flat = torch.cat([features._flat(gallery, some) for some in _pieces(places)])
            features.centre.copy_(flat.mean(dim=0))
            flat -= features.centre
            found = main_components(flat, min(components, *flat.shape), generator)
            features.components[:, : found.shape[1]] = found
        raw = torch.cat([features._raw(gallery, some) for some in _pieces(places)])
        features.mean.copy_(raw.mean(dim=0))
        scale = raw.std(dim=0, unbiased=False)
        pooled, reduced = scale.tensor_split([gallery.dimensions])
        if len(reduced):  # the square root is kept: the last components are more noise than the first
            reduced.mul_(reduced.max()).sqrt_()
        for part in (pooled, reduced):
            part.clamp_(min=max(1e-3 * float(part.max()), 1e-12) if len(part) else 0)
        features.scale.copy_(scale)
        return features

    def of(self, gallery: Catalog) -> Tensor:
        """(N, D + K) of the images of a gallery, on the device of the matrices.

        Raises:
            ValueError: features or regions of other sizes than it was made for.
        """
        self.check(gallery)
        places = np.arange(len(gallery), dtype=np.int64)
        return torch.cat([self._standard(self._raw(gallery, some)) for some in _pieces(places)])

    def check(self, gallery: Catalog) -> None:
        """ValueError where a gallery has features or regions of other sizes."""
        theirs = (gallery.dimensions, gallery.region_shape if self.region_shape else None)
        if theirs != (self.dimensions, self.region_shape):
            raise ValueError(
                f"the belief was made for features of {self.dimensions} dimensions with regions of "
                f"{self.region_shape} and {gallery!r} has {gallery.dimensions} with {gallery.region_shape}; train one "
                "for this catalogue"
            )

    def _standard(self, raw: Tensor) -> Tensor:
        return ((raw - self.mean) / self.scale).clamp(-LIMIT, LIMIT)

    def _raw(self, gallery: Catalog, places: Places) -> Tensor:
        pooled = torch.from_numpy(np.array(gallery.features[places])).to(self.mean.device)
        if self.centre is None or self.components is None:
            return torch.cat([pooled, pooled.new_zeros(len(pooled), self.size - self.dimensions)], dim=1)
        reduced = (self._flat(gallery, places) - self.centre) @ self.components
        return torch.cat([pooled, reduced], dim=1)

    def _flat(self, gallery: Catalog, places: Places) -> Tensor:
        """(n, R C') regions, their channels reduced where they are many."""
        regions = torch.from_numpy(gallery.read_regions(places)).to(self.mean.device)
        return (regions if self.channels is None else regions @ self.channels).flatten(1)


def main_components(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(P, count) orthonormal directions in which rows (M, P) are longest, by subspace iteration."""
    found = torch.randn(rows.shape[1], count, generator=generator).to(rows.device)
    for _ in range(ROUNDS):
        found = torch.linalg.qr(rows.T @ (rows @ found)).Q
    _, _, turned = torch.linalg.svd(rows @ found, full_matrices=False)
    return found @ turned.T


def _pieces(places: Places) -> list[Places]:
    return np.split(places, range(AT_ONCE, len(places), AT_ONCE))
