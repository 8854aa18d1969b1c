"""Files that went bad, drawn from a seed, and what reading them came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def damaged(whole: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Copies with one to three bits flipped, a block zeroed, a piece repeated, or the end cut off; all differ."""
    generator = np.random.default_rng(seed)
    made = 0
    while made < count:
        content = np.frombuffer(whole, np.uint8).copy()
        start = int(generator.integers(len(content)))
        kind = generator.choice(["bits", "bits", "zeros", "piece", "cut"])
        if kind == "bits":
            for place in generator.integers(len(content), size=generator.integers(1, 4)):
                content[place] ^= 1 << int(generator.integers(8))
        elif kind == "zeros":
            content[start : start + 512] = 0
        elif kind == "piece":
            content = np.insert(content, start, content[start : start + 8])
        else:
            content = content[:start]
        if content.tobytes() != whole:
            made += 1
            yield content.tobytes()


def flipped(whole: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Copies with one bit flipped."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        content = bytearray(whole)
        content[int(generator.integers(len(content)))] ^= 1 << int(generator.integers(8))
        yield bytes(content)


def refusal(call: Callable[..., Any], *arguments: Any) -> str:
    """The sentence by which a call refuses, "" where it does not; any other error goes through."""
    try:
        call(*arguments)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    return ""
