"""Student's t distribution, two-sided: what the intervals need of it, where scipy would be a large dependency."""

from __future__ import annotations

import math
from statistics import NormalDist

ACCURACY = 1e-13


def two_sided_p(statistic: float, freedom: float) -> float:
    """How often a t of `freedom` degrees of freedom (1 or more) is further from zero than the statistic."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + statistic * statistic))


def quantile(level: float, freedom: float) -> float:
    """The number that a t of `freedom` degrees of freedom (1 or more) stays within, on both sides, with this chance.

    Newton's method from the normal quantile: that is below the answer and the chance is convex, so it never oversteps.
    """
    number = NormalDist().inv_cdf((1 + level) / 2)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    while True:
        density = scale * (1 + number * number / freedom) ** (-(freedom + 1) / 2)
        step = (two_sided_p(number, freedom) - (1 - level)) / (2 * density)
        number += step
        if not step > 1e-10 * number:
            return number


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by the continued fraction DLMF 8.17.22."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    power = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    fraction = denominator = 1 / (1 - (a + b) * x / (a + 1))
    numerator, step, change = 1.0, 1, 0.0
    while abs(change - 1) > ACCURACY:
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        for term in (even, odd):
            numerator, denominator = 1 + term / numerator, 1 / (1 + term * denominator)
            change = numerator * denominator
            fraction *= change
        step += 1
    return math.exp(power) * fraction / a
