"""Named colours and the shades in which they are drawn."""

from __future__ import annotations

from dialog_env.catalog.synthetic.shoe import Shoe

RGB = tuple[int, int, int]

PALETTE: dict[str, RGB] = {
    "black": (38, 36, 40),
    "white": (243, 241, 236),
    "grey": (136, 139, 144),
    "brown": (104, 62, 36),
    "tan": (198, 152, 102),
    "red": (198, 26, 38),
    "pink": (238, 128, 172),
    "orange": (240, 122, 30),
    "yellow": (247, 208, 46),
    "green": (46, 138, 66),
    "blue": (36, 82, 178),
    "purple": (116, 56, 156),
    "silver": (184, 190, 202),
    "gold": (204, 164, 66),
}
WOOD: RGB = (186, 136, 86)
CORK: RGB = (206, 168, 120)
GUM: RGB = (240, 238, 232)
LEATHER_SOLE: RGB = (74, 54, 44)
RUBBER_SOLE: RGB = (58, 56, 58)
METAL: RGB = (206, 200, 188)
STUD: RGB = (214, 182, 112)
CRYSTAL: RGB = (226, 238, 250)


def blend(first: RGB, second: RGB, share: float) -> RGB:
    """`first` with `share` of `second` mixed in."""
    mixed = [int(a + (b - a) * share + 0.5) for a, b in zip(first, second, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def darker(colour: RGB, share: float) -> RGB:
    """`colour` mixed with a warm black."""
    return blend(colour, (16, 12, 14), share)


def lighter(colour: RGB, share: float) -> RGB:
    """`colour` mixed with white."""
    return blend(colour, (255, 255, 255), share)


def luminance(colour: RGB) -> float:
    """Perceived lightness of a colour in [0, 1] (Rec. 601 weights)."""
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


def main_colour(shoe: Shoe) -> RGB:
    """The colour of the upper: the named colour in this shoe's shade and tint."""
    base = PALETTE[shoe.colour]
    warm, cool = (int(22 * (tint - 0.5)) for tint in shoe.tint)
    red, green, blue = base
    base = (_clip(red + warm), _clip(green + (cool - warm) // 2), _clip(blue - cool))
    if shoe.shade < 0.5:
        return darker(base, (0.5 - shoe.shade) * (0.14 if shoe.colour == "white" else 0.36))
    reach = {"black": 0.2, "grey": 0.3, "brown": 0.25}.get(shoe.colour, 0.4)
    return lighter(base, (shoe.shade - 0.5) * reach)


def accent_colour(shoe: Shoe) -> RGB | None:
    """The second colour, None where the shoe has none."""
    return None if shoe.accent == "none" else PALETTE[shoe.accent]


def brightness(colour: RGB) -> float:
    """How bright a person calls a colour, in [0, 1]: vivid and light is bright, pale and dark is not."""
    top, bottom = max(colour), min(colour)
    vivid = (top - bottom) / 255
    return min(1.0, 0.80 * vivid + 0.33 * luminance(colour) + 0.25 * vivid * luminance(colour))


def _clip(value: int) -> int:
    return max(0, min(255, value))
