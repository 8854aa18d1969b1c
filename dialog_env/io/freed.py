"""Freed memory that the process keeps for what it asks for next."""

from __future__ import annotations

from functools import cache

import torch

LARGEST = 31 << 20
"""Bytes: a little less than the largest piece that the GNU C library learns from."""


@cache
def keep_freed_memory() -> None:
    """Lets the C library keep freed pieces of up to `LARGEST` bytes, and twice as many at the end of its heap.

    Otherwise it gives larger pieces back to the system, which fills the next one with zeros page by page: much of a
    turn of many dialogs. The GNU C library keeps pieces as large as any that it has seen freed (mallopt(3),
    M_MMAP_THRESHOLD), so it is shown one, which nobody writes to. With other C libraries this does nothing.
    """
    torch.empty(LARGEST, dtype=torch.uint8)
