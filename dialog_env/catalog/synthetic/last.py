"""The shape inside a shoe: where the foot stands, and how high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dialog_env.catalog.synthetic.canvas import Pair, Points, curve
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.shoe import Shoe

HEEL_REACH = 0.42
THIN_SOLE = 0.02


@dataclass(frozen=True)
class Last:
    """Measures of one shoe in shoe lengths.

    Args:
        seat: height of the foot above the ground at the heel.
        ball: height of the foot above the ground at the ball; the sole's thickness there.
        spring: how far the toe rises.
        toe: x of the toe tip.
        foot: (P, 2) the line on which the foot stands, from heel to toe.
    """

    seat: float
    ball: float
    spring: float
    toe: float
    foot: Points

    def under(self, x: float) -> float:
        """Height of the foot's line at x."""
        return float(np.interp(x, self.foot[:, 0], self.foot[:, 1]))

    def above(self, x: float, lift: float) -> Pair:
        """The position `lift` above the foot's line at x."""
        return x, self.under(x) + lift


def last_of(shoe: Shoe) -> Last:
    """The last of a shoe."""
    form = KINDS[shoe.kind].form
    ball = {
        "low": 0.016 + 0.085 * shoe.sole,
        "boot": 0.026 + 0.085 * shoe.sole,
        "sneaker": 0.03 + 0.085 * shoe.sole,
        "clog": 0.02 + 0.11 * shoe.sole,
    }[form]
    drop = 0.015 + HEEL_REACH * shoe.heel_height
    seat, spring = ball + drop, 0.012 + 0.02 * (1 - shoe.pointy)
    toe = (0.965 if form != "sneaker" else 0.99) + 0.085 * shoe.pointy
    foot = curve(
        (0.0, seat),
        ((0.06, seat), (0.12, seat - 0.04 * drop), (0.18, seat - 0.14 * drop)),
        ((0.34, seat - 0.41 * drop), (0.47, ball), (0.70, ball)),
        ((0.80, ball), (0.90, ball + 0.3 * spring), (toe, ball + spring)),
    )
    return Last(seat, ball, spring, toe, foot)
