"""A guard against HDF5 files that are read for ever."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

HEAP = b"GCOL\x01\0\0\0"
"""How a global heap begins, where HDF5 keeps texts and other data of varying length; its length follows."""
OBJECT = struct.Struct("<H6xQ")
"""The header of an object in a heap: its number, 0 for free space, and its size."""


def refuse_endless_heaps(path: Path) -> None:
    """Walks the global heaps of an HDF5 file as the HDF5 library does, but notices when that makes no way.

    A block of zeros in a heap reads as free space of no size, from which the library never gets away. It costs one
    search through the file, some 1 GB/s. (Format: "HDF5 File Format Specification", section III.E.)

    Raises:
        ValueError: there is such a heap, or heaps that together are larger than the file.
    """
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        walked, start = 0, content.find(HEAP)
        while start >= 0:
            end = min(start + int.from_bytes(content[start + 8 : start + 16], "little"), len(content))
            walked += max(0, end - start)
            here = start + 16
            while here + OBJECT.size <= end:
                number, size = OBJECT.unpack_from(content, here)
                step = OBJECT.size + (size + 7) // 8 * 8 if number else size
                if step < OBJECT.size or walked > len(content):
                    raise ValueError(f"the heap at byte {start:,} has no end: it was damaged")
                here += step
            start = content.find(HEAP, start + len(HEAP))
