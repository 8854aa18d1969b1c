"""Catalogues by name or path, and the sources that they are built from."""

from __future__ import annotations

import os
from pathlib import Path

from dialog_env.catalog.catalog import Catalog
from dialog_env.catalog.contents import Contents
from dialog_env.io.atomic import cache_folder

__all__ = ["DEFAULT", "Catalog", "Contents", "load_catalog"]

MOST_DIGITS = 9
"""Of the size and the seed of a drawn catalogue."""

DEFAULT = Path(__file__).parent / "synthetic" / "default.h5"


def load_catalog(name_or_path: str | Path) -> Catalog:
    """The catalogue of a name or path.

    "synthetic" is the embedded default (4,000 drawn shoes, seed 0); "synthetic:SIZE" and "synthetic:SIZE:SEED" are
    drawn when first asked for and kept in the user's cache folder; all else is the path of a catalogue file.

    Raises:
        FileNotFoundError: neither a known name nor a file.
        ValueError: a size or seed that is no number, or a file that cannot be read.
    """
    name = str(name_or_path)
    if name == "synthetic":
        return Catalog.open(DEFAULT)
    if not name.startswith("synthetic:"):
        if not os.path.isfile(name):  # no error for what can be no path
            raise FileNotFoundError(
                f"no catalogue {name!r}: it is no file, and no name such as synthetic, synthetic:SIZE or "
                "synthetic:SIZE:SEED; build one with `dialog-retrieval catalog build`"
            )
        return Catalog.open(name_or_path)
    numbers = name.split(":")[1:]
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise ValueError(
            f"catalogue {name!r} is not of the form synthetic:SIZE or synthetic:SIZE:SEED; give whole numbers"
        )
    if any(len(number) > MOST_DIGITS for number in numbers):
        raise ValueError(
            f"catalogue {name[:80]!r} is too large; give a size and a seed of at most {MOST_DIGITS} digits"
        )
    size, seed = int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 0
    return _drawn(size, seed)


def _drawn(size: int, seed: int) -> Catalog:
    from dialog_env.catalog import synthetic
    from dialog_env.catalog.sources.drawn import drawn_contents

    version = f"v{synthetic.VERSION}-{synthetic.backbone_fingerprint()[:8]}"
    path = cache_folder() / f"synthetic-{size}-{seed}-{version}.h5"
    try:
        return Catalog.open(path)
    except (FileNotFoundError, ValueError):
        drawn = Catalog(drawn_contents(size, seed))
    try:
        drawn.write(path)
    except OSError:  # a home that cannot be written to: the catalogue lives in memory
        return drawn
    return Catalog.open(path)
