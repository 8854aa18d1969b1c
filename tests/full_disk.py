"""Builds a catalogue of photographs again and again on disks that are too small, and makes them larger each time.

`python -m tests.full_disk FOLDER ROUNDS SEED` mounts a tmpfs of random size at FOLDER/disk and prints one line of JSON
a round: what every attempt said, and whether the catalogue is the one that a large disk gives.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.catalog.sources import encoders
from dialog_env.catalog.sources.products import Products
from tests.catalog.test_sources_products import ROW, write_products

IMAGES, CHANNELS, GRID = 48, 64, 4
LEAST, MOST = 16, 400
"""KiB of the disk at first."""


class Stub:
    """Stands for a backbone: features that depend on the picture and take no network."""

    description: dict[str, Any] = {"name": "stub"}  # noqa: RUF012

    name, recipe = "stub", description

    def __init__(self, folder: Path, device: str, pooling: str, engine: str) -> None:
        """Needs nothing."""

    def check(self, grid: int) -> None:
        """Always works."""

    def prepare(self, content: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return content[-CHANNELS:]

    def __call__(self, pixels: list[NDArray[np.uint8]], grid: int) -> tuple[Tensor, Tensor]:
        pooled = torch.from_numpy(np.stack(pixels).astype(np.float32))
        return pooled, torch.stack([pooled.roll(shift, 1) for shift in range(grid * grid)], dim=1)


def source(data: Path, folder: Path) -> Products:
    """The source that is built in a folder."""
    return Products(data, data, folder / "out.h5", batch=4, grid=GRID, dimensions=8, region_channels=16)


def attempt(data: Path, disk: Path) -> str:
    """Builds in a process of its own, which ends as any other; "" where it was built, else what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        said = ""
        try:
            source(data, disk).build()
        except OSError as error:
            said = str(error) or repr(error)
        os.write(writing, said.encode())
        sys.exit(3 if said else 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return said if code in (0, 3) else f"died with {code}"


def mount(disk: Path, size: int, *options: str) -> None:
    """Makes a tmpfs of `size` KiB there, or resizes it."""
    settings = ",".join([f"size={size}k", *options])
    subprocess.run(["mount", "-t", "tmpfs", "-o", settings, "tmpfs", disk], check=True, capture_output=True)


def play(data: Path, disk: Path, expected: str, random: np.random.Generator) -> dict[str, Any]:
    """One round: attempts on a disk that grows until the catalogue is there."""
    size, said, player = int(random.integers(LEAST, MOST)), [], os.getpid()
    mount(disk, size)
    try:
        while answer := attempt(data, disk):
            said.append(answer)
            size += int(random.integers(64, 300))
            mount(disk, size, "remount")
            if (disk / "out.h5").exists():
                said.append("a file was written and an error reported")
        catalog = Catalog.open(disk / "out.h5")
        catalog.verify()
        return {"right": catalog.fingerprint == expected, "left": sorted(os.listdir(disk)), "said": said}
    finally:
        if os.getpid() == player:
            subprocess.run(["umount", "--lazy", disk], check=True)


def main(folder: Path, rounds: int, seed: int) -> None:
    """Plays rounds of a seed."""
    encoders.VisionBackbone = Stub  # type: ignore[assignment, misc]
    data, disk = folder / "data", folder / "disk"
    write_products(data, [[str(number), *ROW] for number in range(IMAGES)])
    disk.mkdir()
    expected = source(data, folder).build().fingerprint
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        print(json.dumps(play(data, disk, expected, random)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
