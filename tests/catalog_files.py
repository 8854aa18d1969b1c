"""Catalogue files of the old version, and what a process with a deadline makes of damaged ones.

`python -m tests.catalog_files FILE …` opens every file and says in one line of JSON what it found in it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from dialog_env.catalog import Catalog, Contents
from dialog_env.catalog.images import EncodedImages
from tests.conftest import REPOSITORY

SECONDS_A_FILE = 10


def write_version_1(contents: Contents, path: Path) -> None:
    """The file that releases before version 2 wrote."""
    with h5py.File(path, "w") as file:
        file.attrs.update(format="dialog-retrieval catalog", version=1, name=contents.name)
        file.attrs.update(fingerprint=contents.fingerprint, provenance=json.dumps(contents.provenance))
        names = [str(name).encode() for name in contents.ids]
        kind = h5py.string_dtype(length=max(map(len, names)))
        file.create_dataset("ids", data=np.array(names, dtype=kind), dtype=kind, compression="gzip")
        file["features"] = contents.features
        file["regions"] = contents.regions
        file["regions"].attrs["scale"] = contents.region_scale
        splits = file.create_group("splits", track_order=True)
        for split, positions in contents.splits.items():
            splits[split] = positions
        table, images = contents.attributes, contents.images
        assert table is not None
        assert isinstance(images, EncodedImages)
        file.create_dataset("attributes/graded", data=table.graded, compression="gzip")
        file.create_dataset("attributes/categorical", data=table.categorical, compression="gzip")
        file["attributes/graded"].attrs["names"] = json.dumps(table.graded_names)
        file["attributes/categorical"].attrs["names"] = json.dumps(table.categorical_names)
        file["attributes/categorical"].attrs["values"] = json.dumps(table.values)
        file.create_group("images").attrs["source"] = json.dumps(images.description)
        encoded = file.create_dataset("images/encoded", (len(names),), dtype=h5py.vlen_dtype(np.uint8))
        for position, picture in enumerate(images.encoded):
            encoded[position] = picture


def summary(catalog: Catalog) -> str:
    """A digest of what a catalogue shows, all but its name and provenance."""
    parts = [catalog.ids.tolist(), catalog.splits, catalog.features.tolist()]
    parts += [[catalog.split(name).ids.tolist() for name in catalog.splits]]
    if catalog.region_shape:
        parts += [catalog.read_regions().tolist()]
    table = catalog.attributes
    if table is not None:
        parts += [table.graded_names, table.categorical_names, table.values]
        parts += [table.graded.tolist(), table.categorical.tolist()]
    if catalog.image_size:
        parts += [catalog.images(np.arange(len(catalog))).tolist()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def look_at(path: Path) -> dict[str, str]:
    """The summary of a file, or the message and kind of the error that it gives."""
    try:
        catalog = Catalog.open(path)
        return {"summary": summary(catalog), "told": f"{catalog.name} {json.dumps(catalog.provenance)}"}
    except (OSError, ValueError) as error:
        return {"refused": str(error), "kind": type(error).__name__}


def outcomes(paths: list[Path]) -> list[dict[str, str]]:
    """What another process finds in each file; AssertionError where it hangs or dies."""
    command = [sys.executable, "-m", "tests.catalog_files", *map(str, paths)]
    deadline = 60 + SECONDS_A_FILE * len(paths)
    try:
        shown = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=deadline)
    except subprocess.TimeoutExpired as error:
        done = (error.stdout or b"").count(b"\n")
        raise AssertionError(f"{paths[done]} hangs") from error
    found = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(found) == len(paths), f"{paths[len(found)]}: exit {shown.returncode}, {shown.stderr}"
    return found


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(look_at(Path(argument))), flush=True)
