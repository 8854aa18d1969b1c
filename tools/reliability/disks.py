"""Part `disks`: works on disks that are too small; then there is room, and the same command ends as always."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path

from tools.reliability import works
from tools.reliability.cases import SKIPPED, Case, Outcome, Part, fail
from tools.reliability.commands import require_told
from tools.reliability.processes import LIBC
from tools.reliability.works import WORKS, comparable_file, first_difference, former_of, require_end, run_whole, state

NEW_MOUNTS, PRIVATE, REMOUNT, DETACH = 0x00020000, (1 << 18) | (1 << 14), 32, 2
NO_SPACE = ("No space left on device", "disk", "room", "space")
ROOM = 1 << 30
SPARE = 2.5
"""A work may need so many times as much room as it leaves: what is replaced stays until the new file is whole."""


@lru_cache(maxsize=1)
def own_mounts() -> str:
    """Gives this process mounts of its own; why it cannot have them, empty where it can."""
    if os.geteuid():
        return "only root can mount a small disk"
    if LIBC.unshare(NEW_MOUNTS) or LIBC.mount(b"none", b"/", None, PRIVATE, None):
        return f"mounts of its own are refused here ({os.strerror(ctypes.get_errno())})"
    return ""


def mount(where: Path, size: int, flags: int = 0) -> None:
    """Puts a disk of so many bytes at a folder, or changes its size."""
    if LIBC.mount(b"tmpfs", str(where).encode(), b"tmpfs", flags, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), f"no disk of {size} bytes could be mounted at {where}")


def run(case: Case) -> Outcome:
    """One work on one small disk."""
    refused = own_mounts()
    if refused:
        return Outcome(SKIPPED, note=refused)
    name = list(WORKS)[case.number % len(WORKS)]
    former = former_of(case.materials, name)
    size = int(case.random.uniform(0.02, SPARE) * former.size) // 4096 * 4096 + 4096
    disk = case.folder / "disk"
    disk.mkdir()
    mount(disk, size)
    try:
        return on_disk(case, name, disk, size)
    finally:
        LIBC.umount2(str(disk).encode(), DETACH)


def on_disk(case: Case, name: str, disk: Path, size: int) -> Outcome:
    """Runs the work, looks at what lies there, makes room, and runs it again."""
    work, former, output = WORKS[name], former_of(case.materials, name), disk / "out"
    output.mkdir()
    what = f"{name} on a disk of {size} bytes, of which it needs more than {former.size}"
    ended = run_whole(work, case.materials, output, case.folder)
    require_told(ended, (str(disk), *NO_SPACE), what)
    for path in sorted(output.rglob("*")):
        inside = path.relative_to(output).parts
        if path.is_file() and not set(inside) & set(works.IGNORED) and not path.name.endswith((".part", ".partial")):
            try:
                comparable_file(path)
            except Exception as error:
                fail("lost", f"{what}: {path.name} is neither whole nor absent: {error!r}")
    found = state(output)
    if not ended.status and found != former.state:
        fail("lost", f"{what} said all was well: {first_difference(former.state, found)}")
    mount(disk, ROOM, REMOUNT)
    require_end(work, case.folder, case.materials, output, former, f"{what}; with room")
    return Outcome(note=f"{what}: status {ended.status}")


PART = Part(
    name="disks",
    tries="the same works on a tmpfs of random size: files whole or absent, one sentence; with room, the same end",
    run=run,
    prepare=works.prepare,
    cases=70,
    small=7,
    seconds=600,
    memory=6 << 30,
)
