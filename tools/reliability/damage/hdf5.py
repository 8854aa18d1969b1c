"""Damage to HDF5 files, catalogues and dialogs among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from tools.reliability.damage.pictures import picture_bomb, picture_format, picture_program
from tools.reliability.damage.signing import sign
from tools.reliability.damage.target import Target


def data_sets(file: h5py.File) -> list[str]:
    """Names of all data sets."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)


def edit_hdf5(target: Target) -> None:
    """A data set that is missing, a group, of another type or shape, elsewhere, or declared enormous."""
    random = target.random
    with h5py.File(target.path, "r+") as file:
        names = data_sets(file)
        name = names[target.place(len(names))]
        values = file[name][()]
        attributes = dict(file[name].attrs)
        del file[name]
        choices: tuple[Callable[[], Any], ...] = (
            lambda: None,
            lambda: file.create_group(name),
            lambda: file.create_dataset(name, data=np.asarray(values).reshape(-1)[:3]),
            lambda: file.create_dataset(name, (10**9, *np.shape(values)[1:]), dtype=np.float32, chunks=True),
            lambda: file.create_dataset(name, (10**9,), dtype=h5py.string_dtype(), chunks=True),
            lambda: file.create_dataset(name, (1 << 40,), dtype=np.uint8, chunks=True, compression="gzip"),
            lambda: file.create_dataset(name, data=np.zeros(np.shape(values), np.complex64)),
            lambda: file.create_dataset(name, data=np.full(np.shape(values), "text", dtype=h5py.string_dtype())),
            lambda: file.create_dataset(name, data=np.full(np.shape(values), np.nan, np.float32)),
            lambda: file.create_dataset(name, data=np.full(np.shape(values), -7)),
            lambda: file.create_dataset(name, data=h5py.Empty("f")),
            lambda: file.create_dataset(name, data=np.array([file.ref] * 2, dtype=h5py.ref_dtype)),
            lambda: file.create_dataset(name, data=3.5),
            lambda: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
            lambda: file.__setitem__(name, h5py.ExternalLink("/dev/zero", "/x")),
            lambda: file.__setitem__(name, h5py.ExternalLink(str(target.others[0]), name)),
        )
        choices[random.integers(len(choices))]()
        made = (
            file.get(name) if not isinstance(file.get(name, getlink=True), h5py.ExternalLink | h5py.SoftLink) else None
        )
        if isinstance(made, h5py.Dataset):
            made.attrs.update(attributes)


def edit_hdf5_attribute(target: Target) -> None:
    """An attribute that is missing or something else."""
    junk: tuple[Any, ...] = (
        None, 0, -1, 1.5, "", "x", "[" * 100_000, '{"a": 1}', np.zeros(3), np.array(["a", "b"], dtype="S1"), True,
        b"\xff\xfe", float("nan"), 10**15, '"evil.Evil"', h5py.Empty("f"),
    )  # fmt: skip
    with h5py.File(target.path, "r+") as file:
        places = [(item, key) for name in ("/", *_all_names(file)) for item in (file[name],) for key in item.attrs]
        item, key = places[target.place(len(places))]
        value = junk[target.place(len(junk))]
        del item.attrs[key]
        if value is not None:
            item.attrs[key] = value


def _all_names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return sorted(names)


def forge_hdf5(target: Target) -> None:
    """A data set or attribute that is something else, and the seal or digest over it made anew."""
    damages = (edit_hdf5, edit_hdf5, edit_hdf5_attribute, change_numbers)
    damages[target.place(len(damages))](target)
    sign(target.path)


def forge_pictures(target: Target) -> None:
    """A catalogue whose first pictures are enormous, a program, or of odd formats, sealed."""
    beside = Target(target.path.with_name("picture.jpg"), target.random, target.others, target.canary)
    damages = (picture_bomb, picture_program, picture_format, picture_format)
    damages[target.place(len(damages))](beside)
    picture = np.frombuffer(beside.path.read_bytes(), np.uint8)
    with h5py.File(target.path, "r+") as file:
        if "images/offsets" not in file:
            return
        old, offsets = file["images/bytes"][()], file["images/offsets"][()]
        change = len(picture) - int(offsets[1])
        del file["images/bytes"]
        file["images/bytes"] = np.concatenate([picture, old[int(offsets[1]) :]])
        file["images/offsets"][1:] = offsets[1:] + change
    sign(target.path)


def change_numbers(target: Target) -> None:
    """One number of a data set is another one."""
    with h5py.File(target.path, "r+") as file:
        names = [name for name in data_sets(file) if file[name].dtype.kind in "iuf" and file[name].size]
        name = names[target.place(len(names))]
        values = file[name][()]
        flat = values.reshape(-1)
        choices = (flat.max() + 1, -1, 0, flat[0], 2**31 - 1) if values.dtype.kind != "f" else (0.5, -3, np.nan, np.inf)
        chosen = choices[target.place(len(choices))]
        with np.errstate(all="ignore"):
            flat[target.place(len(flat))] = np.array(chosen).astype(values.dtype)
        file[name][...] = values
