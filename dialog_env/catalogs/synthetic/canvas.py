"""A surface to draw on in shoe lengths: curves, ribbons and bodies that look round."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .palette import RGB, darker, lighter, luminance

Points = NDArray[np.float64]
"""(P, 2) positions: x from the heel (0) to the toe (1), y up from the ground (0), in shoe lengths."""

SUPERSAMPLING = 3
SHADE_REDUCTION = 4
_STEPS = np.linspace(0.0, 1.0, 13)[1:, None]
_REST = 1.0 - _STEPS
_BERNSTEIN = (_REST * _REST * _REST, 3 * _REST * _REST * _STEPS, 3 * _REST * _STEPS * _STEPS, _STEPS * _STEPS * _STEPS)

Pair = tuple[float, float]


def curve(start: Pair, *segments: tuple[Pair, Pair, Pair]) -> Points:
    """(P, 2) points on cubic Bezier segments, each given as two control points and an end."""
    pieces = [np.array([start], dtype=np.float64)]
    for first, second, end in segments:
        corners = np.array([start, first, second, end], dtype=np.float64)
        pieces.append(sum(weight * corner for weight, corner in zip(_BERNSTEIN, corners, strict=True)))
        start = end
    return np.concatenate(pieces)


def line(*points: Pair) -> Points:
    """(P, 2) the points themselves."""
    return np.array(points, dtype=np.float64)


def join(*parts: Points) -> Points:
    """One outline made of several."""
    return np.concatenate(parts)


def at(points: Points, share: float) -> Pair:
    """The position at `share` of the points of a path."""
    place = share * (len(points) - 1)
    low = min(int(place), len(points) - 2)
    x, y = points[low] + (points[low + 1] - points[low]) * (place - low)
    return float(x), float(y)


def between(points: Points, first: float, last: float, steps: int = 12) -> Points:
    """(steps, 2) the part of a path between two shares of its points."""
    return np.array([at(points, first + (last - first) * step / (steps - 1)) for step in range(steps)])


def ribbon(points: Points, width: float | Points) -> Points:
    """(2P, 2) outline of a band of `width` around a path."""
    ahead = np.empty_like(points)
    ahead[1:-1] = points[2:] - points[:-2]
    ahead[0], ahead[-1] = points[1] - points[0], points[-1] - points[-2]
    length = np.sqrt(ahead[:, 0] * ahead[:, 0] + ahead[:, 1] * ahead[:, 1])
    normal = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None]
    half = normal * (np.asarray(width) / 2)
    return np.concatenate([points + half, (points - half)[::-1]])


@dataclass(frozen=True)
class View:
    """Where the shoe stands in the picture.

    Args:
        scale: pixels of the final picture per shoe length, at picture size 1.
        left: position of the heel from the right border, in picture widths.
        ground: height of the ground from the lower border, in picture heights.
        tilt: rise of the shoe along its length, as a slope.
        stretch: widening of the shoe.
    """

    scale: float
    left: float
    ground: float
    tilt: float
    stretch: float


class Canvas:
    """A white square picture, drawn larger and reduced at the end; the toe points to the left."""

    def __init__(self, size: int, view: View) -> None:
        self.size = size
        self.side = size * SUPERSAMPLING
        self.view = view
        self.unit = self.side * view.scale
        self.image = Image.new("RGB", (self.side, self.side), (255, 255, 255))
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self, points: Points) -> list[float]:
        """Points as whole pixels in the flat list that Pillow draws fastest."""
        view = self.view
        x = self.side * (1 - view.left) - self.unit * view.stretch * points[:, 0]
        y = self.side * (1 - view.ground) - self.unit * (points[:, 1] + view.tilt * points[:, 0])
        pairs: list[float] = np.rint(np.stack([x, y], axis=1)).ravel().tolist()
        return pairs

    def fill(self, outline: Points, colour: RGB) -> None:
        """A flat shape."""
        self.pen.polygon(self.pixels(outline), fill=colour)

    def stroke(self, path: Points, width: float, colour: RGB) -> None:
        """A line along a path, at least one fine pixel wide."""
        self.fill(ribbon(path, max(width, 1.2 / self.unit)), colour)

    def dot(self, centre: Pair, radius: float, colour: RGB) -> None:
        """A filled circle."""
        x, y = self.pixels(line(centre))
        reach = max(1, int(radius * self.unit + 0.5))
        self.pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def mask(self, outline: Points) -> Image.Image:
        """(side, side) L image: 255 inside the outline."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(self.pixels(outline), fill=255)
        return mask

    def ground_shadow(self, first: float, last: float, depth: float = 0.024) -> None:
        """A soft shadow on the ground from `first` to `last`."""
        small = Image.new("L", (self.side // SHADE_REDUCTION, self.side // SHADE_REDUCTION))
        flat = View(self.view.scale, self.view.left, self.view.ground, 0.0, self.view.stretch)
        x0, y0, x1, y1 = Canvas.pixels(_Frame(self.side // SHADE_REDUCTION, flat), line((last, depth), (first, -depth)))
        ImageDraw.Draw(small).ellipse((x0, y0, x1, y1), fill=120)
        soft = small.filter(ImageFilter.BoxBlur(small.width / 36)).resize(self.image.size, Image.Resampling.BILINEAR)
        self.image.paste((150, 150, 158), mask=soft)

    def body(
        self, outline: Points, colour: RGB, shine: float = 0.0, layer: Image.Image | None = None, edge: float = 0.55
    ) -> Image.Image:
        """A shape that looks round: dark below, light above, with a thin outline; returns its mask.

        Args:
            outline: the shape.
            colour: its colour; also that of its shadows.
            shine: how strong the light on it is.
            layer: a picture to fill it with in place of the plain colour.
            edge: how dark the outline is.
        """
        mask = self.mask(outline)
        if layer is None:
            self.image.paste(colour, mask=mask)
        else:
            self.image.paste(layer, mask=mask)
        dark, light = self._relief(mask)
        depth = 0.85 if luminance(colour) < 0.8 else 0.55
        self.image.paste(darker(colour, 0.75), mask=ImageChops.multiply(dark.point(_ramp(depth)), mask))
        glow = 0.16 + 0.5 * shine
        self.image.paste(lighter(colour, 0.75), mask=ImageChops.multiply(light.point(_ramp(glow)), mask))
        closed = np.concatenate([outline, outline[:1]])
        self.pen.line(self.pixels(closed), fill=darker(colour, edge), width=max(1, int(0.0075 * self.unit + 0.5)))
        return mask

    def _relief(self, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
        """(dark, light) how much each pixel of a round body turns away from the light, and towards it."""
        small = mask.reduce(SHADE_REDUCTION)
        reach = max(1, int(small.width * self.view.scale * 0.07 + 0.5))
        soft = small.filter(ImageFilter.BoxBlur(reach))
        below = ImageChops.subtract(small, ImageChops.offset(soft, reach // 3, -reach))
        above = ImageChops.subtract(small, ImageChops.offset(soft, 0, reach))
        size = self.image.size
        return below.resize(size, Image.Resampling.BILINEAR), above.resize(size, Image.Resampling.BILINEAR)

    def gleam(self, path: Points, width: float, strength: float, clip: Image.Image, colour: RGB = (255, 255, 255)) -> None:
        """Light mirrored along a path: soft at first, with a hard core where `strength` is above one half."""
        if strength <= 0.02:
            return
        taper = np.minimum(np.linspace(0, 2, len(path)), np.linspace(2, 0, len(path)))[:, None]
        small = Image.new("L", (self.side // SHADE_REDUCTION,) * 2)
        frame = _Frame(small.width, self.view)
        ImageDraw.Draw(small).polygon(Canvas.pixels(frame, ribbon(path, taper * width)), fill=int(235 * strength))
        soft = small.filter(ImageFilter.BoxBlur(max(1, small.width // 60))).resize(self.image.size, Image.Resampling.BILINEAR)
        self.image.paste(colour, mask=ImageChops.multiply(soft, clip))
        if strength > 0.5:
            core = self.mask(ribbon(path, taper * width * 0.34)).point(_ramp(min(1.0, 1.9 * (strength - 0.5))))
            self.image.paste(colour, mask=ImageChops.multiply(core, clip))

    def finished(self) -> NDArray[np.uint8]:
        """(size, size, 3) the picture at its final size."""
        return np.asarray(self.image.reduce(SUPERSAMPLING))


class _Frame(Canvas):
    """The geometry of a canvas at another resolution, without a picture."""

    def __init__(self, side: int, view: View) -> None:
        self.side = side
        self.view = view
        self.unit = side * view.scale


@lru_cache(maxsize=512)
def _ramp_table(steps: int) -> tuple[int, ...]:
    return tuple(value * steps // 100 for value in range(256))


def _ramp(strength: float) -> list[int]:
    """Look-up table that scales a mask by `strength`, rounded to a hundredth."""
    return list(_ramp_table(int(strength * 100 + 0.5)))
