"""Bows, flowers, studs, rhinestones and fringes."""

from __future__ import annotations

import numpy as np

from dialog_env.catalog.synthetic.canvas import Canvas, Pair, Points, Stencil, at, curve, join, line, moved
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.last import Last
from dialog_env.catalog.synthetic.palette import CRYSTAL, RGB, STUD, darker, lighter, luminance
from dialog_env.catalog.synthetic.shoe import Shoe
from dialog_env.catalog.synthetic.uppers import Upper


def draw_ornaments(
    canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB, accent: RGB | None, mask: Stencil
) -> None:
    """Draws the ornaments; how large or how many they are follows the amount."""
    if shoe.ornament == "none":
        return
    tone = lighter(colour, 0.22) if luminance(colour) < 0.7 else darker(colour, 0.16)
    shade = accent if accent is not None else tone
    if shoe.ornament == "bow":
        _bow(canvas, _place(shoe, upper), 0.055 + 0.085 * shoe.ornaments, shade)
    elif shoe.ornament == "flower":
        _flower(canvas, _place(shoe, upper), 0.035 + 0.06 * shoe.ornaments, shade)
        if shoe.ornaments > 0.5:
            x, y = _place(shoe, upper)
            _flower(canvas, (x + 0.10, y - 0.035), 0.022 + 0.03 * shoe.ornaments, shade)
    elif shoe.ornament == "fringe":
        _fringe(canvas, shoe, upper, shade)
    else:
        _beads(canvas, shoe, upper, mask)


def _place(shoe: Shoe, upper: Upper) -> Pair:
    """Where a single large ornament sits: on the vamp, or on the shaft of a boot."""
    form = KINDS[shoe.kind].form
    if form == "boot":
        x, y = at(upper.edge, 0.6)
        return x, y - 0.10
    if form == "clog":
        x, y = at(upper.front, 0.4)
        return x - 0.02, y - 0.07
    if form == "sneaker":
        x, y = at(upper.edge, 0.5)
        return x + 0.06, y - 0.10
    x, y = at(upper.front, 0.22)
    return x, y - 0.01


def _bow(canvas: Canvas, centre: Pair, reach: float, colour: RGB) -> None:
    x, y = centre
    for side in (-1, 1):
        tail = line((x, y), (x + side * 0.75 * reach, y - 0.85 * reach), (x + side * 0.35 * reach, y - 0.95 * reach))
        canvas.body(tail, darker(colour, 0.15))
    for side in (-1, 1):
        loop = curve(
            (x, y),
            (
                (x + side * 0.5 * reach, y + 0.75 * reach),
                (x + side * 1.15 * reach, y + 0.85 * reach),
                (x + side * 1.1 * reach, y),
            ),
            ((x + side * 1.1 * reach, y - 0.55 * reach), (x + side * 0.5 * reach, y - 0.4 * reach), (x, y)),
        )
        canvas.body(loop, colour, 0.3)
        canvas.stroke(
            line((x + side * 0.2 * reach, y + 0.05 * reach), (x + side * 0.7 * reach, y + 0.12 * reach)),
            0.008,
            darker(colour, 0.4),
        )
    canvas.dot(centre, 0.30 * reach, darker(colour, 0.45))
    canvas.dot(centre, 0.23 * reach, colour)


def _flower(canvas: Canvas, centre: Pair, reach: float, colour: RGB) -> None:
    x, y = centre
    petals = ((0.0, 1.0), (0.95, 0.31), (0.59, -0.81), (-0.59, -0.81), (-0.95, 0.31))
    for dx, dy in petals:
        canvas.dot((x + 0.68 * dx * reach, y + 0.68 * dy * reach), 0.54 * reach, darker(colour, 0.45))
    for dx, dy in petals:
        canvas.dot((x + 0.66 * dx * reach, y + 0.66 * dy * reach), 0.46 * reach, colour)
        canvas.dot((x + 0.78 * dx * reach, y + 0.78 * dy * reach), 0.2 * reach, lighter(colour, 0.35))
    canvas.dot(centre, 0.32 * reach, darker(colour, 0.4))
    canvas.dot(centre, 0.22 * reach, (248, 216, 110))


def _fringe(canvas: Canvas, shoe: Shoe, upper: Upper, colour: RGB) -> None:
    boot = KINDS[shoe.kind].form == "boot"
    path = upper.edge if boot else join(upper.edge[-7:], upper.front[1:4])
    length = (0.07 + 0.22 * shoe.ornaments) if boot else (0.04 + 0.075 * shoe.ornaments)
    count = 17 if boot else 11
    for step in range(count):
        x, y = at(path, (step + 0.3) / count)
        y -= 0.05 if boot else 0.004
        strand = line((x - 0.011, y), (x + 0.011, y), (x + 0.014, y - length), (x - 0.004, y - length - 0.012))
        canvas.fill(strand, colour if step % 2 else darker(colour, 0.3))
    canvas.stroke(moved(path, 0.0, -0.05 if boot else -0.004), 0.018, darker(colour, 0.4))


def _beads(canvas: Canvas, shoe: Shoe, upper: Upper, mask: Stencil) -> None:
    """Rows of studs or rhinestones along the edge and over the front, more rows for a larger amount."""
    stones = shoe.ornament == "rhinestones"
    rows = 1 + int(3.6 * shoe.ornaments)
    spacing = 0.042 if stones else 0.062
    boot = KINDS[shoe.kind].form == "boot"
    path = join(upper.edge, upper.front[12:] if boot else upper.front)
    for row in range(rows):
        for x, y in _spaced(moved(path, 0.0, -(0.028 + 0.046 * row)), spacing, 0.5 * (row % 2)):
            if not mask.holds(*canvas.pixels(line((x, y)))[0].tolist()):
                continue
            if stones:
                _stone(canvas, x, y, 0.0125)
            else:
                _stud(canvas, x, y, 0.021)


def _stone(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.dot((x, y), 1.3 * radius, (120, 150, 190))
    canvas.dot((x, y), radius, CRYSTAL)
    canvas.dot((x + 0.2 * radius, y + 0.25 * radius), 0.45 * radius, (255, 255, 255))


def _stud(canvas: Canvas, x: float, y: float, reach: float) -> None:
    tip, left, right, foot = (x, y + reach), (x - reach, y), (x + reach, y), (x, y - reach)
    canvas.fill(line(tip, left, foot, right), darker(STUD, 0.65))
    inner = 0.72
    corners = [(x + inner * (px - x), y + inner * (py - y)) for px, py in (tip, left, foot, right)]
    canvas.fill(line(*corners), STUD)
    canvas.fill(line(corners[0], corners[1], (x, y)), lighter(STUD, 0.6))


def _spaced(path: Points, spacing: float, start: float) -> list[Pair]:
    """Positions at equal distances along a path."""
    steps = path[1:] - path[:-1]
    length = np.concatenate([[0.0], np.cumsum(np.sqrt((steps * steps).sum(axis=1)))])
    places = np.arange(start * spacing, length[-1], spacing)
    x, y = (np.interp(places, length, path[:, axis]).tolist() for axis in (0, 1))
    return list(zip(x, y, strict=True))
