"""Straps, laces, buckles, zippers and velcro."""

from __future__ import annotations

import numpy as np

from dialog_env.catalog.synthetic.canvas import Canvas, Pair, Points, at, between, curve, line, moved, ribbon
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.last import Last
from dialog_env.catalog.synthetic.palette import METAL, RGB, blend, darker, lighter, luminance
from dialog_env.catalog.synthetic.shoe import Shoe
from dialog_env.catalog.synthetic.uppers import Upper

STRAP_WIDTH = 0.036


def draw_far_straps(canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB) -> None:
    """The halves of straps that are seen behind the shoe."""
    shadow = darker(colour, 0.45)
    form = KINDS[shoe.kind].form
    if form == "low" and shoe.straps in ("ankle strap", "t-strap"):
        (x, y), far = upper.ankle, 0.045
        ring = curve((x - 0.15, y + 0.01), ((x - 0.13, y + far), (x + 0.09, y + far), (x + 0.15, y - 0.02)))
        canvas.stroke(ring, 0.8 * STRAP_WIDTH, shadow)
    if shoe.straps == "slingback":
        lift = 0.045 if form == "clog" else 0.0
        canvas.stroke(_sling(last, 0.045, lift), 0.8 * STRAP_WIDTH, shadow)


def draw_straps(canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB) -> None:
    """Straps over the upper, with the buckle or velcro that closes them."""
    if shoe.straps == "none":
        return
    form = KINDS[shoe.kind].form
    paths = {"boot": _boot_straps, "clog": _clog_straps}.get(form, _low_straps)(shoe, last, upper)
    width = STRAP_WIDTH * (1.5 if form != "low" else 1.0)
    shade = blend(colour, (255, 255, 255), 0.10) if luminance(colour) < 0.55 else darker(colour, 0.08)
    if form == "boot":
        shade = darker(colour, 0.35) if luminance(colour) > 0.2 else lighter(colour, 0.22)
    for path in paths:
        _strap(canvas, path, width, shade, shoe.shine)
    if shoe.straps == "slingback":
        canvas.dot(at(paths[0], 1.0), 0.5 * width + 0.006, darker(shade, 0.6))
        canvas.dot(at(paths[0], 1.0), 0.5 * width, shade)
    if shoe.closure == "buckle":
        _buckle(canvas, at(paths[0], 0.42), 0.030 if form == "low" else 0.042)
    elif shoe.closure == "velcro":
        _tab(canvas, between(paths[0], 0.1, 0.55), 1.7 * width, shade)


def draw_closure(canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB, accent: RGB | None) -> None:
    """Laces, zipper and velcro that sit on the upper itself."""
    if shoe.closure == "laces":
        _laces(canvas, shoe, upper, colour, accent)
    elif shoe.closure == "zipper":
        _zipper(canvas, shoe, last, upper, colour)
    elif shoe.closure == "velcro" and KINDS[shoe.kind].form == "sneaker":
        shade = accent or (darker(colour, 0.4) if luminance(colour) > 0.4 else lighter(colour, 0.35))
        for share in (0.22, 0.58):
            x, y = at(upper.lacing, share)
            path = curve((x - 0.015, y + 0.006), ((x - 0.06, y - 0.01), (x - 0.11, y - 0.06), (x - 0.135, y - 0.115)))
            _tab(canvas, path, 0.085, shade)


def _low_straps(shoe: Shoe, last: Last, upper: Upper) -> list[Points]:
    x, y = upper.ankle
    throat = at(upper.edge, 1.0)
    ring = curve((x + 0.15, y - 0.02), ((x + 0.13, y - 0.065), (x - 0.11, y - 0.05), (x - 0.15, y + 0.01)))
    stay = curve(
        (0.035, last.seat + (0.0 if shoe.backless else 0.15)),
        ((-0.01, last.seat + 0.18), (-0.005, y - 0.06), (x - 0.145, y)),
    )
    if shoe.straps == "ankle strap":
        return [ring, stay]
    if shoe.straps == "t-strap":
        bar = curve(
            (throat[0] + 0.03, throat[1] - 0.03),
            ((throat[0] - 0.10, throat[1] + 0.05), (x + 0.24, y - 0.10), (x + 0.14, y - 0.025)),
        )
        return [ring, stay, bar]
    if shoe.straps == "slingback":
        return [_sling(last, 0.0, 0.0)]
    low, high = last.above(0.40, 0.05), last.above(0.30, 0.05)
    if shoe.straps == "mary jane strap":
        x, y = at(upper.edge, 0.80)
        start = last.above(0.42, 0.03)
        return [curve(start, ((0.42, start[1] + 0.09), (x - 0.09, y + 0.09), (x + 0.02, y + 0.045)))]
    first = curve(high, ((0.34, high[1] + 0.12), (0.46, throat[1] + 0.10), (throat[0] - 0.02, throat[1] + 0.005)))
    second = curve(
        (0.46, last.under(0.46) + 0.045), ((0.45, low[1] + 0.12), (0.40, high[1] + 0.19), (0.30, high[1] + 0.23))
    )
    third = curve(high, ((0.29, high[1] + 0.09), (0.285, high[1] + 0.16), (0.30, high[1] + 0.23)))
    return [first, second, third]


def _sling(last: Last, far: float, lift: float) -> Points:
    """The strap around the heel; `far` raises the middle of the half behind the shoe."""
    start = last.above(0.40, 0.065 + lift)
    middle = last.seat + 0.15 + lift
    return curve(start, ((0.30, start[1] + 0.035 + far), (0.10, middle - 0.03 + far), (-0.005, middle)))


def _clog_straps(shoe: Shoe, last: Last, upper: Upper) -> list[Points]:
    if shoe.straps == "slingback":
        start = last.above(0.40, 0.13)
        return [curve(start, ((0.30, start[1] + 0.03), (0.12, last.seat + 0.15), (-0.005, last.seat + 0.195)))]
    x, y = at(upper.front, 0.15)
    return [curve((x + 0.01, y), ((x - 0.03, y - 0.05), (0.46, last.under(0.46) + 0.10), (0.44, last.under(0.44))))]


def _boot_straps(shoe: Shoe, last: Last, upper: Upper) -> list[Points]:
    ankle = last.seat + 0.20
    belt = curve((0.395, last.under(0.375) + 0.235), ((0.30, ankle - 0.02), (0.16, ankle - 0.03), (0.022, ankle + 0.0)))
    if shoe.straps == "criss-cross straps":
        return [
            curve((0.36, ankle + 0.14), ((0.26, ankle + 0.10), (0.12, ankle), (0.015, ankle - 0.06))),
            curve((0.47, last.under(0.47) + 0.19), ((0.32, ankle - 0.06), (0.16, ankle + 0.04), (0.02, ankle + 0.10))),
        ]
    return [belt]


def _strap(canvas: Canvas, path: Points, width: float, colour: RGB, shine: float) -> None:
    canvas.stroke(path, width + 0.012, darker(colour, 0.6))
    canvas.stroke(path, width, colour)
    canvas.stroke(moved(path, 0.0, 0.22 * width), 0.22 * width, lighter(colour, 0.15 + 0.5 * shine))


def _buckle(canvas: Canvas, centre: Pair, reach: float) -> None:
    x, y = centre
    frame = line(
        (x - reach, y - reach),
        (x + reach, y - reach),
        (x + reach, y + reach),
        (x - reach, y + reach),
        (x - reach, y - reach),
    )
    for width, colour in ((0.026, darker(METAL, 0.7)), (0.016, METAL)):
        for start in range(4):
            canvas.stroke(frame[start : start + 2], width, colour)
    canvas.stroke(line((x - reach, y), (x + reach, y)), 0.010, lighter(METAL, 0.5))


def _tab(canvas: Canvas, path: Points, width: float, colour: RGB) -> None:
    canvas.fill(ribbon(path, width + 0.012), darker(colour, 0.6))
    canvas.fill(ribbon(path, width), colour)
    canvas.fill(ribbon(between(path, 0.62, 0.95), 0.72 * width), darker(colour, 0.25))


def _laces(canvas: Canvas, shoe: Shoe, upper: Upper, colour: RGB, accent: RGB | None) -> None:
    sneaker = KINDS[shoe.kind].form == "sneaker"
    boot = KINDS[shoe.kind].form == "boot"
    if sneaker:
        shade = accent if accent is not None and shoe.phase > 0.5 else (250, 250, 250)
        if luminance(shade) > 0.8 and luminance(colour) > 0.8:
            shade = (120, 122, 128)
    else:
        shade = accent or (darker(colour, 0.65) if luminance(colour) > 0.3 else lighter(colour, 0.6))
    path = between(upper.lacing, 0.06, 0.94 if not boot else 0.96, 24)
    panel = ribbon(moved(path, -0.022, -0.012), 0.085 if sneaker or boot else 0.06)
    canvas.fill(panel, darker(colour, 0.32) if luminance(colour) > 0.16 else lighter(colour, 0.14))
    count = 7 + int(6 * shoe.shaft) if boot else 6 if sneaker else 4
    long = 1.0 if sneaker or boot else 0.75
    for step in range(count):
        x, y = at(path, (step + 0.5) / count)
        bar = line((x + 0.012, y + 0.012), (x - 0.062 * long, y - 0.040 * long))
        canvas.stroke(bar, 0.030 * long, darker(shade, 0.6))
        canvas.stroke(bar, 0.020 * long, shade)
    x, y = at(path, 0.97)
    for dx, dy in ((-0.085, -0.01), (-0.055, -0.075)):
        loop = curve((x - 0.02, y), ((x + dx, y + 0.05), (x + 1.4 * dx, y + dy), (x - 0.02, y - 0.01)))
        canvas.stroke(loop, 0.024, darker(shade, 0.6))
        canvas.stroke(loop, 0.014, shade)


def _zipper(canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB) -> None:
    form = KINDS[shoe.kind].form
    if form == "boot":
        path = line((0.15, last.seat + 0.03), (0.17, last.seat + 0.2), (0.17, upper.top - 0.09))
    elif form == "sneaker":
        path = moved(between(upper.lacing, 0.05, 0.96, 10), -0.03, -0.015)
    else:
        path = line((0.075, last.seat + 0.0), (0.065, last.seat + 0.15 + 0.03 * shoe.bulk))
    canvas.stroke(path, 0.040, darker(colour, 0.6))
    teeth = between(path, 0.0, 1.0, 8 + int(30 * float(np.abs(path[-1] - path[0]).sum())))
    for tooth in teeth:
        canvas.dot((float(tooth[0]), float(tooth[1])), 0.009, METAL)
    x, y = at(path, 1.0)
    canvas.stroke(line((x, y), (x - 0.004, y - 0.055)), 0.022, lighter(METAL, 0.4))
