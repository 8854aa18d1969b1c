"""A catalogue of images: what the system can show and what it knows of it.

One HDF5 file holds a catalogue (format version 1):

    /                     attributes `format`, `version`, `name`, `fingerprint`, `provenance` (JSON)
    /ids                  (N,) strings, all different
    /features             (N, D) float32 or float16: pooled features
    /regions              (N, R, C) float16, or uint8 with attribute `scale`: region features; may be absent
    /splits/<split>       (n,) int64 positions
    /attributes/graded    (N, G) float32 in [0, 1], NaN unknown; attribute `names` (JSON); group may be absent
    /attributes/categorical  (N, K) int16, -1 unknown; attributes `names`, `values` (JSON)
    /images               attribute `source` (JSON): {"kind": "encoded" | "drawn", "size": [H, W], …}; may be absent
    /images/encoded       (N,) uint8 of varying length: JPEG or PNG files, for kind "encoded"
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dialog_env.attributes import AttributeTable
from dialog_env.files import replacing
from dialog_env.images import DrawnImages, EncodedImages, ImageSource

FORMAT = "dialog-retrieval catalog"
VERSION = 1
BLOCK_ROWS = 1024
PACKED: dict[str, Any] = {"compression": "gzip", "compression_opts": 9}


@dataclass
class Contents:
    """What a catalogue consists of; arrays may be numpy or HDF5 data sets.

    Args:
        name: the catalogue's name.
        ids: (N,) strings, all different.
        features: (N, D) pooled features.
        regions: (N, R, C) region features, or None.
        region_scale: what stored regions are multiplied with (1 unless they are uint8).
        attributes: what is known in words, or None.
        splits: positions (n,) int64 of each split.
        images: source of the pictures, or None.
        provenance: where it all comes from (source, backbone, preprocessing, …), JSON-able.
        fingerprint: changes whenever any of the above does; computed where empty.

    Raises:
        ValueError: duplicate ids, shapes that disagree, NaN or infinite features, an empty split or one
            with positions outside 0..N-1.
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

    def __post_init__(self) -> None:
        self.ids = np.asarray(self.ids, dtype=object)
        size = len(self.ids)
        if not size:
            raise ValueError(f"catalogue {self.name!r} has no images; give at least one")
        unique, counts = np.unique(self.ids.astype(str), return_counts=True)
        if len(unique) != size:
            raise ValueError(
                f"catalogue {self.name!r} has the id {str(unique[counts.argmax()])!r} {counts.max()} times; "
                "give every image an id of its own"
            )
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
        if self.attributes is not None and len(self.attributes) != size:
            raise ValueError(
                f"catalogue {self.name!r} has attributes for {len(self.attributes)} of {size} images; "
                "give one row for each"
            )
        for split, positions in self.splits.items():
            if not len(positions):
                raise ValueError(f"split {split!r} of catalogue {self.name!r} is empty; give it images or leave it out")
            if positions.min() < 0 or positions.max() >= size or len(np.unique(positions)) != len(positions):
                raise ValueError(
                    f"split {split!r} of catalogue {self.name!r} has positions outside 0..{size - 1} or twice; "
                    "give each image of the split once"
                )
        _refuse_non_finite(self.features, "features", self.name)
        if not self.fingerprint:
            if self.regions is not None and self.regions.dtype != np.uint8:
                _refuse_non_finite(self.regions, "region features", self.name)
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
        self._positions = positions
        self.split_name = split

    @classmethod
    def open(cls, path: str | Path) -> Catalog:
        """A catalogue file; FileNotFoundError where there is none, ValueError where it cannot be read."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"no catalogue at {path}; build one with `python -m dialog_env.catalogs build`")
        catalog = cls(path)
        _ = catalog._contents
        return catalog

    @property
    def _contents(self) -> Contents:
        if self._loaded is None:
            assert self._path is not None
            self._loaded = read_contents(self._path)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        kept = {"_path": self._path, "_positions": self._positions, "split_name": self.split_name}
        return {**kept, "_loaded": None if self._path else self._loaded}

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
            ValueError: the catalogue has no region features.
        """
        if self._contents.regions is None:
            raise ValueError(
                f"catalogue {self.name!r} has no region features; build it with a backbone that gives a feature map, "
                "or use an architecture that needs none"
            )
        rows = np.arange(len(self)) if self._positions is None else self._positions
        rows = rows if positions is None else rows[positions]
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
    def splits(self) -> dict[str, int]:
        """Name and number of images of every split."""
        return {name: len(positions) for name, positions in self._contents.splits.items()}

    def split(self, name: str) -> Catalog:
        """The gallery of one split ("all" is the whole catalogue); ValueError for an unknown name."""
        if name == "all":
            return Catalog(self._path or self._contents, None)
        if name not in self._contents.splits:
            raise ValueError(
                f"catalogue {self.name!r} has no split {name!r}; "
                f"choose one of {', '.join(['all', *self._contents.splits])}"
            )
        return self._select(self._contents.splits[name], name)

    def take(self, positions: NDArray[np.int64]) -> Catalog:
        """A gallery of the images at `positions` (M,) of this one."""
        positions = np.asarray(positions, dtype=np.int64)
        if not len(positions) or positions.min() < 0 or positions.max() >= len(self):
            raise ValueError(f"positions must be at least one of 0..{len(self) - 1}")
        return self._select(positions if self._positions is None else self._positions[positions], "selection")

    def _select(self, positions: NDArray[np.int64], split: str) -> Catalog:
        selected = Catalog(self._path or self._contents, np.asarray(positions, dtype=np.int64), split)
        selected._loaded = self._loaded
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
        """Reads everything; ValueError where the contents are not those that the fingerprint was made from."""
        found = self._contents.compute_fingerprint()
        if found != self._contents.fingerprint:
            raise ValueError(
                f"catalogue {self.name!r} has contents of fingerprint {found} but says {self._contents.fingerprint}; "
                "it was damaged or changed, build it again"
            )

    def write(self, path: str | Path) -> None:
        """Stores the whole catalogue in one HDF5 file, atomically; a selection cannot be written."""
        if self._positions is not None:
            raise ValueError("only a whole catalogue can be written; write the one that this split was taken from")
        write_contents(self._contents, path)


def write_contents(contents: Contents, path: str | Path) -> None:
    """Writes the HDF5 file of the layout above, beside `path`, then renames."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(format=FORMAT, version=VERSION, name=contents.name, fingerprint=contents.fingerprint)
        file.attrs["provenance"] = json.dumps(contents.provenance)
        names = [str(name).encode() for name in contents.ids]
        kind = h5py.string_dtype(length=max(map(len, names)) or 1)
        file.create_dataset("ids", data=np.array(names, dtype=kind), dtype=kind, **PACKED)
        file.create_dataset("features", data=contents.features)
        if contents.regions is not None:
            stored = contents.regions
            packed = PACKED if stored.dtype == np.uint8 else {}
            regions = file.create_dataset("regions", stored.shape, stored.dtype, **packed)
            for start in range(0, len(stored), BLOCK_ROWS):
                regions[start : start + BLOCK_ROWS] = stored[start : start + BLOCK_ROWS]
            regions.attrs["scale"] = contents.region_scale
        splits = file.create_group("splits", track_order=True)
        for split, positions in contents.splits.items():
            splits.create_dataset(split, data=positions)
        if contents.attributes is not None:
            _write_attributes(file, contents.attributes)
        if contents.images is not None:
            file.create_group("images").attrs["source"] = json.dumps(contents.images.description)
            if isinstance(contents.images, EncodedImages):
                _write_encoded(file, contents)


def _write_attributes(file: h5py.File, table: AttributeTable) -> None:
    for name, array in (("graded", table.graded), ("categorical", table.categorical)):
        file.create_dataset(f"attributes/{name}", data=array, **(PACKED if array.size else {}))
    file["attributes/graded"].attrs["names"] = json.dumps(table.graded_names)
    file["attributes/categorical"].attrs["names"] = json.dumps(table.categorical_names)
    file["attributes/categorical"].attrs["values"] = json.dumps(table.values)


def _write_encoded(file: h5py.File, contents: Contents) -> None:
    assert isinstance(contents.images, EncodedImages)
    encoded = file.create_dataset("images/encoded", (len(contents.ids),), dtype=h5py.vlen_dtype(np.uint8))
    for position in range(len(contents.ids)):
        encoded[position] = contents.images.encoded[position]


def read_contents(path: Path) -> Contents:
    """Opens a catalogue file; ValueError where it is truncated, of another version, or no catalogue."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read as HDF5 ({error}); it is truncated or of another kind, build it again"
        ) from error
    try:
        return _read_parts(path, file)
    except (KeyError, OSError, TypeError) as error:
        file.close()
        raise ValueError(f"{path} lacks a part of a catalogue ({error}); build it again") from error
    except ValueError as error:
        file.close()
        raise ValueError(f"{path}: {error}") from error


def _read_parts(path: Path, file: h5py.File) -> Contents:
    if file.attrs.get("format") != FORMAT:
        raise ValueError("not a catalogue file; build one with `python -m dialog_env.catalogs build`")
    if file.attrs["version"] != VERSION:
        raise ValueError(f"catalogue version {file.attrs['version']}, and this release reads {VERSION}; build it again")
    regions = file.get("regions")
    return Contents(
        name=str(file.attrs["name"]),
        ids=file["ids"].asstr()[:],
        features=_memory_map(path, file["features"]),
        regions=None if regions is None else _memory_map(path, regions),
        region_scale=1.0 if regions is None else float(regions.attrs["scale"]),
        attributes=_read_attributes(file),
        splits={name: positions[:] for name, positions in file.get("splits", {}).items()},
        images=_read_images(file),
        provenance=json.loads(file.attrs["provenance"]),
        fingerprint=str(file.attrs["fingerprint"]),
    )


def _read_attributes(file: h5py.File) -> AttributeTable | None:
    if "attributes" not in file:
        return None
    graded, categorical = file["attributes/graded"], file["attributes/categorical"]
    return AttributeTable(
        graded_names=tuple(json.loads(graded.attrs["names"])),
        graded=graded[:],
        categorical_names=tuple(json.loads(categorical.attrs["names"])),
        values=tuple(map(tuple, json.loads(categorical.attrs["values"]))),
        categorical=categorical[:],
    )


def _read_images(file: h5py.File) -> ImageSource | None:
    if "images" not in file:
        return None
    source = json.loads(file["images"].attrs["source"])
    height, width = source["size"]
    if source["kind"] == "drawn":
        return DrawnImages(source["seed"], (height, width), source["version"])
    return EncodedImages(file["images/encoded"], (height, width))


def _memory_map(path: Path, data: h5py.Dataset) -> Any:
    """A data set in one piece is mapped, so that a million images need no memory until they are read."""
    offset = data.id.get_offset()
    if data.chunks is not None or offset is None:
        return data
    return np.memmap(path, dtype=data.dtype, mode="c", offset=offset, shape=data.shape)


def _refuse_non_finite(features: Any, what: str, name: str) -> None:
    axes = tuple(range(1, len(features.shape)))
    for start in range(0, len(features), BLOCK_ROWS):
        finite = np.isfinite(features[start : start + BLOCK_ROWS]).all(axis=axes)
        if not finite.all():
            raise ValueError(
                f"catalogue {name!r} has NaN or infinite {what} at image {start + int(finite.argmin())}; "
                "extract its features again"
            )
