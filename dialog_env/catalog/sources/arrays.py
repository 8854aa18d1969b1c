"""Source `features`: features that somebody has extracted already."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dialog_env.catalog.catalog import Catalog, Contents
from dialog_env.catalog.images import EncodedImages
from dialog_env.catalog.sources.folder import find_pictures, names_of
from dialog_env.catalog.sources.manifest import Manifest
from dialog_env.catalog.sources.photo_grades import bounds_of, scale
from dialog_env.catalog.sources.photographs import GRADES, read_pictures
from dialog_env.catalog.sources.products import split_of
from dialog_env.catalog.sources.table import Columns, check_name
from dialog_env.catalog.space import FeatureSpace
from dialog_env.io.heaps import refuse_endless_heaps
from dialog_env.io.reading import MOST_COMPRESSED, data_set, first_line, open_hdf5, read_text, regular_file, some

WHAT = "file of features"
REMEDY = "give a .npy, .npz or .h5 file with an array `features` (N, D) of floating point numbers"


@dataclass
class Features(Columns):
    """Pooled features (N, D), and region features (N, R, C) if there are any, taken as they are.

    `.npz` and `.h5` files hold `features`, `ids` (N texts) and perhaps `regions`; a `.npy` file holds the features
    alone. Splits are cut by a hash of the id, 65, 8 and 27 %, unless a column of the table names them.

    Args:
        file: .npy, .npz or .h5.
        output: the catalogue file to write; with `catalog add`, the one to grow.
        ids: a text file with one id a line, in the order of the rows; without it and without `ids` in the file, rows
            are called by their number.
        pictures: folder of pictures, called by the ids; none for a catalogue without.
        space: what you call the space of these features, such as "clip-vit-b32 of July"; agents refuse another then.
            Unknown where empty.
        name: name of the catalogue; by default that of the file.
    """

    file: Path = field(kw_only=True)
    output: Path = field(kw_only=True)
    ids: Path | None = field(default=None, kw_only=True)
    pictures: Path | None = field(default=None, kw_only=True)
    space: str = field(default="", kw_only=True)
    name: str = field(default="", kw_only=True)

    def build(self) -> Catalog:
        """Checks and writes.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: arrays of another kind or shape, ids that do not fit, NaN features, or missing pictures.
        """
        Catalog(self._contents({})).write(self.output)
        return Catalog.open(self.output)

    def add(self) -> Catalog:
        """Adds the rows to the catalogue at `output`; errors as for `build`, and for features of another width."""
        old = Catalog.open(self.output)
        self.follow(old.attributes)
        old.extended(self._contents(old.provenance.get(GRADES, {}))).write(self.output)
        return Catalog.open(self.output)

    def _contents(self, old: dict[str, Any]) -> Contents:
        features, ids, regions = self._arrays()
        known = self.known({name: position for position, name in enumerate(ids)}, len(ids))
        for note in known.notes:
            tqdm.write(note)
        grades = {name: np.array(values) for name, values in known.graded.items()}
        bounds = {name: old.get(name) or bounds_of(values) for name, values in grades.items()}
        splits = known.splits or [""] * len(ids)
        manifest = Manifest(
            name=self.name or self.file.stem,
            ids=ids,
            files=self._files(ids),
            splits=[split or split_of(name) for name, split in zip(ids, splits, strict=True)],
            columns=known.attributes,
            graded=known.graded,
        )
        images = None
        if self.pictures is not None:
            _, items = read_pictures(manifest, skip_broken=False, measuring=False)
            images = EncodedImages(items.pictures, items.size)
        recipe = {"encoder": {"kind": "given", "name": self.space}, "dimensions": features.shape[1]}
        return Contents(
            name=manifest.name,
            ids=np.array(ids, dtype=object),
            features=features,
            regions=regions,
            attributes=manifest.attribute_table({name: scale(grades[name], bounds[name]) for name in grades}),
            splits=manifest.split_positions(),
            images=images,
            provenance={
                "source": "features",
                "file": self.file.name,
                "notes": list(known.notes),
                GRADES: {name: found for name, found in bounds.items() if found is not None},
            },
            space=FeatureSpace(recipe, self.space) if self.space else None,
        )

    def _arrays(self) -> tuple[NDArray[Any], list[str], NDArray[Any] | None]:
        """Features (N, D), N ids and regions (N, R, C) or None."""
        readers = {".npy": _read_npy, ".npz": _read_npz, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
        reader = readers.get(self.file.suffix.casefold())
        if reader is None:
            raise ValueError(f"{self.file} is of no format that is read; {REMEDY}")
        arrays = reader(regular_file(self.file, WHAT, REMEDY))
        features, regions, names = (arrays.get(name) for name in ("features", "regions", "ids"))
        if features is None or features.ndim != 2 or features.dtype.kind != "f" or not features.size:
            told = "no array `features`" if features is None else f"features of {features.dtype} {features.shape}"
            raise ValueError(f"{self.file} has {told}; {REMEDY}")
        if regions is not None and (regions.ndim != 3 or regions.dtype.kind != "f"):
            raise ValueError(f"{self.file} has regions of {regions.dtype} {regions.shape}; give (N, R, C) floats")
        ids = self._ids(names, len(features))
        if len(ids) != len(features):
            raise ValueError(
                f"{self.ids or self.file} has {len(ids)} ids for {len(features)} rows of features; give one for each"
            )
        narrow = features.astype(np.float32) if features.dtype.itemsize > 4 else features
        return narrow, ids, None if regions is None else regions.astype(np.float16)

    def _ids(self, names: NDArray[Any] | None, rows: int) -> list[str]:
        if self.ids is not None:
            lines = read_text(self.ids, "list of ids", "give a text file with one id a line").split("\n")
            ids = [line.strip() for line in lines if line.strip()]
        elif names is None:
            tqdm.write(f"{self.file} has no ids and no --ids are given; rows are called by their number")
            ids = [str(row) for row in range(rows)]
        elif names.ndim != 1 or names.dtype.kind not in "USiu":
            raise ValueError(f"{self.file} has ids of {names.dtype} {names.shape}; give a list of texts")
        else:
            ids = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names.tolist()]
        for name in ids:
            check_name(name, str(self.ids or self.file))
        return ids

    def _files(self, ids: list[str]) -> list[Path]:
        """The picture of each id; the file of features itself, which is not looked at, where there are none."""
        if self.pictures is None:
            return [self.file] * len(ids)
        files, _ = find_pictures(self.pictures)
        names, paths = names_of(files), list(files.values())
        missing = [name for name in ids if name not in names]
        if missing:
            raise FileNotFoundError(
                f"{self.pictures} has no picture of {some(missing, 3)} ({len(missing)} of {len(ids)} ids); add them, "
                "or leave --pictures out"
            )
        return [paths[names[name]] for name in ids]


def _read_npy(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return {"features": np.lib.format.open_memmap(path, mode="r")}
    except Exception as error:  # numpy and tokenize raise almost anything of a damaged header
        raise ValueError(f"{path} is truncated or no {WHAT} ({first_line(error)}); {REMEDY}") from error


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                if part.file_size > MOST_COMPRESSED * max(part.compress_size, 1):
                    raise ValueError(f"{part.filename!r} is declared larger than what is stored can be")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("features", "ids", "regions") if name in arrays}
    except Exception as error:  # and so does zipfile
        raise ValueError(f"{path} is truncated or no {WHAT} ({first_line(error)}); {REMEDY}") from error


def _read_hdf5(path: Path) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    with open_hdf5(path, WHAT, REMEDY) as file:
        refuse_endless_heaps(path)
        for name, kinds, axes in (("features", "f", 2), ("ids", "SOiu", 1), ("regions", "f", 3)):
            if name in file:
                data = data_set(file, name, kinds, (None,) * axes)
                found[name] = np.array(data.asstr()[:], dtype=str) if data.dtype.kind in "SO" else data[:]
    return found
