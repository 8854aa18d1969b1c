"""The outlines of the four forms of upper: low shoes, clogs, sneakers and boots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dialog_env.catalog.synthetic.canvas import Pair, Points, curve, join, line, moved
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.last import Last
from dialog_env.catalog.synthetic.shoe import Shoe


@dataclass(frozen=True)
class Upper:
    """The lines of an upper that everything else is placed on.

    Args:
        outline: (P, 2) the whole shape.
        edge: its upper border, from the back to the front.
        front: the line of the vamp, from the edge to the toe.
        back: the line of the heel, upwards; empty path of two equal points for an open back.
        lacing: where laces, tabs and tongue are, from below upwards.
        opening: (P, 2) the inside that is seen above the edge.
        toe_gap: (P, 2) the inside that is seen at an open toe, None for a closed one.
        ankle: centre of the ankle.
        top: the highest point.
    """

    outline: Points
    edge: Points
    front: Points
    back: Points
    lacing: Points
    opening: Points
    toe_gap: Points | None
    ankle: Pair
    top: float


def upper_of(shoe: Shoe, last: Last) -> Upper:
    """The upper of a shoe on its last."""
    return {"low": _low, "clog": _clog, "sneaker": _sneaker, "boot": _boot}[KINDS[shoe.kind].form](shoe, last)


def _front(shoe: Shoe, last: Last, throat: Pair, volume: float) -> tuple[Points, Points, Points | None]:
    """The vamp from the throat to the toe, the way back under it to the ball, and the gap of an open toe."""
    tip = (last.toe, last.ball + last.spring)
    round_toe = 1 - shoe.pointy
    knee = (throat[0] + 0.45 * (tip[0] - throat[0]), throat[1] - 0.012 - 0.02 * shoe.pointy)
    nose = (tip[0] + 0.028 - 0.15 * shoe.pointy, tip[1] + 0.025 + volume * round_toe + 0.045 * shoe.pointy)
    vamp = curve(throat, (knee, nose, (tip[0], tip[1] + 0.008)))
    if not shoe.toe_opening:
        return vamp, line((tip[0] - 0.01, tip[1] - 0.012), last.above(0.88, -0.012)), None
    cut = 11 - round(4 * shoe.toe_opening)
    end = (float(vamp[cut, 0]), float(vamp[cut, 1]))
    foot_x = end[0] - 0.01 - 0.02 * shoe.toe_opening
    rim = curve(end, ((end[0] - 0.035, end[1] - 0.03), (foot_x - 0.03, end[1] - 0.07), last.above(foot_x, -0.01)))
    far = curve(
        end, ((end[0] + 0.02, end[1] - 0.01), (foot_x + 0.05, last.under(foot_x) + 0.06), last.above(foot_x + 0.05, 0))
    )
    return vamp[: cut + 1], rim, join(far, rim[::-1])


def _far_edge(edge: Points, lift: float) -> Points:
    """The edge of the far side, seen above the near one, from the front to the back."""
    share = np.linspace(0.0, 1.0, len(edge))
    bulge = lift * 4 * share * (1 - share)
    return (edge + np.stack([np.zeros_like(bulge), bulge], axis=1))[::-1]


def _low(shoe: Shoe, last: Last) -> Upper:
    sandal = shoe.toe_opening
    depth = 0.115 * (1 - shoe.cut) + 0.006
    throat_x = 0.665 + 0.06 * shoe.cut - 0.05 * sandal + 0.05 * shoe.pointy
    throat = (throat_x, last.under(throat_x) + 0.155 + 0.03 * shoe.bulk - 0.02 * shoe.pointy)
    if shoe.closure == "laces":
        throat = (0.48, last.under(0.48) + 0.235 + 0.02 * shoe.bulk)
    collar = (0.03, last.seat + 0.20 + 0.04 * shoe.bulk)
    side = last.above(0.40, depth)
    front, below, gap = _front(shoe, last, throat, 0.105 + 0.03 * shoe.bulk)
    if shoe.backless:
        start = last.above(0.34, -0.01)
        edge = curve(start, ((0.35, start[1] + 0.10), (throat[0] - 0.15, throat[1] - 0.03), throat))
        back = line(start, start)
        far = curve(throat, ((throat[0] - 0.10, throat[1] + 0.03), (0.40, start[1] + 0.11), (0.30, start[1] + 0.01)))
        return _closed(shoe, last, edge, front, below, gap, back, join(edge, far))
    back = curve(
        (0.012, last.seat - 0.01),
        ((-0.022, last.seat + 0.05), (-0.015, last.seat + 0.12), collar),
    )
    edge = curve(
        collar,
        ((0.075, collar[1] - 0.05 - 0.09 * shoe.cut), (side[0] - 0.16, side[1] + 0.04 - 0.02 * shoe.cut), side),
        ((side[0] + 0.08, side[1] - 0.02), (throat[0] - 0.07, throat[1] - 0.045), throat),
    )
    far = _far_edge(edge, 0.035 + 0.02 * shoe.cut)
    return _closed(shoe, last, edge, front, below, gap, back, join(edge, far))


def _clog(shoe: Shoe, last: Last) -> Upper:
    peak = (0.47, last.under(0.47) + 0.26 + 0.05 * shoe.bulk)
    start = last.above(0.27, -0.012)
    edge = curve(start, ((0.30, start[1] + 0.14), (0.38, peak[1] - 0.02), peak))
    front, below, gap = _front(shoe, last, peak, 0.20 + 0.04 * shoe.bulk)
    far = curve(peak, ((0.40, peak[1] + 0.035), (0.24, start[1] + 0.16), (0.22, start[1] + 0.01)))
    return _closed(shoe, last, edge, front, below, gap, line(start, start), join(edge, far))


def _sneaker(shoe: Shoe, last: Last) -> Upper:
    rise = 0.5 * shoe.shaft
    collar = (0.03 - 0.04 * rise, last.seat + 0.25 + 0.03 * shoe.bulk + rise)
    dip = (0.19, last.seat + 0.195 + 0.02 * shoe.bulk + rise)
    tongue = (0.395 - 0.12 * rise, last.under(0.39) + 0.345 + 0.02 * shoe.bulk + rise)
    back = curve((0.005, last.seat - 0.012), ((-0.05, last.seat + 0.08), (-0.01, last.seat + 0.14), collar))
    edge = curve(
        collar,
        ((0.06, collar[1] - 0.01), (0.11, dip[1]), dip),
        ((0.25, dip[1]), (tongue[0] - 0.07, tongue[1] - 0.06), tongue),
    )
    throat = (0.685, last.under(0.685) + 0.165 + 0.025 * shoe.bulk)
    lacing = curve(throat, ((0.60, throat[1] + 0.05), (0.48, tongue[1] - 0.14), (tongue[0] + 0.03, tongue[1] - 0.012)))
    front, below, gap = _front(shoe, last, throat, 0.135 + 0.02 * shoe.bulk)
    far = curve(tongue, ((tongue[0] - 0.09, tongue[1] + 0.01), (0.12, collar[1] + 0.03), collar))
    whole = join(lacing[::-1], front)
    return _closed(shoe, last, edge, whole, below, gap, back, join(edge, far), lacing)


def _boot(shoe: Shoe, last: Last) -> Upper:
    rubber = shoe.kind == "rain boots"
    top = last.seat + 0.24 + 0.82 * shoe.shaft
    wide = (0.02 if rubber else 0.0) + 0.03 * shoe.bulk
    calf = 0.035 * max(0.0, shoe.shaft - 0.4)
    ankle = last.seat + 0.20
    rear, fore = -0.01 - calf - wide / 2, 0.385 + calf + wide
    back = curve(
        (0.012, last.seat - 0.012),
        ((-0.03, last.seat + 0.07), (0.045 - wide, ankle - 0.03), (0.03 - wide / 2, ankle + 0.03)),
        ((0.01, ankle + 0.12), (rear, top - 0.4 * (top - ankle)), (rear, top)),
    )
    edge = curve((rear, top), ((rear + 0.12, top - 0.025), (fore - 0.14, top - 0.015), (fore, top + 0.02)))
    throat = (0.70, last.under(0.70) + 0.15 + 0.03 * shoe.bulk + (0.02 if rubber else 0.0))
    instep = (0.375 + wide, last.under(0.375) + 0.285)
    shin = curve(
        (fore, top + 0.02),
        ((fore, top - 0.35 * (top - instep[1])), (instep[0] - 0.02, instep[1] + 0.10), instep),
        ((instep[0] + 0.025, instep[1] - 0.11), (0.60, throat[1] + 0.035), throat),
    )
    front, below, gap = _front(shoe, last, throat, 0.115 + 0.03 * shoe.bulk + (0.03 if rubber else 0.0))
    far = curve((fore, top + 0.02), ((fore - 0.10, top + 0.06), (rear + 0.12, top + 0.05), (rear, top)))
    return _closed(shoe, last, edge, join(shin, front), below, gap, back, join(edge, far), shin[::-1])


def _closed(
    shoe: Shoe,
    last: Last,
    edge: Points,
    front: Points,
    below: Points,
    gap: Points | None,
    back: Points,
    opening: Points,
    lacing: Points | None = None,
) -> Upper:
    """The upper with its outline closed along the foot's line."""
    reach = float(below[-1][0])
    bottom = moved(last.foot[(last.foot[:, 0] < reach) & (last.foot[:, 0] > back[0, 0])][::-1], 0.0, -0.012)
    ankle = (0.155, last.seat + 0.27)
    top = max(float(edge[:, 1].max()), float(opening[:, 1].max()))
    if shoe.straps in ("ankle strap", "t-strap"):
        top = max(top, ankle[1] + 0.06)
    outline = join(back, edge, front, below, bottom)
    if lacing is None:
        lacing = front[: max(2, len(front) // 2)][::-1]
    return Upper(outline, edge, front, back, lacing, opening, gap, ankle, top)
