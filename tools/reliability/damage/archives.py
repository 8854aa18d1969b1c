"""Damage to zip files and to what PyTorch saves."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tools.reliability.damage.pickles import Executed, doubling, pickled
from tools.reliability.damage.target import Target


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
