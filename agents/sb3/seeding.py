"""Stable-Baselines3 draws from global generators; here they are put back as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def restored_global_generators(device: str) -> Iterator[None]:
    """Lets the block seed and use the global generators of Python, NumPy and PyTorch, then restores them."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002 - what Stable-Baselines3 draws from
    graphics = [torch.device(device)] if torch.device(device).type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=graphics):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)  # noqa: NPY002
