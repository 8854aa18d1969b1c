"""One drawn shoe as numbers: everything that the picture and the attributes are made from."""

from __future__ import annotations

from dataclasses import dataclass

CLASSES = (
    "athletic shoes",
    "boots",
    "clogs",
    "flats",
    "high heels",
    "pumps",
    "rain boots",
    "sneakers",
    "stiletto",
    "wedding shoes",
)
COLOURS = (
    "black",
    "white",
    "grey",
    "brown",
    "tan",
    "red",
    "pink",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "silver",
    "gold",
)
MATERIALS = ("leather", "suede", "patent leather", "canvas", "rubber", "satin")
PATTERNS = ("plain", "striped", "dotted", "floral", "animal print", "checked")
STRAPS = ("none", "ankle strap", "t-strap", "slingback", "criss-cross straps", "mary jane strap")
CLOSURES = ("none", "laces", "buckle", "zipper", "velcro")
HEELS = ("flat", "block", "thin", "cone", "wedge")
ORNAMENTS = ("none", "bow", "flower", "studs", "rhinestones", "fringe")

CATEGORIES: dict[str, tuple[str, ...]] = {
    "class": CLASSES,
    "colour": COLOURS,
    "accent": ("none", *COLOURS),
    "material": MATERIALS,
    "pattern": PATTERNS,
    "straps": STRAPS,
    "closure": CLOSURES,
    "heel": HEELS,
    "ornament": ORNAMENTS,
}
"""The categorical attributes and their values, in the order of the attribute table."""


@dataclass(frozen=True)
class Shoe:
    """A drawn shoe. Every number is in [0, 1] unless said otherwise; lengths grow with it.

    Args:
        kind: one of `CLASSES`.
        colour: main colour, one of `COLOURS`.
        accent: colour of trim, panels, laces and print, or "none".
        material, pattern, straps, closure, heel, ornament: values of their category in `CATEGORIES`.
        pointy: how pointed the toe is.
        toe_opening: how much of the front is cut away; 0 is a closed toe.
        cut: how low the side is cut.
        backless: whether nothing but a strap holds the heel.
        ornaments: how much of the shoe ornaments cover; 0 exactly where `ornament` is "none".
        shine: how strongly the surface mirrors light.
        heel_height: height of the heel.
        shaft: how far the shoe reaches up the leg.
        sole: thickness of the sole under the ball of the foot.
        sport: side stripes, tread and heel tab of running shoes.
        dress: cap seam and perforations of dress shoes.
        grace: scallops along the edge and a slender line.
        shade: darker (0) or lighter (1) than the plain colour.
        tint: two shifts of the hue.
        bulk: how voluminous the shoe is.
        grain: scale of the pattern; `phase` is its position.
        pose: three small changes of the camera: tilt, stretch, distance.
    """

    kind: str
    colour: str
    accent: str
    material: str
    pattern: str
    straps: str
    closure: str
    heel: str
    ornament: str
    pointy: float
    toe_opening: float
    cut: float
    backless: bool
    ornaments: float
    shine: float
    heel_height: float
    shaft: float
    sole: float
    sport: float
    dress: float
    grace: float
    shade: float
    tint: tuple[float, float]
    bulk: float
    grain: float
    phase: float
    pose: tuple[float, float, float]
