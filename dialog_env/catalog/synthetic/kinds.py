"""What the shoes of each class have in common: ranges of the numbers, weights of the choices."""

from __future__ import annotations

from dataclasses import dataclass, field

Range = tuple[float, float]
Weights = dict[str, float]

NEUTRAL: Weights = {"black": 6, "brown": 3, "tan": 2, "grey": 2, "red": 1.5, "blue": 1.5, "white": 1}
LIVELY: Weights = {
    "black": 3,
    "white": 3,
    "grey": 2,
    "red": 2,
    "pink": 2,
    "orange": 1,
    "yellow": 1,
    "green": 1.5,
    "blue": 2.5,
    "purple": 1.5,
}
DRESSY: Weights = {
    "black": 5,
    "red": 3,
    "silver": 1.5,
    "gold": 1.5,
    "pink": 2,
    "tan": 1.5,
    "blue": 1.5,
    "purple": 1.5,
    "brown": 1,
    "white": 1,
    "green": 0.8,
    "yellow": 0.6,
    "orange": 0.6,
    "grey": 1,
}
PRINTED: Weights = {"plain": 8, "striped": 1, "dotted": 1, "floral": 1, "animal print": 1, "checked": 1}
MOSTLY_PLAIN: Weights = {"plain": 8, "animal print": 1.2, "dotted": 0.5, "floral": 0.4, "striped": 0.3}


@dataclass(frozen=True)
class Kind:
    """How the shoes of one class are drawn; `form` is the cut of the upper: low, sneaker, boot or clog."""

    form: str
    heels: Weights
    heel_height: Range
    pointy: Range
    materials: Weights
    colours: Weights
    sole: Range
    patterns: Weights = field(default_factory=lambda: MOSTLY_PLAIN)
    straps: Weights = field(default_factory=lambda: {"none": 1})
    closures: Weights = field(default_factory=lambda: {"none": 1})
    ornaments: Weights = field(default_factory=lambda: {"none": 1})
    toe_open: float = 0.0
    cut: Range = (0.0, 0.0)
    backless: float = 0.0
    accented: float = 0.35
    shaft: Range = (0.0, 0.0)
    sport: Range = (0.0, 0.0)
    dress: Range = (0.0, 0.4)
    grace: Range = (0.0, 0.5)


HEELED_STRAPS: Weights = {
    "none": 4,
    "ankle strap": 2.5,
    "t-strap": 1.5,
    "slingback": 1.5,
    "criss-cross straps": 1.2,
    "mary jane strap": 1.2,
}

KINDS: dict[str, Kind] = {
    "athletic shoes": Kind(
        form="sneaker",
        heels={"flat": 1},
        heel_height=(0.04, 0.2),
        pointy=(0.05, 0.4),
        materials={"leather": 3, "canvas": 3, "suede": 1, "rubber": 0.7},
        colours=LIVELY,
        sole=(0.45, 1.0),
        patterns={"plain": 9, "animal print": 0.3, "striped": 0.5, "checked": 0.3},
        closures={"laces": 7, "velcro": 2, "none": 0.6, "zipper": 0.4},
        accented=0.9,
        shaft=(0.0, 0.12),
        sport=(0.55, 1.0),
        dress=(0.0, 0.1),
        grace=(0.0, 0.3),
    ),
    "boots": Kind(
        form="boot",
        heels={"flat": 3, "block": 4, "thin": 2, "cone": 1.2, "wedge": 1.4},
        heel_height=(0.0, 0.9),
        pointy=(0.1, 0.95),
        materials={"leather": 5, "suede": 4, "patent leather": 1.2, "canvas": 0.5},
        colours=NEUTRAL | {"purple": 0.5, "green": 0.6},
        sole=(0.05, 0.55),
        patterns={"plain": 9, "animal print": 0.8, "floral": 0.4, "checked": 0.5},
        straps={"none": 5, "ankle strap": 2.2, "criss-cross straps": 0.8},
        closures={"none": 3, "zipper": 2.5, "laces": 2.5, "buckle": 2},
        ornaments={"none": 5, "studs": 2, "fringe": 2, "bow": 0.4, "flower": 0.3},
        shaft=(0.28, 1.0),
        sport=(0.0, 0.35),
        dress=(0.0, 0.9),
        grace=(0.0, 0.7),
    ),
    "clogs": Kind(
        form="clog",
        heels={"flat": 4, "block": 3, "wedge": 2.5},
        heel_height=(0.02, 0.55),
        pointy=(0.0, 0.3),
        materials={"leather": 4, "suede": 3, "rubber": 3, "patent leather": 0.8, "canvas": 0.8},
        colours=LIVELY | {"brown": 4, "tan": 3},
        sole=(0.55, 1.0),
        patterns=PRINTED,
        straps={"none": 4, "slingback": 3, "mary jane strap": 2},
        closures={"none": 4, "buckle": 2},
        ornaments={"none": 4, "studs": 2.5, "flower": 1.5, "bow": 0.7},
        toe_open=0.12,
        backless=1.0,
        sport=(0.0, 0.4),
        dress=(0.0, 0.2),
        grace=(0.0, 0.4),
    ),
    "flats": Kind(
        form="low",
        heels={"flat": 1},
        heel_height=(0.0, 0.12),
        pointy=(0.05, 0.95),
        materials={"leather": 4, "suede": 2, "patent leather": 2, "canvas": 2, "satin": 1},
        colours=DRESSY | {"brown": 2, "tan": 3},
        sole=(0.0, 0.25),
        patterns=PRINTED,
        straps={
            "none": 6,
            "mary jane strap": 2.5,
            "ankle strap": 1,
            "t-strap": 1,
            "criss-cross straps": 0.8,
            "slingback": 0.7,
        },
        closures={"none": 6, "laces": 1.2, "buckle": 1, "velcro": 0.4},
        ornaments={"none": 4, "bow": 3, "flower": 1.3, "studs": 1, "rhinestones": 0.8, "fringe": 0.4},
        toe_open=0.15,
        cut=(0.0, 0.8),
        backless=0.06,
        sport=(0.0, 0.25),
        dress=(0.0, 0.9),
        grace=(0.0, 1.0),
    ),
    "high heels": Kind(
        form="low",
        heels={"block": 3, "thin": 3, "cone": 2, "wedge": 4},
        heel_height=(0.5, 0.95),
        pointy=(0.0, 0.6),
        materials={"leather": 3, "suede": 2, "patent leather": 2.5, "canvas": 1, "satin": 1},
        colours=DRESSY,
        sole=(0.3, 1.0),
        patterns=PRINTED,
        straps=HEELED_STRAPS | {"none": 2},
        closures={"none": 4, "buckle": 2, "laces": 0.8, "zipper": 0.5},
        ornaments={"none": 4, "bow": 1.5, "flower": 1.5, "studs": 1.5, "rhinestones": 1.5, "fringe": 0.8},
        toe_open=0.8,
        cut=(0.2, 1.0),
        backless=0.2,
        dress=(0.0, 0.4),
        grace=(0.0, 0.8),
    ),
    "pumps": Kind(
        form="low",
        heels={"block": 3, "thin": 2.5, "cone": 3, "wedge": 0.8},
        heel_height=(0.22, 0.65),
        pointy=(0.1, 0.85),
        materials={"leather": 4, "suede": 2.5, "patent leather": 3, "satin": 1, "canvas": 0.4},
        colours=DRESSY | {"black": 8, "brown": 2, "grey": 2},
        sole=(0.0, 0.35),
        straps={"none": 7, "mary jane strap": 2, "t-strap": 1, "slingback": 1.2, "ankle strap": 0.6},
        closures={"none": 6, "buckle": 1.5, "laces": 0.9},
        ornaments={"none": 5, "bow": 2.2, "flower": 0.8, "studs": 0.7, "rhinestones": 0.6, "fringe": 0.4},
        toe_open=0.16,
        cut=(0.0, 0.65),
        dress=(0.0, 1.0),
        grace=(0.0, 0.8),
    ),
    "rain boots": Kind(
        form="boot",
        heels={"flat": 8, "block": 1, "wedge": 0.6},
        heel_height=(0.03, 0.3),
        pointy=(0.0, 0.25),
        materials={"rubber": 1},
        colours=LIVELY | {"yellow": 2.5, "red": 3, "green": 2.5},
        sole=(0.35, 0.8),
        patterns={"plain": 5, "dotted": 2, "floral": 2, "striped": 1.2, "checked": 1.6, "animal print": 0.8},
        straps={"none": 5, "ankle strap": 2},
        closures={"none": 6, "buckle": 2, "laces": 0.6, "zipper": 0.6},
        ornaments={"none": 7, "bow": 1, "studs": 0.6, "flower": 0.6},
        accented=0.55,
        shaft=(0.45, 0.95),
        sport=(0.0, 0.5),
        dress=(0.0, 0.1),
        grace=(0.0, 0.4),
    ),
    "sneakers": Kind(
        form="sneaker",
        heels={"flat": 9, "wedge": 1},
        heel_height=(0.0, 0.45),
        pointy=(0.0, 0.3),
        materials={"canvas": 5, "leather": 2, "suede": 1.5, "patent leather": 0.6, "satin": 0.4},
        colours=LIVELY,
        sole=(0.15, 0.5),
        patterns=PRINTED,
        closures={"laces": 7, "none": 2, "velcro": 1.2, "zipper": 0.5},
        ornaments={"none": 8, "studs": 0.8, "rhinestones": 0.6, "bow": 0.6, "flower": 0.5},
        accented=0.6,
        shaft=(0.0, 0.35),
        sport=(0.15, 0.6),
        dress=(0.0, 0.3),
        grace=(0.0, 0.4),
    ),
    "stiletto": Kind(
        form="low",
        heels={"thin": 1},
        heel_height=(0.65, 1.0),
        pointy=(0.35, 1.0),
        materials={"leather": 3, "suede": 2, "patent leather": 4, "satin": 2},
        colours=DRESSY | {"black": 6, "red": 4},
        sole=(0.0, 0.45),
        straps=HEELED_STRAPS,
        closures={"none": 5, "buckle": 2, "zipper": 0.5},
        ornaments={"none": 5, "rhinestones": 1.2, "studs": 1.5, "bow": 1, "flower": 0.6, "fringe": 0.5},
        toe_open=0.3,
        cut=(0.1, 1.0),
        backless=0.08,
        dress=(0.0, 0.6),
        grace=(0.1, 1.0),
    ),
    "wedding shoes": Kind(
        form="low",
        heels={"thin": 3, "cone": 3, "block": 1.5, "flat": 1, "wedge": 0.6},
        heel_height=(0.03, 0.85),
        pointy=(0.1, 0.9),
        materials={"satin": 6, "leather": 1.5, "patent leather": 0.8},
        colours={"white": 9, "silver": 3, "gold": 1.2, "pink": 1.2, "tan": 0.6, "blue": 0.5},
        sole=(0.0, 0.5),
        patterns={"plain": 8, "floral": 1.2, "dotted": 0.4},
        straps=HEELED_STRAPS,
        closures={"none": 5, "buckle": 1.8},
        ornaments={"none": 1.5, "bow": 2.5, "flower": 2.5, "rhinestones": 4},
        toe_open=0.45,
        cut=(0.1, 0.8),
        backless=0.05,
        accented=0.2,
        dress=(0.0, 0.3),
        grace=(0.2, 1.0),
    ),
}
