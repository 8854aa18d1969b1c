"""Names of colours by what they look like, so that "navy" is a blue to who knows but twelve colours.

The names, and the colour that most people gave each, are those of the survey of xkcd.com (2010; 222,500 people), which
Matplotlib holds.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SURVEY = "xkcd:"
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
"""Of linear sRGB."""
WHITE = (0.95047, 1.0, 1.08883)
"""D65 in XYZ."""

Floats = NDArray[np.float64]


def nearest_colour(word: str, known: Collection[str]) -> str | None:
    """The known word for the colour that a word names; None where it names none, or none of the known words is one.

    The name nearest to it in CIELAB counts, of all in the survey that end with a known word: "navy" looks like "dark
    navy blue".

    >>> nearest_colour("crimson", {"red", "brown", "heel"})
    'red'
    >>> nearest_colour("heel", {"red", "brown", "heel"}) is None
    True
    """
    names = _survey()
    if word not in names:
        return None
    ending = [(name.split()[-1], colour) for name, colour in names.items() if name.split()[-1] in known]
    if not ending:
        return None
    distances = [float(np.sum((colour - names[word]) ** 2)) for _, colour in ending]
    return ending[int(np.argmin(distances))][0]


@lru_cache(maxsize=1)
def _survey() -> dict[str, Floats]:
    """Name to its colour (3,) in CIELAB."""
    from matplotlib.colors import XKCD_COLORS, to_rgb

    return {name.removeprefix(SURVEY): _lab(np.array(to_rgb(colour))) for name, colour in XKCD_COLORS.items()}


def _lab(colour: Floats) -> Floats:
    """(3,) in CIELAB of a colour (3,) in sRGB, 0 to 1 (IEC 61966-2-1, CIE 15)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    scaled = np.array(TO_XYZ) @ linear / np.array(WHITE)
    curved = np.where(scaled > (6 / 29) ** 3, np.cbrt(scaled), scaled / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * curved[1] - 16, 500 * (curved[0] - curved[1]), 200 * (curved[1] - curved[2])])
