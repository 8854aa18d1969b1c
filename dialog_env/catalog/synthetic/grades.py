"""How much a shoe has of each relative attribute, graded from what is drawn of it."""

from __future__ import annotations

import numpy as np

from dialog_env.catalog.attributes import RELATIVE_ATTRIBUTES, AttributeTable
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.palette import PALETTE, brightness, luminance, main_colour
from dialog_env.catalog.synthetic.sampling import sample
from dialog_env.catalog.synthetic.shoe import CATEGORIES, Shoe

FLOWERY = ("floral", "dotted")
SOFT_COLOURS = {"pink": 1.0, "red": 0.6, "purple": 0.6, "white": 0.35, "gold": 0.5, "silver": 0.5}
THINNESS = {"flat": 0.15, "block": 0.1, "thin": 1.0, "cone": 0.6, "wedge": 0.2}
REFINED = {"patent leather": 1.0, "leather": 0.8, "satin": 0.9, "suede": 0.55, "canvas": 0.1, "rubber": 0.0}
STRAP_GAPS = {"t-strap": 0.06, "slingback": 0.04, "criss-cross straps": 0.04}
PRINT_SHARE = {"plain": 0.0, "striped": 0.42, "dotted": 0.3, "floral": 0.35, "animal print": 0.35, "checked": 0.5}


def attribute_table(seed: int, size: int) -> AttributeTable:
    """The attributes of the first `size` shoes of the catalogue `seed`.

    Raises:
        ValueError: a negative seed or size.
    """
    if size < 0:
        raise ValueError(f"a catalogue of {size} shoes does not exist; ask for 0 or more")
    return table_of([sample(seed, index) for index in range(size)])


def table_of(shoes: list[Shoe]) -> AttributeTable:
    """The attributes of some shoes, in their order."""
    graded = np.array([list(grades(shoe).values()) for shoe in shoes], dtype=np.float32)
    codes = [[values.index(categories(shoe)[name]) for name, values in CATEGORIES.items()] for shoe in shoes]
    return AttributeTable(
        graded_names=RELATIVE_ATTRIBUTES,
        graded=graded.reshape(len(shoes), len(RELATIVE_ATTRIBUTES)),
        categorical_names=tuple(CATEGORIES),
        values=tuple(CATEGORIES.values()),
        categorical=np.array(codes, dtype=np.int16).reshape(len(shoes), len(CATEGORIES)),
    )


def categories(shoe: Shoe) -> dict[str, str]:
    """The value of each categorical attribute."""
    return {name: getattr(shoe, "kind" if name == "class" else name) for name in CATEGORIES}


def grades(shoe: Shoe) -> dict[str, float]:
    """Each relative attribute in [0, 1], in the order of `RELATIVE_ATTRIBUTES`."""
    bright = _brightness(shoe)
    open_grade = _openness(shoe)
    values = (
        shoe.pointy,
        open_grade,
        bright,
        shoe.ornaments,
        shoe.shine,
        _heel_height(shoe),
        _leg_length(shoe),
        _formality(shoe, bright),
        _sportiness(shoe),
        _femininity(shoe, open_grade),
    )
    return {name: _unit(value) for name, value in zip(RELATIVE_ATTRIBUTES, values, strict=True)}


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))


def _squashed(value: float, middle: float) -> float:
    """A smooth grade in (0, 1) that is one half at `middle`, steep there and never quite constant."""
    distance = 2.6 * (value - middle)
    return 0.5 + 0.58 * distance / (0.45 + abs(distance))


def _brightness(shoe: Shoe) -> float:
    """Brightness of the colours by the share of the shoe that they cover."""
    upper = brightness(main_colour(shoe))
    if shoe.accent == "none":
        return upper
    share = 0.1 + PRINT_SHARE[shoe.pattern]
    return (1 - share) * upper + share * brightness(PALETTE[shoe.accent])


def _openness(shoe: Shoe) -> float:
    form = KINDS[shoe.kind].form
    if form == "boot":
        return 0.0
    if form == "sneaker":
        return 0.06
    base = 0.16 + 0.24 * shoe.cut if form == "low" else 0.08
    toe = 0.14 + 0.28 * shoe.toe_opening if shoe.toe_opening else 0.0
    back = 0.28 if shoe.backless else 0.0
    laced = 0.08 if shoe.closure == "laces" else 0.0
    return base + toe + back + STRAP_GAPS.get(shoe.straps, 0.0) - laced


def _heel_height(shoe: Shoe) -> float:
    return 0.93 * shoe.heel_height + 0.07 * shoe.sole


def _leg_length(shoe: Shoe) -> float:
    form = KINDS[shoe.kind].form
    if form == "boot":
        return 0.12 + 0.88 * shoe.shaft
    if form == "sneaker":
        return 0.06 + 0.55 * shoe.shaft
    return 0.06 if shoe.straps in ("ankle strap", "t-strap") else 0.0


def _formality(shoe: Shoe, bright: float) -> float:
    """Dress-shoe trim, refined material, slim sole, quiet colour and no print make a shoe formal."""
    slim = 0.5 * (1 - shoe.sole) + 0.3 * shoe.pointy + 0.2 * THINNESS[shoe.heel]
    quiet = 1 - min(1.0, 1.25 * bright)
    casual = 0.18 * (shoe.pattern != "plain") + 0.55 * shoe.sport + 0.12 * (shoe.closure == "velcro")
    heel = 0.14 * min(1.0, 2.2 * shoe.heel_height)
    bulky = 0.22 if KINDS[shoe.kind].form in ("clog", "sneaker") else 0.0
    value = 0.30 * shoe.dress + 0.30 * REFINED[shoe.material] + 0.30 * slim + 0.26 * quiet + heel - casual - bulky
    return _squashed(value, 0.42)


def _sportiness(shoe: Shoe) -> float:
    """Stripes and tread, laces, a thick flat sole and tough material make a shoe sporty."""
    flat = max(0.0, 1 - 3 * shoe.heel_height) * (0.05 + 0.12 * shoe.sole)
    fastened = 0.10 * (shoe.closure in ("laces", "velcro"))
    tough = 0.06 * (shoe.material in ("canvas", "rubber"))
    trainer = 0.10 if KINDS[shoe.kind].form == "sneaker" else 0.0
    value = 0.72 * shoe.sport + flat + fastened + tough + trainer - 0.12 * shoe.heel_height - 0.08 * shoe.dress
    return _squashed(value, 0.32)


def _femininity(shoe: Shoe, open_grade: float) -> float:
    """A high thin heel, scallops, open lines, flowers, bows and soft colours make a shoe feminine."""
    heel = 0.26 * shoe.heel_height + 0.12 * THINNESS[shoe.heel]
    trim = 0.30 * max(0.0, shoe.grace - 0.1)
    decor = (0.10 + 0.16 * shoe.ornaments) * (shoe.ornament in ("bow", "flower", "rhinestones"))
    colour = 0.20 * SOFT_COLOURS.get(shoe.colour, 0.0) + 0.07 * SOFT_COLOURS.get(shoe.accent, 0.0)
    print_share = 0.10 * (shoe.pattern in FLOWERY)
    heavy = 0.28 * shoe.sport + 0.10 * shoe.sole
    pale = 0.03 * luminance(main_colour(shoe))
    value = 0.06 + heel + trim + decor + colour + print_share + 0.26 * open_grade + pale - heavy
    return _squashed(value, 0.40)
