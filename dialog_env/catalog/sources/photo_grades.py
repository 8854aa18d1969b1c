"""Graded attributes that can be measured in a photograph of one object on a plain background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BACKGROUND_DIFFERENCE = 28
LEAST_PIXELS = 20
RANGE = (1, 99)
MEASURES = ("bright in colour", "long on the leg")


def silhouette(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the object stands, (H, W): what differs from the backdrop, with its holes filled.

    The backdrop runs from the colour of the top rows to that of the bottom rows. A pixel belongs to the object when
    differing pixels lie on all four sides of it: a white shoe on white is filled, the gap under a heel is not.
    """
    pixels = picture.astype(np.float32)  # (H, W, 3)
    top, bottom = (np.median(rows.reshape(-1, 3), axis=0) for rows in (pixels[:3], pixels[-3:]))
    backdrop = top + (bottom - top) * np.linspace(0, 1, len(pixels), dtype=np.float32)[:, None]  # (H, 3)
    differs = np.abs(pixels - backdrop[:, None]).max(axis=2) > BACKGROUND_DIFFERENCE
    return _between(differs, 0) & _between(differs, 1)


def measure(picture: NDArray[np.uint8]) -> dict[str, float]:
    """Raw measures of one picture (H, W, 3), NaN where no object is seen.

    `bounds_of` and `scale` bring them into [0, 1].
    "bright in colour" is the mean of the largest colour channel over the object; "long on the leg" its height, less
    the gap under its arch, over its width.
    """
    inside = silhouette(picture)
    if inside.sum() < LEAST_PIXELS:
        return dict.fromkeys(MEASURES, np.nan)
    columns = np.flatnonzero(inside.any(axis=0))
    rows = np.flatnonzero(inside.any(axis=1))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    lowest = len(inside) - 1 - inside[::-1, columns].argmax(axis=0)
    gap = (_hull_above(columns, lowest) - lowest).max()
    return {
        "bright in colour": float(picture.max(axis=2)[inside].mean() / 255),
        "long on the leg": float((height - gap) / width),
    }


def bounds_of(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """The 1st and 99th percentile of measures (N,); None where none is known.

    A range, not a rank: a difference in grade must be as large as the difference that can be seen.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.percentile(known, RANGE)
    return float(low), float(high)


def scale(values: NDArray[np.float64], bounds: tuple[float, float] | None) -> NDArray[np.float32]:
    """Measures (N,) brought into [0, 1] so that the two bounds become 0 and 1; NaN stays."""
    if bounds is None:
        return np.full(len(values), np.nan, dtype=np.float32)
    low, high = bounds
    if high <= low:
        return np.where(np.isfinite(values), 0.5, np.nan).astype(np.float32)
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _between(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Pixels with a marked pixel on both sides along `axis`, or marked themselves."""
    before = np.logical_or.accumulate(mask, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis=axis), axis)
    return before & after


def _hull_above(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """The concave chain over the points (x, y), at every x: the ground that an object of lower outline y stands on."""
    chain: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(chain) > 1 and _turns_up(chain[-2], chain[-1], point):
            chain.pop()
        chain.append(point)
    return np.interp(x, [point[0] for point in chain], [point[1] for point in chain])


def _turns_up(first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]) -> bool:
    along = (second[0] - first[0]) * (third[1] - first[1])
    return along - (second[1] - first[1]) * (third[0] - first[0]) >= 0
