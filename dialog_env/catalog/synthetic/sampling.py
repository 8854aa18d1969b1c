"""Shoe `index` of a seed, drawn from the ranges of its class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dialog_env.catalog.synthetic.kinds import KINDS, Kind, Weights
from dialog_env.catalog.synthetic.shoe import CLASSES, COLOURS, Shoe

DRAWS = 48
SHINE = {
    "leather": (0.25, 0.6),
    "suede": (0.0, 0.12),
    "patent leather": (0.78, 1.0),
    "canvas": (0.05, 0.2),
    "rubber": (0.4, 0.85),
    "satin": (0.45, 0.75),
}
HEEL_HEIGHT = {
    "flat": (0.0, 0.2),
    "block": (0.15, 0.85),
    "thin": (0.3, 1.0),
    "cone": (0.2, 0.75),
    "wedge": (0.18, 0.9),
}


def sample(seed: int, index: int) -> Shoe:
    """Shoe `index` of the endless catalogue `seed`; it depends on nothing else.

    Args:
        seed: a catalogue, >= 0.
        index: a position in it, >= 0.

    Raises:
        ValueError: a negative seed or index.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"shoe {index} of seed {seed} does not exist; seeds and indices start at 0")
    draws = iter(np.random.default_rng([seed, index]).random(DRAWS).tolist())
    name = CLASSES[int(next(draws) * len(CLASSES))]
    return _sample_kind(name, KINDS[name], draws)


def _sample_kind(name: str, kind: Kind, draws: Iterator[float]) -> Shoe:
    def between(low: float, high: float) -> float:
        return low + (high - low) * next(draws)

    heel = _choose(kind.heels, next(draws))
    low, high = HEEL_HEIGHT[heel]
    floor, ceiling = kind.heel_height
    heel_height = between(max(low, floor), max(min(high, ceiling), max(low, floor)))
    pointy = between(*kind.pointy)
    material = _choose(kind.materials, next(draws))
    colour = _choose(kind.colours, next(draws))
    pattern = _choose(kind.patterns, next(draws))
    sole = between(*kind.sole)
    straps, closure = _fastening(kind, next(draws), next(draws))
    hidden = () if pattern == "plain" else ("studs", "rhinestones")  # beads on a print hide it
    ornament = _choose({name: weight for name, weight in kind.ornaments.items() if name not in hidden}, next(draws))
    amount = between(0.15, 1.0)
    shine = between(*SHINE[material])
    open_toe, opening = next(draws) < kind.toe_open, between(0.25, 1.0)
    cut, backless, shaft = between(*kind.cut), next(draws) < kind.backless, between(*kind.shaft)
    accented = next(draws) < kind.accented
    return Shoe(
        kind=name,
        colour=colour,
        accent=_accent(colour, next(draws)) if accented or pattern != "plain" else "none",
        material=material,
        pattern=pattern,
        straps=straps,
        closure=closure,
        heel=heel,
        ornament=ornament,
        pointy=pointy,
        toe_opening=opening if open_toe and closure != "laces" else 0.0,
        cut=cut,
        backless=(backless or straps == "slingback") and closure not in ("laces", "zipper"),
        ornaments=0.0 if ornament == "none" else amount,
        shine=min(1.0, shine + 0.2) if colour in ("silver", "gold") else shine,
        heel_height=heel_height,
        shaft=shaft,
        sole=sole,
        sport=between(*kind.sport),
        dress=between(*kind.dress),
        grace=between(*kind.grace),
        shade=next(draws),
        tint=(next(draws), next(draws)),
        bulk=next(draws),
        grain=next(draws),
        phase=next(draws),
        pose=(next(draws), next(draws), next(draws)),
    )


def _choose(weights: Weights, draw: float) -> str:
    """The choice at `draw` in [0, 1) of the summed weights."""
    left = draw * sum(weights.values())
    for choice, weight in weights.items():
        left -= weight
        if left < 0:
            return choice
    return choice


def _fastening(kind: Kind, strap_draw: float, closure_draw: float) -> tuple[str, str]:
    """Straps and closure that can be on one shoe: a buckle needs a strap, laces and zippers leave no room."""
    closure = _choose(kind.closures, closure_draw)
    if closure == "buckle":
        strapped = {
            strap: weight for strap, weight in kind.straps.items() if strap not in ("none", "criss-cross straps")
        }
        return _choose(strapped, strap_draw), closure
    if closure == "laces":
        return "none", closure
    if closure == "velcro":
        return ("mary jane strap" if "mary jane strap" in kind.straps else "none"), closure
    if closure == "zipper":
        return "none", closure
    return _choose(kind.straps, strap_draw), closure


def _accent(colour: str, draw: float) -> str:
    """A second colour that stands out against the first."""
    near = {
        "brown": ("tan", "black"),
        "tan": ("brown", "gold", "orange"),
        "white": ("silver",),
        "silver": ("white", "grey"),
        "grey": ("silver",),
        "gold": ("tan", "yellow"),
        "yellow": ("gold",),
        "orange": ("tan",),
        "black": ("brown",),
    }
    others = {other: 1.0 for other in COLOURS if other != colour and other not in near.get(colour, ())}
    others.update({other: 3.0 for other in ("white", "black") if other in others})
    return _choose(others, draw)
