"""A catalogue of images: what the system can show and what it knows of it."""

from __future__ import annotations

import copy
import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.catalog_file import read_contents, write_contents
from dialog_env.catalog.contents import Contents, checked_positions
from dialog_env.catalog.growing import joined
from dialog_env.catalog.space import FeatureSpace

if TYPE_CHECKING:
    from dialog_env.catalog.embedding import Embedder

__all__ = ["Catalog", "Contents"]

VISIBLE = "visible attributes"
"""In the provenance: names of the attributes that pictures show."""


class Catalog:
    """N images with ids, pooled features, region features, attributes and pictures; opened when first needed.

    A split or selection of a catalogue is a `Catalog` too: the gallery in which positions 0..N-1 count. It can be
    pickled and sent to a spawned process; the file is opened there anew.

    Make one with `Catalog.open(path)` or `Catalog(contents)`; `write` stores it.
    """

    def __init__(
        self, contents: Contents | str | Path, positions: NDArray[np.int64] | None = None, split: str = "all"
    ) -> None:
        self._path = None if isinstance(contents, Contents) else Path(contents)
        self._loaded = contents if isinstance(contents, Contents) else None
        self._expected = ""
        self._positions = positions
        self.split_name = split

    @classmethod
    def open(cls, path: str | Path) -> Catalog:
        """A catalogue file; FileNotFoundError where there is none, ValueError where it cannot be read.

        Its bytes are checked when they are first read, see `dialog_env.io.seals`.
        """
        catalog = cls(path)
        _ = catalog._contents
        return catalog

    @property
    def _contents(self) -> Contents:
        if self._loaded is None:
            assert self._path is not None
            self._loaded = read_contents(self._path)
            if self._expected not in ("", self._loaded.fingerprint):
                raise ValueError(f"{self._path} holds another catalogue than when this gallery was made; make it anew")
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        kept = {"_path": self._path, "_positions": self._positions, "split_name": self.split_name}
        expected = self._loaded.fingerprint if self._loaded else self._expected
        return {**kept, "_expected": expected, "_loaded": None if self._path else self._loaded}

    def __len__(self) -> int:
        return len(self._contents.ids if self._positions is None else self._positions)

    def __repr__(self) -> str:
        return f"Catalog({self.name!r}, split={self.split_name!r}, images={len(self)}, dimensions={self.dimensions})"

    @property
    def name(self) -> str:
        """The catalogue's name."""
        return self._contents.name

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever an image, a feature, an attribute or the selection does."""
        if self._positions is None:
            return self._contents.fingerprint
        return hashlib.sha256(self._contents.fingerprint.encode() + self._positions.tobytes()).hexdigest()[:16]

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the images and features come from."""
        return self._contents.provenance

    @property
    def space(self) -> FeatureSpace | None:
        """The space that the features live in; None where nothing is known of it."""
        return self._contents.space

    @property
    def space_id(self) -> str:
        """The id of the feature space, "" where it is unknown."""
        return "" if self.space is None else self.space.id

    @cached_property
    def ids(self) -> NDArray[Any]:
        """(N,) strings."""
        ids = self._contents.ids
        return ids if self._positions is None else ids[self._positions]

    @property
    def dimensions(self) -> int:
        """D, the size of the pooled features."""
        return int(self._contents.features.shape[1])

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """(N, D) float32 pooled features; a memory map where the file allows it and the selection is a range."""
        stored = self._contents.features
        if self._positions is None:
            return np.asanyarray(stored, dtype=np.float32)
        low, high = int(self._positions[0]), int(self._positions[-1]) + 1
        if high - low == len(self._positions) and (np.diff(self._positions) == 1).all():
            return np.asanyarray(stored[low:high], dtype=np.float32)
        return np.asarray(stored[:], dtype=np.float32)[self._positions]

    @property
    def region_shape(self) -> tuple[int, int] | None:
        """(R, C), or None where the catalogue has no region features."""
        regions = self._contents.regions
        return None if regions is None else (int(regions.shape[1]), int(regions.shape[2]))

    def read_regions(self, positions: NDArray[np.int64] | slice | None = None) -> NDArray[np.float32]:
        """(M, R, C) float32 region features at gallery positions (all of them where None).

        Raises:
            ValueError: the catalogue has no region features, or positions that it does not have.
        """
        if self._contents.regions is None:
            raise ValueError(
                f"catalogue {self.name!r} has no region features; build it with a backbone that gives a feature map, "
                "or use an architecture that needs none"
            )
        rows = np.arange(len(self)) if self._positions is None else self._positions
        if isinstance(positions, slice):
            rows = rows[positions]
        elif positions is not None:
            rows = rows[checked_positions(positions, len(self), "positions of region features", least=0)]
        distinct, inverse = np.unique(rows, return_inverse=True)
        stored = self._contents.regions
        if len(distinct) and distinct[-1] - distinct[0] + 1 == len(distinct):
            read = stored[int(distinct[0]) : int(distinct[-1]) + 1]
        else:
            read = stored[distinct]
        scaled = np.asarray(read, dtype=np.float32) * np.float32(self._contents.region_scale)
        return scaled if np.array_equal(rows, distinct) else scaled[inverse]

    @cached_property
    def attributes(self) -> AttributeTable | None:
        """What is known in words, or None."""
        table = self._contents.attributes
        return table if table is None or self._positions is None else table.take(self._positions)

    @property
    def visible(self) -> tuple[str, ...] | None:
        """Names of the attributes that can be seen in the pictures; None where the catalogue does not say."""
        named = self.provenance.get(VISIBLE)
        return tuple(map(str, named)) if isinstance(named, list) else None

    @property
    def splits(self) -> dict[str, int]:
        """Name and number of images of every split."""
        return {name: len(positions) for name, positions in self._contents.splits.items()}

    def split(self, name: str) -> Catalog:
        """The gallery of one split, or of several ("train+validation"); "all" is the whole catalogue.

        Raises:
            ValueError: an unknown name.
        """
        if name == "all":
            return self._select(None, name)
        if name in self._contents.splits:
            return self._select(self._contents.splits[name], name)
        parts = name.split("+")
        if not set(parts) <= set(self._contents.splits):
            raise ValueError(
                f"catalogue {self.name!r} has no split {name!r}; "
                f"choose one of {', '.join(['all', *self._contents.splits])}"
            )
        return self._select(np.unique(np.concatenate([self._contents.splits[part] for part in parts])), name)

    def take(self, positions: NDArray[np.int64]) -> Catalog:
        """A gallery of the images at `positions` (M,) of this one."""
        positions = checked_positions(positions, len(self), "positions")
        return self._select(positions if self._positions is None else self._positions[positions], "selection")

    def part(self, start: int, stop: int) -> Catalog:
        """The images from `start` to `stop` as a catalogue of their own, without pictures and region features.

        Features that are mapped stay so. This is what one of several processes holds of a large gallery.
        """
        part = self.take(np.arange(start, stop, dtype=np.int64))
        return Catalog(
            Contents(
                name=self.name,
                ids=part.ids,
                features=part.features,
                attributes=part.attributes,
                provenance=copy.deepcopy(self.provenance),
                space=copy.deepcopy(self.space),
            )
        )

    def apart(self, *, attributes: bool) -> Catalog:
        """The same gallery, of the same fingerprint, for others to do with as they like: its arrays are copies.

        Args:
            attributes: whether it has the attributes, or None in their place.
        """
        contents = copy.copy(self._contents)
        contents.ids, contents.features = contents.ids.copy(), np.array(contents.features)
        contents.attributes = copy.deepcopy(contents.attributes) if attributes else None
        contents.splits, contents.provenance = copy.deepcopy((contents.splits, contents.provenance))
        contents.space = copy.deepcopy(contents.space)
        positions = None if self._positions is None else self._positions.copy()
        return Catalog(contents, positions, self.split_name)

    def extended(self, others: Contents) -> Catalog:
        """This whole catalogue with other images of the same feature space behind its own.

        The images that are there keep their positions, features and attributes. What one side does not know of an
        attribute is unknown.

        Raises:
            ValueError: a selection, ids that are there already, or another feature space.
        """
        if self._positions is not None:
            raise ValueError("only a whole catalogue can grow; extend the one that this split was taken from")
        return Catalog(joined(self._contents, others))

    def embedder(self, encoder: str | Path | None = None, device: str = "cpu") -> Embedder:
        """What puts new pictures, or descriptions, into the feature space of this catalogue.

        Args:
            encoder: folder of the encoder that the catalogue was built with; none for drawn shoes.
            device: where it runs.

        Raises:
            ValueError: the feature space is unknown, or the encoder is another.
        """
        from dialog_env.catalog.embedding import Embedder  # PyTorch is loaded where it is needed

        if self.space is None:
            raise ValueError(f"the feature space of catalogue {self.name!r} is unknown; build it again from its source")
        return Embedder(self.space, encoder, device)

    def _select(self, positions: NDArray[np.int64] | None, split: str) -> Catalog:
        selected = Catalog(self._path or self._contents, positions, split)
        selected._loaded = self._contents
        return selected

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) of the pictures, or None where there are none."""
        return None if self._contents.images is None else self._contents.images.size

    def image(self, position: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """The picture (H, W, 3) uint8 at a gallery position; ValueError where the catalogue has no pictures."""
        if self._contents.images is None:
            raise ValueError(f"catalogue {self.name!r} has no pictures; build it from images to see or observe pixels")
        row = int(position if self._positions is None else self._positions[position])
        return self._contents.images.image(row, size)

    def images(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures (B, H, W, 3) uint8 at gallery positions (B,)."""
        return np.stack([self.image(int(position)) for position in positions])

    def verify(self) -> None:
        """Reads everything; ValueError where a file or contents in memory are not those of the fingerprint."""
        if self._path is not None:
            read_contents(self._path, thorough=True)
        elif self._contents.compute_fingerprint() != self._contents.fingerprint:
            raise ValueError(f"catalogue {self.name!r} was changed after it was made; make one of its changed parts")

    def write(self, path: str | Path) -> None:
        """Stores the whole catalogue in one HDF5 file, atomically; a selection cannot be written."""
        if self._positions is not None:
            raise ValueError("only a whole catalogue can be written; write the one that this split was taken from")
        write_contents(self._contents, path)
