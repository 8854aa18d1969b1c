"""Soles and heels."""

from __future__ import annotations

import numpy as np

from dialog_env.catalog.synthetic.canvas import Canvas, Points, between, curve, join, line, moved, ribbon
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.last import THIN_SOLE, Last
from dialog_env.catalog.synthetic.palette import (
    CORK,
    GUM,
    LEATHER_SOLE,
    RGB,
    RUBBER_SOLE,
    WOOD,
    blend,
    darker,
    luminance,
)
from dialog_env.catalog.synthetic.shoe import Shoe


def draw_sole(canvas: Canvas, shoe: Shoe, last: Last, colour: RGB, accent: RGB | None) -> None:
    """Draws the heel and the sole of a shoe, below the line on which the foot stands."""
    form = KINDS[shoe.kind].form
    if form == "sneaker":
        _running_sole(canvas, shoe, last, colour, accent)
    elif shoe.heel == "wedge":
        _wedge(canvas, shoe, last, colour, accent)
    elif shoe.heel == "flat" and (form != "low" or last.seat < 0.04):
        _flat_sole(canvas, shoe, last, colour, accent)
    else:
        _heeled_sole(canvas, shoe, last, colour, accent)


def _sole_colour(shoe: Shoe, colour: RGB, accent: RGB | None) -> RGB:
    """Natural colours of soles by class; an accent takes their place on heels and thick soles."""
    if shoe.kind == "clogs" and shoe.material != "rubber":
        return WOOD
    if shoe.kind == "clogs":
        return accent or darker(colour, 0.25)
    if shoe.kind == "rain boots":
        return accent or RUBBER_SOLE
    if shoe.kind == "wedding shoes":
        return darker(colour, 0.08)
    return LEATHER_SOLE if luminance(colour) > 0.2 else darker(LEATHER_SOLE, 0.35)


def _front_underside(last: Last, start: float) -> Points:
    """The underside of the front, from x = start to the toe and up to the foot's line."""
    lift = 0.35 * last.spring
    return curve(
        (start, 0.0),
        ((start + 0.12, 0.0), (0.84, 0.0), (0.90, lift)),
        (
            (0.94, lift + 0.01),
            (last.toe + 0.008, last.ball + last.spring - 0.02),
            (last.toe + 0.004, last.ball + last.spring),
        ),
    )


def _tread(canvas: Canvas, shoe: Shoe, first: float, last_x: float, colour: RGB) -> None:
    """Notches under the sole, deeper on sporty shoes."""
    if shoe.sport < 0.1:
        return
    count, height = 14, 0.006 + 0.022 * shoe.sport
    step = (last_x - first) / count
    for notch in range(count):
        x = first + notch * step
        canvas.fill(
            line((x, -0.004), (x + 0.45 * step, -0.004), (x + 0.3 * step, height), (x + 0.15 * step, height)), colour
        )


def _flat_sole(canvas: Canvas, shoe: Shoe, last: Last, colour: RGB, accent: RGB | None) -> None:
    shade = _sole_colour(shoe, colour, accent)
    arch = 0.35 * (last.seat - last.ball) + (0.012 if last.ball > 0.03 else 0.0)
    underside = curve((0.008, 0.0), ((0.1, 0.0), (0.2, 0.0), (0.24, 0.0)), ((0.27, arch), (0.45, arch), (0.52, 0.0)))
    outline = join(
        last.foot,
        join(underside, _front_underside(last, 0.55))[::-1],
        line((-0.012, 0.3 * last.seat), (-0.008, last.seat)),
    )
    canvas.body(outline, shade, 0.1)
    _tread(canvas, shoe, 0.03, 0.23, (255, 255, 255))
    _tread(canvas, shoe, 0.56, 0.88, (255, 255, 255))
    if shoe.kind == "rain boots" or shoe.kind == "clogs":
        canvas.stroke(moved(last.foot, 0, -(0.42 * last.ball)), 0.007, darker(shade, 0.35))


def _heeled_sole(canvas: Canvas, shoe: Shoe, last: Last, colour: RGB, accent: RGB | None) -> None:
    shade = _sole_colour(shoe, colour, accent)
    covered = shoe.heel in ("thin", "cone") or shoe.material in ("satin", "patent leather")
    if shoe.kind == "clogs":
        heel_colour = WOOD if shoe.material != "rubber" else shade
    elif accent is not None and shoe.pattern == "plain" and shoe.phase > 0.45:
        heel_colour = accent
    else:
        heel_colour = colour if covered else shade
    _draw_heel(canvas, shoe, last, heel_colour)
    thin = min(last.ball, THIN_SOLE)
    back = moved(last.foot[last.foot[:, 0] <= 0.52], 0.0, -thin)
    start = (float(back[-1, 0]), float(back[-1, 1]))
    ease = curve(start, ((0.58, start[1] - 0.5 * (start[1] - last.ball + thin)), (0.60, 0.0), (0.68, 0.0)))
    underside = join(back, ease, _front_underside(last, 0.70))
    platform = last.ball > 0.05
    front_colour = (heel_colour if covered else shade) if platform else shade
    canvas.body(join(last.foot, underside[::-1]), front_colour, 0.3 * shoe.shine)
    if platform:
        canvas.stroke(
            np.stack([np.linspace(0.64, 0.9, 8), np.linspace(0.004, 0.012, 8)], axis=1), 0.012, darker(shade, 0.2)
        )
    if shoe.sport > 0.1:
        _tread(canvas, shoe, 0.62, 0.88, (255, 255, 255))


def _draw_heel(canvas: Canvas, shoe: Shoe, last: Last, colour: RGB) -> None:
    top = last.seat - 0.012
    breast = last.above(0.15 if shoe.heel == "thin" else 0.195, -0.012)
    first, last_x, waist = {
        "flat": (0.006, 0.19, 0.0),
        "block": (0.015, 0.165, 0.1),
        "cone": (0.050, 0.105, 0.7),
        "thin": (0.056, 0.074, 1.0),
    }[shoe.heel]
    neck = last_x + 0.008 + (1 - waist) * 0.6 * (breast[0] - last_x)
    outline = join(
        curve((-0.004, top), ((-0.008 + 0.02 * waist, 0.70 * top), (first - 0.018 * waist, 0.40 * top), (first, 0.0))),
        curve((last_x, 0.0), ((last_x + 0.004, 0.5 * top), (neck, 0.93 * breast[1]), breast)),
    )
    mask = canvas.body(outline, colour, 0.6 * shoe.shine)
    if shoe.heel == "block" and shoe.material in ("leather", "suede") and colour == LEATHER_SOLE:
        for share in (0.2, 0.35, 0.5, 0.65, 0.8):
            layer = ribbon(line((-0.01, share * top), (0.2, share * top)), 0.006)
            canvas.paste(darker(colour, 0.4), canvas.stencil(layer).within(mask))
    canvas.fill(line((first, 0.0), (last_x, 0.0), (last_x, 0.012), (first, 0.012)), (40, 36, 36))
    canvas.gleam(
        line((0.5 * (first + last_x), 0.1 * top), (0.05, 0.5 * top), (0.05, 0.92 * top)), 0.026, 0.7 * shoe.shine, mask
    )


def _wedge(canvas: Canvas, shoe: Shoe, last: Last, colour: RGB, accent: RGB | None) -> None:
    if shoe.kind == "clogs":
        shade = _sole_colour(shoe, colour, accent)
    elif shoe.kind in ("wedding shoes", "boots", "rain boots", "pumps"):
        shade = accent if accent is not None and shoe.pattern == "plain" else darker(colour, 0.12)
    else:
        shade = CORK if accent is None or shoe.pattern != "plain" else accent
    heel = curve((-0.004, last.seat), ((-0.014, 0.7 * last.seat), (0.02, 0.3 * last.seat), (0.022, 0.0)))
    underside = join(line((0.022, 0.0), (0.30, 0.0), (0.50, 0.0)), _front_underside(last, 0.58))
    outline = join(last.foot, underside[::-1], heel[::-1])
    mask = canvas.body(outline, shade, 0.15)
    if shade in (CORK, accent):
        for share in (0.16, 0.32, 0.48, 0.64, 0.80):
            rope = moved(last.foot[last.foot[:, 0] < last.toe - 0.02] * (1.0, share), 0.012 * (1 - share), 0.0)
            canvas.paste(darker(shade, 0.28), canvas.stencil(ribbon(rope, 0.006)).within(mask))
    canvas.fill(line((0.02, -0.002), (0.88, 0.0), (0.88, 0.010), (0.02, 0.012)), darker(shade, 0.6))


def _running_sole(canvas: Canvas, shoe: Shoe, last: Last, colour: RGB, accent: RGB | None) -> None:
    """A thick light midsole with a dark or coloured tread, higher at the heel on running shoes."""
    athletic = shoe.kind == "athletic shoes"
    shade = CORK if shoe.heel == "wedge" else GUM
    trim = accent if accent is not None else (blend(colour, (90, 90, 94), 0.3) if athletic else darker(shade, 0.35))
    raised = moved(last.foot, 0.0, 0.022)
    heel = curve((-0.01, last.seat + 0.022), ((-0.055, last.seat), (-0.05, 0.03), (-0.01, 0.0)))
    underside = join(
        line((-0.01, 0.0), (0.2, 0.0)),
        curve((0.2, 0.0), ((0.32, 0.018 * shoe.sport), (0.46, 0.018 * shoe.sport), (0.55, 0.0))),
        _front_underside(last, 0.58),
    )
    outline = join(raised, line((last.toe + 0.012, last.ball + last.spring + 0.012)), underside[::-1], heel[::-1])
    mask = canvas.body(outline, shade, 0.1, edge=0.35)
    if athletic:
        tread = join(underside, (moved(underside, 0.0, 0.026))[::-1])
        canvas.paste(trim, canvas.stencil(tread).within(mask))
        wave = curve(
            (-0.03, 0.62 * last.seat), ((0.15, 0.75 * last.seat), (0.35, 0.25 * last.seat), (0.62, 0.5 * last.ball))
        )
        canvas.stroke(wave, 0.012, trim)
        _tread(canvas, shoe, 0.0, 0.9, (255, 255, 255))
    else:
        canvas.stroke(moved(between(raised, 0.02, 0.98), 0.0, -0.4 * last.ball), 0.012, trim)
        _tread(canvas, shoe, 0.0, 0.9, darker(shade, 0.5))
