"""A file that is to be damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

Random = np.random.Generator


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
