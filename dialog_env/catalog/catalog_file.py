"""The file of a catalogue: one HDF5 file, sealed with the digest of its bytes (format version 2).

    first 512 bytes       the seal: "dialog-retrieval catalog 2", the SHA-256 of all that follows
    /                     attributes `format`, `version`, `name`, `fingerprint`, `provenance` (JSON)
    /ids                  (N,) strings, all different
    /features             (N, D) float32 or float16: pooled features
    /regions              (N, R, C) float16, or uint8 with attribute `scale`: region features; may be absent
    /splits/<split>       (n,) int64 positions
    /attributes/graded    (N, G) float32 in [0, 1], NaN unknown; attribute `names` (JSON); group may be absent
    /attributes/categorical  (N, K) int16, -1 unknown; attributes `names`, `values` (JSON)
    /images               attribute `source` (JSON): {"kind": "encoded" | "drawn", "size": [H, W], …}; may be absent
    /images/bytes         (M,) uint8: JPEG or PNG files end to end, for kind "encoded"
    /images/offsets       (N + 1,) int64: where each begins in them, and the end
    /space                attributes `recipe` (JSON), `name`, `region_factor`: the feature space; may be absent
    /space/<part>/mean    (C,) float32, and /space/<part>/components (C, D) float32 with attribute `kept`: the fitted
                          reduction of "pooled" and "regions", each of which may be absent

Files of version 1 are read too: they have no seal, and in place of the last two `/images/encoded`, (N,) uint8 of
varying length. A file is checked when it is first read: by its seal, or in version 1 all contents by their fingerprint,
which leaves name and provenance out; `dialog_env.io.seals` says what that costs and how it is remembered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.contents import BLOCK_ROWS, Contents
from dialog_env.catalog.images import MOST_PIXELS, DrawnImages, EncodedImages, ImageSource, Slices
from dialog_env.catalog.sources.reduction import Projection
from dialog_env.catalog.space import FeatureSpace, drawn_space
from dialog_env.io.atomic import replacing
from dialog_env.io.heaps import refuse_endless_heaps
from dialog_env.io.reading import attribute, data_set, first_line, open_hdf5, parse_json, regular_file
from dialog_env.io.seals import SEAL_BYTES, Stamp, is_sealed, is_verified, remember, seal
from dialog_env.io.writing import create_hdf5

FORMAT = "dialog-retrieval catalog"
VERSION = 2
TITLE = f"{FORMAT} {VERSION}"
PACKED: dict[str, Any] = {"compression": "gzip", "compression_opts": 9}
EXPANSION, ALLOWANCE = 100, 64 << 20
"""A data set may be declared as many times larger than it is stored, and so many bytes beyond."""
WHAT, REMEDY = "catalogue", "build it again with `dialog-retrieval catalog build`"


@dataclass
class _Source:
    """Where pictures come from, as a file says it."""

    kind: Literal["encoded", "drawn"]
    size: tuple[int, int]
    seed: int = 0
    version: str = ""

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.size[0] * self.size[1] > MOST_PIXELS:
            raise ValueError(f"pictures of {self.size[0]} x {self.size[1]} pixels cannot be")


def write_contents(contents: Contents, path: str | Path) -> None:
    """Writes, seals and reads back a file beside `path`, then renames.

    Raises:
        OSError: the disk is full or does not give back what was written.
        ValueError: the contents were changed after their fingerprint was made.
    """
    with replacing(path) as temporary:
        try:
            _write_parts(contents, temporary)
            seal(temporary, TITLE)
        except OSError as error:
            raise OSError(f"{path} cannot be written ({first_line(error)}); make room on its disk") from error
        try:
            written = read_contents(temporary, thorough=True)
            if written.name != contents.name or json.dumps(written.provenance) != json.dumps(contents.provenance):
                raise ValueError("its name or provenance is another")
        except ValueError as error:
            if contents.compute_fingerprint() != contents.fingerprint:
                raise ValueError(
                    f"catalogue {contents.name!r} was changed after it was made; make one of its changed parts"
                ) from error
            raise OSError(
                f"{path} cannot be written, for it does not read back ({error}); make room on its disk"
            ) from error


def read_contents(path: Path, *, thorough: bool = False) -> Contents:
    """What a catalogue file holds, found whole; large arrays are mapped and not read into memory.

    Args:
        path: of the file.
        thorough: whether it is checked even where it was found whole before, and the contents by their fingerprint
            even where it is sealed.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, truncated, of another version, or no catalogue.
    """
    before = Stamp.of(regular_file(path, WHAT, REMEDY))
    known = not thorough and is_verified(path, before)
    sealed = known or _check_bytes(path)
    with open_hdf5(path, WHAT, REMEDY) as file:
        contents = _read_parts(path, file, known)
        if not known and sealed != (attribute(file, "version", int) == VERSION):
            raise ValueError("it lacks the seal of its version")
        found = contents.compute_fingerprint() if thorough or not sealed else contents.fingerprint
        if found != contents.fingerprint:
            raise ValueError(
                f"its contents have fingerprint {found} and not {contents.fingerprint}: it was damaged or changed"
            )
    if Stamp.of(path) != before:
        raise ValueError(f"{path} was changed while it was read; read it again")
    if not known:
        remember(path, before)
    return contents


def _check_bytes(path: Path) -> bool:
    """Whether the file is sealed, before HDF5 looks at it: that is not made for damaged files."""
    try:
        sealed = is_sealed(path, TITLE)
        refuse_endless_heaps(path)
    except ValueError as error:
        raise ValueError(f"{path} is a damaged catalogue ({error}); {REMEDY}") from error
    return sealed


def _write_parts(contents: Contents, path: Path) -> None:
    with create_hdf5(path, userblock_size=SEAL_BYTES) as file:
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
                _write_encoded(file, contents.images)
        if contents.space is not None:
            _write_space(file, contents.space)


def _write_attributes(file: h5py.File, table: AttributeTable) -> None:
    for name, array in (("graded", table.graded), ("categorical", table.categorical)):
        file.create_dataset(f"attributes/{name}", data=array, **(PACKED if array.size else {}))
    file["attributes/graded"].attrs["names"] = json.dumps(table.graded_names)
    file["attributes/categorical"].attrs["names"] = json.dumps(table.categorical_names)
    file["attributes/categorical"].attrs["values"] = json.dumps(table.values)


def _write_encoded(file: h5py.File, images: EncodedImages) -> None:
    offsets = np.cumsum([0, *map(len, images.encoded)], dtype=np.int64)
    file.create_dataset("images/offsets", data=offsets)
    content = file.create_dataset("images/bytes", (int(offsets[-1]),), np.uint8)
    for start, end, picture in zip(offsets[:-1], offsets[1:], images.encoded, strict=True):
        content[start:end] = picture


def _write_space(file: h5py.File, space: FeatureSpace) -> None:
    group = file.create_group("space")
    group.attrs.update(recipe=json.dumps(space.recipe), name=space.name, region_factor=space.region_factor)
    for name, projection in (("pooled", space.pooled), ("regions", space.regions)):
        if projection is not None:
            group.create_dataset(f"{name}/mean", data=projection.mean.astype(np.float32))
            components = group.create_dataset(f"{name}/components", data=projection.components.astype(np.float32))
            components.attrs["kept"] = projection.kept


def _read_parts(path: Path, file: h5py.File, known: bool) -> Contents:
    if "format" not in file.attrs or attribute(file, "format", str) != FORMAT:
        raise ValueError("it says to be something else")
    version = attribute(file, "version", int)
    if version not in (1, VERSION):
        raise ValueError(f"it is of version {version}, and this release reads 1 and {VERSION}")
    features = _part(file, "features", "f", (None, None))
    size = len(features)
    regions = _part(file, "regions", "fu", (size, None, None)) if "regions" in file else None
    provenance = _parsed(file, "provenance", dict[str, Any])
    return Contents(
        name=attribute(file, "name", str),
        ids=_part(file, "ids", "S", (size,)).asstr()[:],
        features=_lasting(path, features),
        regions=None if regions is None else _lasting(path, regions),
        region_scale=1.0 if regions is None else attribute(regions, "scale", float),
        attributes=_read_attributes(file, size),
        splits=_read_splits(file, size),
        images=_read_images(path, file, size),
        provenance=provenance,
        fingerprint=attribute(file, "fingerprint", str),
        space=_read_space(file, provenance),
        found_whole=known,
    )


def _read_attributes(file: h5py.File, size: int) -> AttributeTable | None:
    if "attributes" not in file:
        return None
    graded = _part(file, "attributes/graded", "f", (size, None))
    categorical = _part(file, "attributes/categorical", "i", (size, None))
    return AttributeTable(
        graded_names=_parsed(graded, "names", tuple[str, ...]),
        graded=graded[:],
        categorical_names=_parsed(categorical, "names", tuple[str, ...]),
        values=_parsed(categorical, "values", tuple[tuple[str, ...], ...]),
        categorical=categorical[:],
    )


def _read_splits(file: h5py.File, size: int) -> dict[str, NDArray[np.int64]]:
    splits = {}
    for name in _group(file, "splits") or ():
        positions = _part(file, f"splits/{name}", "i", (None,))
        if len(positions) > size:
            raise ValueError(f"split {name!r} has {len(positions):,} positions among {size:,} images")
        splits[name] = positions[:].astype(np.int64)
    return splits


def _read_images(path: Path, file: h5py.File, size: int) -> ImageSource | None:
    group = _group(file, "images")
    if group is None:
        return None
    source = _parsed(group, "source", _Source)
    if source.kind == "drawn":
        return DrawnImages(source.seed, source.size, source.version)
    if "encoded" in group:
        return EncodedImages(_lasting(path, _varying(path, file, size)), source.size, str(path))
    content = _part(file, "images/bytes", "u", (None,))
    offsets = _part(file, "images/offsets", "i", (size + 1,))[:]
    if offsets[0] != 0 or offsets[-1] != len(content) or (np.diff(offsets) < 0).any():
        raise ValueError("'images/offsets' do not divide 'images/bytes' among the images")
    return EncodedImages(Slices(_lasting(path, content), offsets), source.size, str(path))


def _read_space(file: h5py.File, provenance: dict[str, Any]) -> FeatureSpace | None:
    group = _group(file, "space")
    if group is None:
        if provenance.get("source") != "synthetic":
            return None
        made = provenance.get("backbone", {})  # of before spaces were kept; one network is all there is to it
        return drawn_space(str(made["fingerprint"])) if isinstance(made, dict) and "fingerprint" in made else None
    return FeatureSpace(
        recipe=_parsed(group, "recipe", dict[str, Any]),
        name=attribute(group, "name", str),
        pooled=_read_projection(file, "space/pooled"),
        regions=_read_projection(file, "space/regions"),
        region_factor=attribute(group, "region_factor", float),
    )


def _read_projection(file: h5py.File, name: str) -> Projection | None:
    if name not in file:
        return None
    mean = _part(file, f"{name}/mean", "f", (None,))
    components = _part(file, f"{name}/components", "f", (len(mean), None))
    found = Projection(mean[:], components[:], attribute(components, "kept", float))
    if not np.isfinite(found.mean).all() or not np.isfinite(found.components).all():
        raise ValueError(f"{name!r} has numbers that are NaN or infinite")
    return found


def _varying(path: Path, file: h5py.File, size: int) -> h5py.Dataset:
    """Pictures of version 1, once it is known that none is declared larger than the file."""
    encoded = _part(file, "images/encoded", "O", (size,))
    offset = encoded.id.get_offset()
    if h5py.check_vlen_dtype(encoded.dtype) != np.uint8 or offset is None:
        raise ValueError("'images/encoded' holds no pictures")
    record = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
    lengths = np.fromfile(path, record, size, offset=offset)["length"]
    if lengths.sum(dtype=np.int64) > path.stat().st_size:
        raise ValueError("'images/encoded' are declared larger than the file is")
    return encoded


def _group(file: h5py.File, name: str) -> h5py.Group | None:
    link = file.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Group):
        raise ValueError(f"{name!r} is not a group of this file")
    return file[name]


def _part(file: h5py.File, name: str, kinds: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    """A data set that is what it should be and needs no memory out of proportion to the file; see `data_set`."""
    data = data_set(file, name, kinds, shape)
    chunk = data.dtype.itemsize * int(np.prod(data.chunks or (0,), dtype=object))
    if max(data.nbytes, chunk) > ALLOWANCE + EXPANSION * data.id.get_storage_size():
        raise ValueError(f"{name!r} is declared as {data.nbytes:,} bytes and stores {data.id.get_storage_size():,}")
    return data


def _lasting(path: Path, data: h5py.Dataset) -> Any:
    """A data set that can be read after the file is closed: mapped where it is in one piece, else opened anew."""
    offset = data.id.get_offset()
    if data.dtype.kind != "O" and data.chunks is None and offset is not None:
        return np.memmap(path, dtype=data.dtype, mode="c", offset=offset, shape=data.shape)
    return h5py.File(path, "r")[data.name]


def _parsed(part: h5py.Group | h5py.Dataset, name: str, schema: Any) -> Any:
    """An attribute in JSON, of the form that `schema` asks for."""
    text = attribute(part, name, str)
    return parse_json(text, schema, f"attribute {name!r}", "part of a catalogue", "build it again")
