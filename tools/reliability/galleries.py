"""Small galleries that make ranking hard: level images, copies, whole numbers, large and tiny features."""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dialog_env.catalog import Catalog, Contents
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.images import EncodedImages

PICTURE_SIZE = (8, 6)
KINDS = ("plain", "two", "level", "copies", "whole numbers", "large", "tiny", "split")


class Known(NamedTuple):
    """A gallery, and what it consists of.

    Attributes:
        gallery: a `Catalog`.
        features: N lists of D float32 numbers.
        ids: N ids.
        pictures: (N, H, W, 3).
    """

    gallery: Catalog
    features: list[list[float]]
    ids: list[str]
    pictures: NDArray[np.uint8]


def contents(size: int, dimensions: int, seed: int, features: NDArray[np.float32] | None = None) -> Contents:
    """A catalogue of random images with attributes, regions, PNG pictures and three splits."""
    random = np.random.default_rng(seed)
    if features is None:
        features = random.standard_normal((size, dimensions)).astype(np.float32)
    bounds = [0, max(1, size // 2), max(1, size // 2) + max(1, size // 4), size]
    names = ("train", "validation", "test")
    splits = {name: np.arange(*pair) for name, pair in zip(names, pairwise(bounds), strict=True)}
    return Contents(
        name="drawn at random",
        ids=np.array([f"image-{seed}-{number}" for number in range(size)], dtype=object),
        features=features,
        regions=random.standard_normal((size, 4, 6)).astype(np.float16),
        attributes=AttributeTable(
            graded_names=("bright in colour", "high at the heel"),
            graded=random.random((size, 2), dtype=np.float32),
            categorical_names=("class", "colour"),
            values=(("boots", "clogs", "pumps"), ("black", "red", "white", "blue")),
            categorical=np.stack([random.integers(0, 3, size), random.integers(-1, 4, size)], axis=1).astype(np.int16),
        ),
        splits={name: positions.astype(np.int64) for name, positions in splits.items() if len(positions)},
        images=EncodedImages([np.frombuffer(png(picture), np.uint8) for picture in pictures(size, seed)], PICTURE_SIZE),
        provenance={"source": "random numbers", "seed": seed},
    )


def pictures(size: int, seed: int) -> NDArray[np.uint8]:
    """(N, H, W, 3) pixels."""
    return np.random.default_rng([seed, 1]).integers(0, 256, (size, *PICTURE_SIZE, 3), dtype=np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@lru_cache(maxsize=64)
def gallery(kind: str, seed: int) -> Known:
    """A gallery of one of `KINDS`."""
    random = np.random.default_rng([seed, 2])
    size, dimensions = int(random.integers(3, 15)), int(random.integers(1, 6))
    features: NDArray[np.floating] = random.standard_normal((size, dimensions))
    if kind == "two":
        features = features[:2]
    elif kind == "level":
        features[:] = features[0]
    elif kind == "copies":
        features = features[random.integers(0, max(1, size // 3), size)]
    elif kind == "whole numbers":
        features = random.integers(-2, 3, (size, dimensions)).astype(float)
    elif kind == "large":
        features = 1e6 * features
    elif kind == "tiny":
        features = 1e-14 * features
    made = contents(len(features), dimensions, seed, features.astype(np.float32))
    catalog = Catalog(made)
    chosen = np.arange(len(features))
    if kind == "split":
        chosen = random.permutation(size)[: max(2, size // 2)]
        catalog = catalog.take(chosen)
    return Known(
        catalog,
        made.features[chosen].tolist(),
        [str(name) for name in made.ids[chosen]],
        pictures(len(features), seed)[chosen],
    )
