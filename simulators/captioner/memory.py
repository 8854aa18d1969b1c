"""How much memory a captioner takes for what it computes once of every image, where nobody says."""

from __future__ import annotations

import math
import os

import torch

from dialog_env.io.device import GIB, free_memory

SWITCH = "DIALOG_RETRIEVAL_MEMORY"
"""Environment variable: GiB."""
SHARE = 1 / 2
"""Of the memory that is free when the captioner is made. On a CPU it is taken as images are first asked about."""
WHERE_UNKNOWN = 2 * GIB
"""Bytes where the system does not say what is free."""


def memory_for(device: torch.device) -> int:
    """Bytes that may be kept on a device; ValueError for a switch that is no number of GiB."""
    switch = os.environ.get(SWITCH)
    if switch:
        try:
            gibibytes = float(switch)
        except ValueError:
            gibibytes = math.nan
        if not 0 < gibibytes < math.inf:
            raise ValueError(f"{SWITCH} is {switch!r}; give GiB, such as 4 or 0.5")
        return int(gibibytes * GIB)
    free = free_memory(device)
    return WHERE_UNKNOWN if free is None else int(free * SHARE)


def told_cost(kept: int, images: int, taken: int, image_bytes: int) -> str:
    """What it costs to keep some images only, as a sentence.

    Args:
        kept: so many images are.
        images: N.
        taken: bytes that they and the words take.
        image_bytes: that one takes.
    """
    anew = 1 - (kept / images) ** 2
    needed = (taken + (images - kept) * image_bytes) / GIB
    return (
        f"a captioner keeps what it computes of {kept:,} of {images:,} images, in {taken / GIB:.2f} GiB; "
        f"{100 * anew:.0f}% of random pairs have one to be looked at anew, which takes several times as long as an "
        f"answer; all take {needed:.2f} GiB: give {SWITCH}={math.ceil(10 * needed) / 10:g} where there are as many, or "
        "memory_limit"
    )
