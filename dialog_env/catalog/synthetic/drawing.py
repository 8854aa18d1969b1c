"""From a shoe to its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.synthetic.canvas import Canvas, Stencil, View, at, between, curve, join, line, moved, ribbon
from dialog_env.catalog.synthetic.fastenings import draw_closure, draw_far_straps, draw_straps
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.last import Last, last_of
from dialog_env.catalog.synthetic.ornaments import draw_ornaments
from dialog_env.catalog.synthetic.palette import GUM, RGB, accent_colour, blend, darker, lighter, luminance, main_colour
from dialog_env.catalog.synthetic.sampling import sample
from dialog_env.catalog.synthetic.shoe import Shoe
from dialog_env.catalog.synthetic.soles import draw_sole
from dialog_env.catalog.synthetic.surfaces import surface
from dialog_env.catalog.synthetic.uppers import Upper, upper_of

VERSION = "1"
"""Changes whenever a picture or an attribute of any shoe changes."""

DEFAULT_SIZE = 96
LINING: RGB = (214, 190, 162)


def draw(seed: int, index: int, size: int = DEFAULT_SIZE) -> NDArray[np.uint8]:
    """(size, size, 3) RGB picture of shoe `index` of the catalogue `seed`, from the side, on white.

    Raises:
        ValueError: a negative seed or index, or a size below 16 pixels.
    """
    return render(sample(seed, index), size)


def render(shoe: Shoe, size: int = DEFAULT_SIZE) -> NDArray[np.uint8]:
    """(size, size, 3) RGB picture of a shoe.

    Raises:
        ValueError: a size below 16 pixels.
    """
    if size < 16:
        raise ValueError(f"a picture of {size} pixels shows no shoe; ask for 16 or more")
    last = last_of(shoe)
    upper = upper_of(shoe, last)
    canvas = Canvas(size, _view(shoe, upper.top))
    colour, accent = main_colour(shoe), accent_colour(shoe)
    canvas.ground_shadow(-0.02, last.toe)
    _draw_inside(canvas, shoe, last, upper, colour)
    draw_far_straps(canvas, shoe, last, upper, colour)
    draw_sole(canvas, shoe, last, colour, accent)
    mask = _draw_upper(canvas, shoe, last, upper, colour, accent)
    draw_closure(canvas, shoe, last, upper, colour, accent)
    draw_straps(canvas, shoe, last, upper, colour)
    draw_ornaments(canvas, shoe, last, upper, colour, accent, mask)
    return canvas.finished()


def _view(shoe: Shoe, top: float) -> View:
    """The camera: the shoe fills the picture, is centred, and moves a little from picture to picture."""
    tilt, stretch, distance = shoe.pose
    wide = 0.96 + 0.08 * stretch
    scale = min(0.80, 0.85 / (top + 0.05)) * (0.94 + 0.06 * distance)
    ground = max(0.07, 0.5 - 0.5 * scale * top - 0.02)
    return View(scale, 0.5 - 0.5 * scale * wide, ground, 0.05 * (tilt - 0.5), wide)


def _draw_inside(canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB) -> None:
    """The lining that is seen through the opening, the footbed of a backless shoe, the gap of an open toe."""
    lining = blend(LINING, colour, 0.25)
    if KINDS[shoe.kind].form in ("sneaker", "boot"):
        lining = darker(blend(colour, (120, 116, 114), 0.5), 0.35)
    canvas.body(upper.opening, darker(lining, 0.22), edge=0.5)
    bed = last.foot[last.foot[:, 0] < last.toe - 0.02]
    canvas.body(join(moved(bed, 0.0, 0.010), (moved(bed, 0.0, -0.014))[::-1]), lining)
    if upper.toe_gap is not None:
        canvas.body(upper.toe_gap, darker(lining, 0.38))


def _draw_upper(canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB, accent: RGB | None) -> Stencil:
    ink = accent if accent is not None else darker(colour, 0.4)
    layer = surface(shoe, canvas.side, canvas.unit, colour, ink)
    mask = canvas.body(upper.outline, colour, 0.55 * shoe.shine, layer)
    if KINDS[shoe.kind].form == "sneaker":
        _draw_panels(canvas, shoe, last, upper, colour, accent, mask)
    _draw_seams(canvas, shoe, last, upper, colour, accent, mask)
    _draw_shine(canvas, shoe, last, upper, mask)
    return mask


def _draw_panels(
    canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB, accent: RGB | None, mask: Stencil
) -> None:
    """Toe cap, heel panel and side stripes of sneakers and athletic shoes."""
    tone = darker(colour, 0.28) if luminance(colour) > 0.25 else lighter(colour, 0.22)
    trim = accent if accent is not None else tone
    canvas_shoe = shoe.kind == "sneakers" and shoe.material in ("canvas", "satin")
    cap_x = last.toe - 0.15
    cap = curve(
        (cap_x, last.ball - 0.02), ((cap_x + 0.045, last.ball + 0.06), (cap_x + 0.02, 0.25), (cap_x + 0.02, 0.45))
    )
    cap = join(cap, line((1.2, 0.45), (1.2, -0.05)))
    if canvas_shoe or shoe.kind == "athletic shoes":
        canvas.paste(GUM if canvas_shoe else tone, canvas.stencil(cap).within(mask))
    heel_x = 0.10 + 0.05 * shoe.sport
    heel = join(
        curve(
            (heel_x + 0.06, last.seat - 0.02),
            ((heel_x + 0.02, last.seat + 0.08), (heel_x, last.seat + 0.2), (heel_x - 0.07, last.seat + 0.45)),
        ),
        line((-0.2, last.seat + 0.45), (-0.2, last.seat - 0.02)),
    )
    if shoe.kind == "athletic shoes" or accent is not None:
        canvas.paste(trim, canvas.stencil(heel).within(mask))
    stripe = trim if luminance(trim) - luminance(colour) != 0 else tone
    for number in range(int(0.5 + 3.4 * max(0.0, shoe.sport - 0.12))):
        x = 0.33 + 0.075 * number
        band = curve(
            (x, last.under(x)),
            ((x + 0.03, last.under(x) + 0.08), (x + 0.07, last.under(x) + 0.14), (x + 0.07, last.under(x) + 0.24)),
        )
        canvas.paste(stripe, canvas.stencil(ribbon(band, 0.018 + 0.018 * shoe.sport)).within(mask))


def _draw_seams(
    canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, colour: RGB, accent: RGB | None, mask: Stencil
) -> None:
    """Piping in the accent colour, scallops, the sporty stripe above the sole, the cap seam."""
    thread = darker(colour, 0.5) if luminance(colour) > 0.22 else lighter(colour, 0.35)
    edge = upper.edge
    piping = (
        accent if accent is not None else (darker(colour, 0.35) if luminance(colour) > 0.2 else lighter(colour, 0.15))
    )
    canvas.stroke(moved(edge, 0.0, -0.006), 0.030 if accent is not None else 0.012, piping)
    if shoe.grace > 0.4:
        count, reach = 15, 0.005 + 0.014 * shoe.grace
        for step in range(count):
            x, y = at(edge, (step + 0.5) / count)
            canvas.dot((x, y - 0.012), reach * 1.25, darker(piping, 0.4))
            canvas.dot((x, y - 0.009), reach, piping)
    if KINDS[shoe.kind].form != "sneaker" and shoe.sport > 0.1:
        stripe = accent if accent is not None else lighter(colour, 0.75) if luminance(colour) < 0.6 else (70, 72, 78)
        rand = moved(last.foot, 0.0, 0.022)
        canvas.paste(stripe, canvas.stencil(ribbon(rand, 0.008 + 0.05 * shoe.sport)).within(mask))
    if shoe.dress > 0.3 and not shoe.toe_opening:
        _draw_cap(canvas, shoe, upper, thread, mask)
    if shoe.kind == "boots" and shoe.closure in ("none", "buckle"):
        canvas.stroke(moved(upper.back * (0.55, 1.0), 0.102, 0.0), 0.006, thread)


def _draw_cap(canvas: Canvas, shoe: Shoe, upper: Upper, thread: RGB, mask: Stencil) -> None:
    x, y = at(upper.front, 0.8 if KINDS[shoe.kind].form == "boot" else 0.5)
    base = (x - 0.02, y - 0.16)
    seam = curve((x, y), ((x + 0.045, y - 0.04), (x + 0.03, y - 0.10), base))
    canvas.paste(thread, canvas.stencil(ribbon(seam, 0.008 + 0.020 * shoe.dress)).within(mask))
    if shoe.dress < 0.55:
        return
    for x, y in between(moved(seam, 0.03, 0.0), 0.05, 0.95, 9).tolist():
        if mask.holds(*canvas.pixels(line((x, y)))[0].tolist()):
            canvas.dot((x, y), 0.0105, thread)


def _draw_shine(canvas: Canvas, shoe: Shoe, last: Last, upper: Upper, mask: Stencil) -> None:
    """Light on the toe, the heel and the shaft, as strong as the shoe is shiny."""
    boot = KINDS[shoe.kind].form == "boot"
    start = 0.62 if boot else 0.25
    canvas.gleam(moved(between(upper.front, start, 0.9), -0.025, -0.045), 0.055, shoe.shine, mask)
    if boot:
        canvas.gleam(line((0.27, last.seat + 0.30), (0.29, upper.top - 0.10)), 0.06, shoe.shine, mask)
    if not shoe.backless:
        low = last.seat + 0.04
        canvas.gleam(
            curve((0.075, low), ((0.055, low + 0.04), (0.055, low + 0.08), (0.065, low + 0.12))), 0.04, shoe.shine, mask
        )
    if shoe.material == "satin":
        side = last.above(0.52, 0.02)
        canvas.gleam(
            curve(side, ((0.60, side[1] + 0.06), (0.72, side[1] + 0.05), (0.86, side[1] + 0.02))), 0.07, 0.48, mask
        )
