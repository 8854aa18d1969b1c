"""What an upper is covered with: prints in the accent colour and the grain of the material."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.palette import RGB, blend, darker, lighter, luminance
from dialog_env.catalog.synthetic.shoe import Shoe

# Positions of irregular spots in a unit tile, chosen by eye: (x, y, width, height).
_SPOTS = (
    (0.10, 0.12, 0.26, 0.20),
    (0.58, 0.06, 0.20, 0.26),
    (0.34, 0.44, 0.28, 0.20),
    (0.82, 0.40, 0.22, 0.24),
    (0.06, 0.66, 0.22, 0.26),
    (0.56, 0.74, 0.28, 0.20),
    (0.90, 0.88, 0.14, 0.12),
    (0.30, 0.90, 0.12, 0.12),
)
_PETALS = ((0.0, -1.0), (0.95, -0.31), (0.59, 0.81), (-0.59, 0.81), (-0.95, -0.31))


def surface(shoe: Shoe, side: int, unit: float, colour: RGB, ink: RGB) -> Image.Image | None:
    """(side, side) picture of the printed and grained material, None where it is plain and smooth.

    Args:
        shoe: its pattern, material, grain and phase are shown.
        side: size of the picture in pixels.
        unit: pixels per shoe length.
        colour: main colour.
        ink: colour of the print.
    """
    if shoe.pattern == "plain" and shoe.material not in ("suede", "canvas"):
        return None
    layer = Image.new("RGB", (side, side), colour)
    pen = ImageDraw.Draw(layer)
    unit *= 0.72 if KINDS[shoe.kind].form == "low" else 1.0  # a print on a small upper is small
    if shoe.pattern == "striped":
        _stripes(pen, side, unit * (0.075 + 0.05 * shoe.grain), shoe.phase, ink)
    elif shoe.pattern == "dotted":
        _dots(pen, side, unit * (0.085 + 0.05 * shoe.grain), shoe.phase, ink)
    elif shoe.pattern == "floral":
        _flowers(pen, side, unit * (0.15 + 0.06 * shoe.grain), shoe.phase, ink)
    elif shoe.pattern == "animal print":
        _leopard(pen, side, unit * (0.22 + 0.08 * shoe.grain), shoe.phase, ink, blend(colour, ink, 0.4))
    elif shoe.pattern == "checked":
        _checks(pen, side, unit * (0.10 + 0.05 * shoe.grain), shoe.phase, ink, blend(colour, ink, 0.5))
    if shoe.material == "suede":
        layer.paste(darker(colour, 0.6 if shoe.pattern == "plain" else 0.3), mask=_nap(side, 0))
        if shoe.pattern == "plain":
            layer.paste(lighter(colour, 0.35), mask=_nap(side, 1))
    elif shoe.material == "canvas":
        weave = darker(colour, 0.5) if luminance(colour) > 0.35 else lighter(colour, 0.45)
        layer.paste(weave, mask=_weave(side, 1.0 if shoe.pattern == "plain" else 0.4))
    return layer


@lru_cache(maxsize=16)
def _nap(side: int, which: int) -> Image.Image:
    """Blotches of brushed leather."""
    noise = np.random.default_rng([71, which]).random((96, 96))
    values = np.where(noise > 0.55, 50 + 140 * (noise - 0.55) / 0.45, 0).astype(np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BILINEAR)


@lru_cache(maxsize=8)
def _weave(side: int, strength: float) -> Image.Image:
    """Crossing threads."""
    rows, columns = np.indices((96, 96))
    values = np.where((rows + columns) % 2 == 0, 112, 0) + np.where(rows % 4 == 0, 40, 0)
    return Image.fromarray((values * strength).astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)


def _stripes(pen: ImageDraw.ImageDraw, side: int, period: float, phase: float, ink: RGB) -> None:
    place = (phase - 1) * period - side * 0.35
    while place < side * 1.4:
        left, right, slope = int(place), int(place + 0.42 * period), int(side * 0.35)
        pen.polygon((left, 0, right, 0, right + slope, side, left + slope, side), fill=ink)
        place += period


def _dots(pen: ImageDraw.ImageDraw, side: int, period: float, phase: float, ink: RGB) -> None:
    reach, row, y = 0.24 * period, 0, phase * period
    while y < side + reach:
        x = phase * period - (period / 2 if row % 2 else 0)
        while x < side + reach:
            pen.ellipse((int(x - reach), int(y - reach), int(x + reach), int(y + reach)), fill=ink)
            x += period
        y += 0.62 * period
        row += 1


def _flowers(pen: ImageDraw.ImageDraw, side: int, period: float, phase: float, ink: RGB) -> None:
    row, y, petal = 0, (phase - 0.5) * period, 0.14 * period
    heart = (250, 214, 70) if ink[2] < 190 or ink[0] > 230 else (214, 60, 90)
    while y < side + period:
        x = (phase - (0.5 if row % 2 else 0.0)) * period
        while x < side + period:
            for dx, dy in _PETALS:
                px, py = x + dx * 0.19 * period, y + dy * 0.19 * period
                pen.ellipse((int(px - petal), int(py - petal), int(px + petal), int(py + petal)), fill=ink)
            core = 0.1 * period
            pen.ellipse((int(x - core), int(y - core), int(x + core), int(y + core)), fill=heart)
            x += period
        y += 0.7 * period
        row += 1


def _leopard(pen: ImageDraw.ImageDraw, side: int, period: float, phase: float, ink: RGB, core: RGB) -> None:
    y = (phase - 1) * period
    while y < side:
        x = -phase * period
        while x < side:
            for left, top, width, height in _SPOTS:
                box = [x + left * period, y + top * period]
                box += [box[0] + width * period, box[1] + height * period]
                pen.ellipse([int(value) for value in box], fill=ink)
                inset = 0.07 * period
                inner = (box[0] + inset, box[1] + inset, box[2] - 0.6 * inset, box[3] - 0.8 * inset)
                if inner[2] - inner[0] > 2 and inner[3] - inner[1] > 2:
                    pen.ellipse([int(value) for value in inner], fill=core)
            x += period
        y += period


def _checks(pen: ImageDraw.ImageDraw, side: int, period: float, phase: float, ink: RGB, half: RGB) -> None:
    starts = [int((phase - 1 + step) * period) for step in range(int(side / period) + 3)]
    width = max(1, int(0.5 * period))
    for start in starts:
        pen.rectangle((start, 0, start + width, side), fill=half)
    for start in starts:
        pen.rectangle((0, start, side, start + width), fill=half)
    for x in starts:
        for y in starts:
            pen.rectangle((x, y, x + width, y + width), fill=ink)
