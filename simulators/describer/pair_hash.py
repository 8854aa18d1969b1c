"""Choices that depend on nothing but the two items: the same in every split, batch, order and device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

CHANCES = 1 << 28
"""The largest limit of `below`: equally likely outcomes of a draw that decides whether something happens."""


class PairHashes:
    """Numbers for pairs of items, each as good as independent of the others; the order of a pair matters.

    Args:
        ids: ids of N items.
        seed: another seed gives other numbers.
        streams: numbers of a pair.
        device: where it takes and gives tensors.
    """

    def __init__(self, ids: Iterable[object], seed: int, streams: int, device: torch.device) -> None:
        digests = [hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8] for name in ids]
        items = torch.from_numpy(np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)).to(device)
        self._targets, self._candidates = mix(items), 3 * items
        self._steps = torch.arange(1, streams + 1, device=device) * _signed(0x9E3779B97F4A7C15)

    def __call__(self, targets: Tensor, candidates: Tensor) -> Tensor:
        """(B, streams) int64 of the pairs of items (B,) and (B,), given by their positions among the ids."""
        pair = mix(self._targets[targets] + self._candidates[candidates])
        return mix(pair[:, None] + self._steps)


def mix(numbers: Tensor) -> Tensor:
    """Every bit of int64 numbers spread over all bits (the finaliser of SplitMix64, in wrapping arithmetic)."""
    numbers = (numbers ^ _shift(numbers, 30)) * _signed(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ _shift(numbers, 27)) * _signed(0x94D049BB133111EB)
    return numbers ^ _shift(numbers, 31)


def below(hashes: Tensor, limit: int | Tensor) -> Tensor:
    """Hashes reduced to 0..limit-1, where the limit may be one for each."""
    return (_shift(hashes, 20) & 0xFFFFFFF) % limit


def _shift(numbers: Tensor, bits: int) -> Tensor:
    """Logical right shift."""
    return (numbers >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
