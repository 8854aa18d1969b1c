"""What a catalogue consists of, checked for making sense."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.images import EncodedImages, ImageSource
from dialog_env.catalog.space import FeatureSpace
from dialog_env.io.keywords import told
from dialog_env.io.reading import some

BLOCK_ROWS = 1024
LONGEST_ID = 1024
"""Characters."""
SMALLEST_NORM, LARGEST_NORM = 1e-15, 1e15
"""Of features: their squares, sums of them and the error bounds of ranking are normal numbers of float32 within."""


def checked_positions(positions: Any, images: int, what: str, least: int = 1) -> NDArray[np.int64]:
    """Positions (M,) int64 of images; ValueError, naming them, for others than whole numbers from 0 to N - 1.

    Args:
        positions: to be checked.
        images: N.
        what: they are, in the plural.
        least: how many there have to be.
    """
    array = np.asarray(positions)
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) < least:
        raise ValueError(
            f"{what} are {told(positions)}; give a list of {least} or more whole numbers from 0 to {images - 1}"
        )
    if len(array) and (array.min() < 0 or array.max() >= images):
        raise ValueError(f"{what} reach from {array.min()} to {array.max()}; give some from 0 to {images - 1}")
    return array.astype(np.int64)


@dataclass
class Contents:
    """What a catalogue consists of; arrays may be numpy or HDF5 data sets.

    Args:
        name: the catalogue's name, of at most 1,024 characters.
        ids: (N,) strings, all different, of at most 1,024 characters.
        features: (N, D) pooled features, of norms up to 1e15 and the largest at least 1e-15 (or all zero).
        regions: (N, R, C) region features, or None.
        region_scale: what stored regions are multiplied with (1 unless they are uint8).
        attributes: what is known in words, or None.
        splits: positions (n,) int64 of each split.
        images: source of the pictures, or None.
        provenance: where it all comes from (source, backbone, preprocessing, …), JSON-able.
        fingerprint: changes whenever any of the above but name and provenance does; computed where empty.
        space: that the features live in, or None where nothing is known of it.
        found_whole: the features were checked before and need not be read again.

    Raises:
        ValueError: duplicate or overlong ids, shapes that disagree, NaN or infinite features or such that squares of
            float32 cannot hold, an empty split or one with positions outside 0..N-1.
    """

    name: str
    ids: NDArray[Any]
    features: Any
    regions: Any = None
    region_scale: float = 1.0
    attributes: AttributeTable | None = None
    splits: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    images: ImageSource | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    space: FeatureSpace | None = None
    found_whole: InitVar[bool] = False

    def __post_init__(self, found_whole: bool) -> None:
        self.ids = np.asarray(self.ids, dtype=object)
        size = len(self.ids)
        if len(self.name) > LONGEST_ID:
            raise ValueError(
                f"a catalogue has a name of {len(self.name):,} characters; give one of at most {LONGEST_ID:,}"
            )
        if not size:
            raise ValueError(f"catalogue {self.name!r} has no images; give at least one")
        self._check_ids()
        if len(self.features.shape) != 2 or len(self.features) != size or not self.features.shape[1]:
            raise ValueError(
                f"catalogue {self.name!r} has features of shape {tuple(self.features.shape)} for {size} images; "
                f"give one row of pooled features for each: ({size}, D)"
            )
        if self.regions is not None and (len(self.regions.shape) != 3 or len(self.regions) != size):
            raise ValueError(
                f"catalogue {self.name!r} has region features of shape {tuple(self.regions.shape)} for {size} "
                f"images; give ({size}, R, C)"
            )
        if not 0 < self.region_scale <= LARGEST_NORM:
            raise ValueError(
                f"catalogue {self.name!r} has region features of scale {self.region_scale}; "
                f"give one above 0 and up to {LARGEST_NORM:g}"
            )
        if self.attributes is not None and len(self.attributes) != size:
            raise ValueError(
                f"catalogue {self.name!r} has attributes for {len(self.attributes)} of {size} images; "
                "give one row for each"
            )
        if isinstance(self.images, EncodedImages) and len(self.images.encoded) != size:
            raise ValueError(
                f"catalogue {self.name!r} has {len(self.images.encoded)} pictures of {size} images; give one for each"
            )
        for split, positions in self.splits.items():
            what = f"positions of split {split!r} of catalogue {self.name!r}"
            if len(np.unique(checked_positions(positions, size, what))) != len(positions):
                raise ValueError(f"{what} stand there twice; give each image of the split once")
        if not found_whole:
            self._check_features()
        if not self.fingerprint:
            if self.regions is not None and self.regions.dtype != np.uint8:
                self._check_regions()
            self.fingerprint = self.compute_fingerprint()

    def compute_fingerprint(self) -> str:
        """What the fingerprint of these contents must be."""
        digest = hashlib.sha256("\n".join(map(str, self.ids)).encode())
        for array in (self.features, self.regions):
            digest.update(repr(None if array is None else (tuple(array.shape), str(array.dtype))).encode())
            for start in range(0, 0 if array is None else len(array), BLOCK_ROWS):
                digest.update(np.ascontiguousarray(array[start : start + BLOCK_ROWS]).tobytes())
        digest.update(repr(float(self.region_scale)).encode())
        if self.attributes is not None:
            table = self.attributes
            digest.update(repr((table.graded_names, table.categorical_names, table.values)).encode())
            digest.update(table.graded.tobytes() + table.categorical.tobytes())
        for split in sorted(self.splits):
            digest.update(split.encode() + np.asarray(self.splits[split], dtype=np.int64).tobytes())
        digest.update(json.dumps(self.images.description if self.images else None, sort_keys=True).encode())
        if isinstance(self.images, EncodedImages):
            for content in self.images.encoded:
                digest.update(hashlib.sha256(bytes(content)).digest())
        return digest.hexdigest()[:16]

    def _check_ids(self) -> None:
        names = [str(name) for name in self.ids]
        if len(set(names)) != len(names):
            [(twice, count)] = Counter(names).most_common(1)
            raise ValueError(
                f"catalogue {self.name!r} has the id {some([twice])!r} {count} times; give every image an id of its own"
            )
        longest = max(names, key=len)
        if len(longest) > LONGEST_ID:
            raise ValueError(
                f"catalogue {self.name!r} has an id of {len(longest):,} characters ({longest[:40]!r}…); "
                f"give ids of at most {LONGEST_ID:,}"
            )

    def _check_features(self) -> None:
        """Refuses features with which distances cannot be told; one pass over them, in float32 as ranking takes them.

        Squares that overflow are infinite, and no square that is NaN is within the limit.
        """
        largest = magnitude = 0.0
        for start in range(0, len(self.features), BLOCK_ROWS):
            with np.errstate(over="ignore", invalid="ignore"):
                block = np.asarray(self.features[start : start + BLOCK_ROWS], dtype=np.float32)
                squares = np.einsum("nd,nd->n", block, block)  # (n, D) -> (n,)
            fits = squares <= LARGEST_NORM**2
            if not fits.all():
                row = int(fits.argmin())
                if not np.isfinite(block[row]).all():
                    self._refuse_non_finite("features", start + row)
                raise ValueError(
                    f"catalogue {self.name!r} has features of norm beyond {LARGEST_NORM:g} at image {start + row}, "
                    "whose squares float32 cannot hold; scale all features down"
                )
            largest = max(largest, float(squares.max()))
            if largest < SMALLEST_NORM**2:
                magnitude = max(magnitude, float(np.abs(block).max()))
        if largest < SMALLEST_NORM**2 and magnitude:
            raise ValueError(
                f"catalogue {self.name!r} has no features of norm {SMALLEST_NORM:g} or more, and float32 cannot hold "
                "the squares of smaller ones; scale all features up"
            )

    def _check_regions(self) -> None:
        for start in range(0, len(self.regions), BLOCK_ROWS):
            finite = np.isfinite(self.regions[start : start + BLOCK_ROWS]).all(axis=(1, 2))
            if not finite.all():
                self._refuse_non_finite("region features", start + int(finite.argmin()))

    def _refuse_non_finite(self, what: str, image: int) -> None:
        raise ValueError(
            f"catalogue {self.name!r} has NaN or infinite {what} at image {image}; extract its features again"
        )
