"""Ways to damage a file: those that harm any file, and those that know what kind of file it is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dialog_env.io import checkpoint
from dialog_env.io.atomic import DIGEST, signed
from dialog_env.io.seals import SEAL_BYTES, seal

Random = np.random.Generator
SPARSE = 1 << 30
JUNK: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 1.5, -0.5, 1e308, float("nan"), float("inf"), 10**30, -(2**63), 2**31, 1 << 40,
    "", "x", "evil.Evil", "evil", "\x00", "two\nlines", "z" * 5000, [], {}, [[]], [None], ["a"], {"a": 1}, [1, "a"],
    {"__class__": "evil.Evil"},
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A file to damage.

    Args:
        path: of it.
        random: draws the damage.
        others: files of other kinds.
        canary: a file that exists once something in a file was executed.
    """

    path: Path
    random: Random
    others: list[Path]
    canary: Path

    @property
    def content(self) -> bytearray:
        """What the file holds."""
        return bytearray(self.path.read_bytes())

    def place(self, length: int) -> int:
        """A random place in so many bytes."""
        return int(self.random.integers(max(1, length)))


# --- any file


def truncate(target: Target) -> None:
    """Cut off somewhere."""
    content = target.content
    target.path.write_bytes(content[: target.place(len(content))])


def cut_last_bytes(target: Target) -> None:
    """Cut off shortly before its end."""
    content = target.content
    target.path.write_bytes(content[: max(0, len(content) - 1 - target.place(40))])


def empty(target: Target) -> None:
    """Nothing in it."""
    target.path.write_bytes(b"")


def zero_block(target: Target) -> None:
    """A block of zeros, as after a crash."""
    content = target.content
    start, size = target.place(len(content)), int(target.random.choice([16, 512, 4096]))
    content[start : start + size] = bytes(len(content[start : start + size]))
    target.path.write_bytes(content)


def noise_block(target: Target) -> None:
    """A block of random bytes."""
    content = target.content
    start, size = target.place(len(content)), int(target.random.choice([4, 64, 1024]))
    part = content[start : start + size]
    content[start : start + size] = target.random.bytes(len(part))
    target.path.write_bytes(content)


def flip_bytes(target: Target) -> None:
    """Some bytes changed."""
    content = target.content
    for _ in range(int(target.random.integers(1, 20))):
        if content:
            content[target.place(len(content))] ^= int(target.random.integers(1, 256))
    target.path.write_bytes(content)


def drop_block(target: Target) -> None:
    """A block missing in the middle."""
    content = target.content
    start = target.place(len(content))
    del content[start : start + int(target.random.integers(1, 5000))]
    target.path.write_bytes(content)


def append(target: Target) -> None:
    """Something behind its end."""
    target.path.write_bytes(target.content + target.random.bytes(int(target.random.integers(1, 300))))


def twice(target: Target) -> None:
    """Its content twice."""
    target.path.write_bytes(target.content * 2)


def swap(target: Target) -> None:
    """A file of another kind."""
    target.path.write_bytes(target.others[target.random.integers(len(target.others))].read_bytes())


def archive(target: Target) -> None:
    """A tar file with it, as a download may leave it."""
    content = bytes(target.content)
    with tarfile.open(target.path, "w:gz") as file:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))


def numpy_objects(target: Target) -> None:
    """A numpy file of pickled objects."""
    with target.path.open("wb") as file:
        np.save(file, np.array([Executed(target.canary)], dtype=object), allow_pickle=True)


def invalid_text(target: Target) -> None:
    """Bytes that are no UTF-8."""
    content = target.content
    start = target.place(len(content))
    content[start:start] = b"\xff\xfe\x80\xc3"
    target.path.write_bytes(content)


def missing(target: Target) -> None:
    """No file."""
    target.path.unlink()


def folder(target: Target) -> None:
    """A folder in its place."""
    target.path.unlink()
    target.path.mkdir()


def pipe(target: Target) -> None:
    """A named pipe in its place, to which nobody writes."""
    target.path.unlink()
    os.mkfifo(target.path)


def endless(target: Target) -> None:
    """A link to a device that never ends."""
    target.path.unlink()
    target.path.symlink_to("/dev/zero")


def loop(target: Target) -> None:
    """A link to itself."""
    target.path.unlink()
    target.path.symlink_to(target.path.name)


def sparse(target: Target) -> None:
    """Followed by a gigabyte of nothing."""
    os.truncate(target.path, SPARSE)


ANY = (
    truncate, truncate, cut_last_bytes, empty, zero_block, zero_block, noise_block, flip_bytes, flip_bytes, drop_block,
    append, twice, swap, archive, numpy_objects, invalid_text, missing, folder, pipe, endless, loop, sparse,
)  # fmt: skip


# --- JSON


def edited(value: Any, random: Random) -> Any:
    """JSON data with one part of it removed, replaced, doubled or wrapped."""
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    if not inner or random.random() < 0.1:
        return JUNK[random.integers(len(JUNK))]
    key, part = inner[random.integers(len(inner))]
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    chance = random.random()
    if chance < 0.2:
        del copy[key]
    elif chance < 0.4:
        copy[key] = JUNK[random.integers(len(JUNK))]
    elif chance < 0.5 and isinstance(copy, list):
        copy.append(part)
    elif chance < 0.5:
        copy["unheard_of"] = part
    elif chance < 0.6:
        copy[key] = [part]
    else:
        copy[key] = edited(part, random)
    return copy


def edit_json(target: Target) -> None:
    """One part of it is something else."""
    target.path.write_text(json.dumps(edited(json.loads(target.path.read_text()), target.random)))


def edit_json_line(target: Target) -> None:
    """One line of it is something else."""
    lines = target.path.read_text().splitlines()
    number = target.place(len(lines))
    lines[number] = json.dumps(edited(json.loads(lines[number]), target.random))
    target.path.write_text("\n".join(lines) + "\n")


def nest(target: Target) -> None:
    """Brackets in brackets in brackets."""
    deep = int(target.random.choice([300, 2_000, 100_000]))
    opening, closing = ("[", "]") if target.random.random() < 0.5 else ('{"a":', "}")
    target.path.write_text(opening * deep + "1" + closing * (deep if target.random.random() < 0.7 else 0))


def long_number(target: Target) -> None:
    """A number of a hundred thousand digits."""
    text = target.path.read_text()
    digits = [place for place, letter in enumerate(text) if letter.isdigit()] or [0]
    place = digits[target.place(len(digits))]
    target.path.write_text(text[:place] + "9" * 100_000 + text[place:])


def drop_line(target: Target) -> None:
    """One line missing."""
    lines = target.path.read_text().splitlines(keepends=True)
    del lines[target.place(len(lines))]
    target.path.write_text("".join(lines))


def cut_lines(target: Target) -> None:
    """Its last lines missing, the cut between two lines."""
    lines = target.path.read_text().splitlines(keepends=True)
    target.path.write_text("".join(lines[: target.place(len(lines))]))


def double_line(target: Target) -> None:
    """One line twice."""
    lines = target.path.read_text().splitlines(keepends=True)
    place = target.place(len(lines))
    target.path.write_text("".join([*lines[:place], *lines[place - 1 : place], *lines[place:]]))


# --- tables


def stray_quote(target: Target) -> None:
    """A quotation mark somewhere."""
    text = target.path.read_text()
    place = target.place(len(text))
    target.path.write_text(text[:place] + '"' + text[place:])


def wide_field(target: Target) -> None:
    """A field of a million letters."""
    text = target.path.read_text()
    place = text.index(",", target.place(len(text) // 2))
    target.path.write_text(text[:place] + "w" * 1_000_000 + text[place:])


def other_encoding(target: Target) -> None:
    """In UTF-16."""
    target.path.write_bytes(target.path.read_text().encode("utf-16"))


def drop_column(target: Target) -> None:
    """One column missing."""
    rows = [line.split(",") for line in target.path.read_text().splitlines()]
    column = target.place(len(rows[0]))
    target.path.write_text("\n".join(",".join([*row[:column], *row[column + 1 :]]) for row in rows) + "\n")


# --- tensors


def forge_facts(target: Target) -> None:
    """A checkpoint whose facts are something else, written as checkpoints are, digest and all."""
    rewrite(target, lambda tensors, facts: (tensors, edited(facts, target.random)))


def forge_agent(target: Target) -> None:
    """A checkpoint of an agent whose class lies in a module that leaves a mark when it is imported."""
    name = str(target.random.choice(["evil.Evil", "evil:Evil", "os.system", "evil", "agents.evil.Evil", ""]))
    rewrite(target, lambda tensors, facts: (tensors, {**facts, "agent": name}))


def forge_tensors(target: Target) -> None:
    """A checkpoint that lacks a tensor, or has one of another shape, type or name, digest and all."""
    rewrite(target, lambda tensors, facts: (other_tensors(tensors, target.random), facts))


def rewrite(target: Target, change: Callable[[dict[str, Tensor], Any], tuple[dict[str, Tensor], Any]]) -> None:
    """Writes a checkpoint as checkpoints are written, with what `change` makes of its tensors and facts.

    A safetensors file that is no checkpoint has another header.
    """
    with safe_open(target.path, framework="pt") as file:
        ours = "format" in (file.metadata() or {}) and "facts" in file.metadata()
    if not ours:
        edit_tensor_header(target)
        return
    saved = checkpoint.read(target.path)
    checkpoint.write(target.path, *change(saved.tensors, saved.facts))


def other_tensors(tensors: dict[str, Tensor], random: Random) -> dict[str, Tensor]:
    """Tensors of which one is missing or another one."""
    if not tensors:
        return {"unheard_of": torch.zeros(2)}
    name = sorted(tensors)[random.integers(len(tensors))]
    tensor = tensors[name]
    others = (
        tensor.reshape(-1), tensor[None], tensor.double(), tensor.to(torch.int8), tensor.bool(), torch.zeros(()),
        torch.full_like(tensor.float(), torch.nan), torch.full_like(tensor.float(), torch.inf),
    )  # fmt: skip
    changed = {**tensors, name: others[random.integers(len(others))]}
    if random.random() < 0.2:
        changed[f"{name}.more"] = tensor
    if random.random() < 0.2:
        del changed[name]
    return changed


def edit_tensor_header(target: Target) -> None:
    """A safetensors file whose header is something else."""
    content = target.content
    length = struct.unpack("<Q", content[:8])[0]
    header = json.dumps(edited(json.loads(content[8 : 8 + length]), target.random)).encode()
    target.path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


def long_tensor_header(target: Target) -> None:
    """A safetensors file that promises an enormous header."""
    content = target.content
    content[:8] = struct.pack("<Q", int(target.random.choice([2**63, 2**40, 10**8, 0])))
    target.path.write_bytes(content)


def without_metadata(target: Target) -> None:
    """Its tensors, as another program writes them."""
    save_file(load_file(target.path), target.path)


# --- pickles


class Executed:
    """Leaves a mark when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def pickled(value: Any, random: Random) -> bytes:
    """A pickle of some protocol."""
    return pickle.dumps(value, protocol=int(random.integers(0, 5)))


def pickle_code(target: Target) -> None:
    """A pickle that calls a function."""
    value: Any = Executed(target.canary)
    if target.random.random() < 0.5:
        value = {"opt": value, "vocab": {"1": "UNK"}}
    target.path.write_bytes(pickled(value, target.random))


def pickle_import(target: Target) -> None:
    """A pickle that names a module that leaves a mark when it is imported."""
    target.path.write_bytes(
        b"cevil\nEvil\n." if target.random.random() < 0.5 else b"\x80\x04\x8c\x04evil\x8c\x04Evil\x93."
    )


def doubling() -> bytes:
    """A pickle of 2^60 entries in some hundred bytes."""
    return b"\x80\x02(I1\nI1\nt" + b"".join(b"q%c(h%ch%ct" % (n, n, n) for n in range(60)) + b"."


def pickle_bomb(target: Target) -> None:
    """A pickle of tuples in tuples, each twice in the next."""
    target.path.write_bytes(doubling())


def pickle_nest(target: Target) -> None:
    """A pickle of lists in lists."""
    target.path.write_bytes(b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".")


def pickle_size(target: Target) -> None:
    """A pickle that promises a text of many gigabytes."""
    target.path.write_bytes(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"a.")


# --- archives


def rewrite_archive(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Writes a zip file anew, each member as `change` gives it, without those for which it gives None."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name, content in members.items():
            changed = change(name, content)
            if changed is not None:
                new.writestr(name, changed)


def archive_code(target: Target) -> None:
    """An archive whose pickles call a function, whatever else they are."""
    code = pickled(Executed(target.canary), target.random)

    def change(name: str, content: bytes) -> bytes:
        if name == "data":
            return json.dumps({"policy_class": {":type:": "x", ":serialized:": code.hex()}}).encode()
        return code if name.endswith((".pkl", ".pth")) else content

    rewrite_archive(target.path, change)


def archive_drop(target: Target) -> None:
    """An archive without one of its members."""
    with zipfile.ZipFile(target.path) as file:
        gone = file.namelist()[target.place(len(file.namelist()))]
    rewrite_archive(target.path, lambda name, content: None if name == gone else content)


def archive_other(target: Target) -> None:
    """An archive one of whose members is something else."""
    with zipfile.ZipFile(target.path) as file:
        chosen = file.namelist()[target.place(len(file.namelist()))]
    others = (b"", b"\x00" * 10, doubling(), b"{}", target.random.bytes(300))
    other = others[target.place(len(others))]
    rewrite_archive(target.path, lambda name, content: other if name == chosen else content)


def archive_bomb(target: Target) -> None:
    """An archive each of whose members unpacks to three gigabytes."""
    with zipfile.ZipFile(target.path) as file:
        names = file.namelist()
    packed, checksum, size = zeros()
    place, entries, central = 0, b"", b""
    for name in names:
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, checksum, len(packed), size, len(name), 0)
        entry = b"PK\x03\x04" + fields + name.encode() + packed
        central += b"PK\x01\x02\x14\x00" + fields + struct.pack("<HHHII", 0, 0, 0, 0, place) + name.encode()
        entries, place = entries + entry, place + len(entry)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(central), place, 0)
    target.path.write_bytes(entries + central + end)


def zeros(size: int = 3 << 30) -> tuple[bytes, int, int]:
    """So many zeros packed by deflate, without packing them all: one packed piece repeated; checksum and size."""
    piece = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(size >> 20):
        checksum = zlib.crc32(piece, checksum)
    return first * (size >> 20) + packer.flush(), checksum, size


def other_state(target: Target) -> None:
    """A state dict of PyTorch that is something else than named tensors of the right shapes."""
    loaded = dict(torch.load(target.path, weights_only=True))
    name = sorted(loaded)[target.place(len(loaded))]
    states: tuple[Any, ...] = (
        {**loaded, name: loaded[name].reshape(-1)}, {**loaded, name: 3}, {**loaded, name: "text"}, {**loaded, 7: 8},
        {key: value for key, value in loaded.items() if key != name}, [loaded], 5, {},
        {**loaded, name: torch.full_like(loaded[name].float(), torch.nan)}, {**loaded, "more": torch.zeros(1)},
        {**loaded, name: loaded[name].to_sparse()}, {**loaded, name: torch.empty(1 << 40, device="meta")},
        {**loaded, name: loaded[name].to(torch.complex64)}, {**loaded, name: torch.zeros(())},
    )  # fmt: skip
    torch.save(states[target.place(len(states))], target.path)


# --- HDF5


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


def forge_json(target: Target) -> None:
    """One part of it is something else, and its digest made anew."""
    target.path.write_text(json.dumps(edited(json.loads(target.path.read_text()), target.random)))
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


def sign(path: Path) -> None:
    """Makes the seal or digest of a file of ours anew: what a stranger can do who means harm."""
    with path.open("rb") as file:
        title = file.read(SEAL_BYTES).partition(b"\n")[0]
    if title.startswith(b"dialog-retrieval"):
        seal(path, title.decode())
    elif path.suffix == ".json":
        content = json.loads(path.read_text())
        if isinstance(content, dict) and DIGEST in content:
            path.write_text(json.dumps(signed(content)))
    elif (path.parent / "result.json").exists():
        content = json.loads((path.parent / "result.json").read_text())
        content["dialogs"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (path.parent / "result.json").write_text(json.dumps(signed(content)))


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


# --- pictures


def png_of(width: int, height: int) -> bytes:
    """A PNG file of so many black pixels, which takes a thousandth of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 40\n%%EndComments\n/Times findfont 9 scalefont setfont\n"
    b"1 1 moveto (x) show showpage\n%%EOF\n"
)


def picture_bomb(target: Target) -> None:
    """A small file of an enormous picture."""
    width, height = ((40_000, 40_000), (13_000, 13_000), (1, 4_000_000), (400_000, 100))[target.place(4)]
    target.path.write_bytes(png_of(width, height))


def picture_program(target: Target) -> None:
    """PostScript, which another program would have to run."""
    target.path.write_bytes(POSTSCRIPT)


def picture_format(target: Target) -> None:
    """Another format, mode or size, or many frames."""
    image = Image.new("RGB", (30, 40), (9, 99, 199))
    kinds: tuple[tuple[str, Image.Image, dict[str, Any]], ...] = (
        ("GIF", image, {"save_all": True, "append_images": [image.rotate(90)] * 5}),
        ("TIFF", image, {}),
        ("BMP", image, {}),
        ("WEBP", image, {}),
        ("PPM", image, {}),
        ("ICO", image, {}),
        ("PCX", image, {}),
        ("TGA", image, {}),
        ("PDF", image, {}),
        ("JPEG2000", image, {}),
        ("JPEG", image.convert("CMYK"), {}),
        ("JPEG", image.convert("L"), {}),
        ("PNG", image.convert("P"), {"transparency": 0}),
        ("PNG", Image.new("I;16", (30, 40)), {}),
        ("PNG", Image.new("LA", (30, 40)), {}),
        ("PNG", Image.new("1", (30, 40)), {}),
        ("PNG", Image.new("RGB", (1, 1)), {}),
        ("PNG", Image.new("RGB", (1, 3000)), {}),
    )
    kind, picture, settings = kinds[target.place(len(kinds))]
    try:
        picture.save(target.path, kind, **settings)
    except (OSError, KeyError):
        picture.save(target.path, "PNG")


# --- models


def backbone_code(target: Target) -> None:
    """A configuration that asks for code beside it to be run."""
    config = json.loads(target.path.read_text())
    classes = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
    config |= {"auto_map": classes, "model_type": str(target.random.choice(["resnet", "evil", ""]))}
    target.path.write_text(json.dumps(config))


JSON = (edit_json, edit_json, forge_json, forge_json, forge_json, nest, long_number)
BY_SUFFIX: dict[str, tuple[Callable[[Target], None], ...]] = {
    ".json": JSON,
    ".jsonl": (edit_json_line, edit_json_line, edit_json_line, drop_line, cut_lines, double_line, nest, long_number),
    ".csv": (stray_quote, stray_quote, wide_field, other_encoding, drop_column, drop_line, cut_lines, double_line),
    ".txt": (drop_line, cut_lines, cut_lines, double_line, other_encoding),
    ".safetensors": (
        forge_facts, forge_facts, forge_facts, forge_agent, forge_tensors, forge_tensors, edit_tensor_header,
        edit_tensor_header, long_tensor_header, without_metadata,
    ),
    ".pkl": (pickle_code, pickle_import, pickle_bomb, pickle_nest, pickle_size),
    ".zip": (archive_code, archive_drop, archive_other, archive_bomb),
    ".pth": (
        archive_code, archive_drop, archive_other, archive_bomb, other_state, other_state, pickle_code, pickle_bomb
    ),
    ".h5": (
        edit_hdf5, edit_hdf5_attribute, change_numbers, forge_hdf5, forge_hdf5, forge_hdf5, forge_hdf5, forge_pictures
    ),
    ".jpg": (picture_bomb, picture_program, picture_format, picture_format),
}  # fmt: skip
FORGED = (
    forge_facts,
    forge_agent,
    forge_tensors,
    forge_hdf5,
    forge_json,
    forge_pictures,
    other_state,
    archive_code,
    picture_format,
    double_line,
)
"""Damage after which a file is whole in its way, so that another content is no damage unnoticed."""


def ways(name: str) -> tuple[Callable[[Target], None], ...]:
    """What can be done to a file of that name."""
    special = BY_SUFFIX.get(Path(name).suffix, ())
    return (*special, *((backbone_code,) * 3 if name.endswith("config.json") else ()))
