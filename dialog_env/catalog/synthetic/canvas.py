"""A surface to draw on in shoe lengths: curves, ribbons and bodies that look round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from dialog_env.catalog.synthetic.palette import RGB, darker, lighter, luminance

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


def moved(points: Points, x: float, y: float) -> Points:
    """The points, all moved by (x, y)."""
    return points + np.array([x, y])


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


@dataclass(frozen=True)
class Stencil:
    """A shape cut out of a part of the picture: `mask` (L, 255 inside) lies at `left`, `top`."""

    left: int
    top: int
    mask: Image.Image

    def within(self, other: Stencil) -> Stencil:
        """The part of this shape that lies inside another."""
        left, top = self.left - other.left, self.top - other.top
        window = other.mask.crop((left, top, left + self.mask.width, top + self.mask.height))
        return Stencil(self.left, self.top, ImageChops.multiply(self.mask, window))

    def holds(self, x: float, y: float) -> bool:
        """Whether a pixel of the picture is inside the shape."""
        column, row = int(x) - self.left, int(y) - self.top
        inside = 0 <= column < self.mask.width and 0 <= row < self.mask.height
        return inside and bool(self.mask.getpixel((column, row)))


class Canvas:
    """A white square picture, drawn larger and reduced at the end; the toe points to the left."""

    def __init__(self, size: int, view: View) -> None:
        self.side = size * SUPERSAMPLING
        self.view = view
        self.unit = self.side * view.scale
        self.image = Image.new("RGB", (self.side, self.side), (255, 255, 255))
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self, points: Points) -> Points:
        """(P, 2) points as whole pixels of the picture."""
        view = self.view
        pixels = np.empty_like(points)
        pixels[:, 0] = self.side * (1 - view.left) - self.unit * view.stretch * points[:, 0]
        pixels[:, 1] = self.side * (1 - view.ground) - self.unit * (points[:, 1] + view.tilt * points[:, 0])
        return np.rint(pixels)

    def fill(self, outline: Points, colour: RGB) -> None:
        """A flat shape."""
        self.pen.polygon(self.pixels(outline).ravel().tolist(), fill=colour)

    def stroke(self, path: Points, width: float, colour: RGB) -> None:
        """A line along a path, at least one fine pixel wide."""
        self.fill(ribbon(path, max(width, 1.2 / self.unit)), colour)

    def dot(self, centre: Pair, radius: float, colour: RGB) -> None:
        """A filled circle."""
        x, y = self.pixels(line(centre))[0].tolist()
        reach = max(1, int(radius * self.unit + 0.5))
        self.pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def stencil(self, outline: Points, margin: int = 0) -> Stencil:
        """The inside of an outline, cut out with `margin` pixels around it."""
        pixels = self.pixels(outline)
        left, top = (pixels.min(axis=0) - margin).astype(int).tolist()
        right, bottom = (pixels.max(axis=0) + margin + 1).astype(int).tolist()
        width, height = (-(-length // SHADE_REDUCTION) * SHADE_REDUCTION for length in (right - left, bottom - top))
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon((pixels - (left, top)).ravel().tolist(), fill=255)
        return Stencil(left, top, mask)

    def paste(self, colour: RGB | Image.Image, stencil: Stencil) -> None:
        """Colours the inside of a stencil, flat or from a picture of the canvas's size."""
        left, top, mask = stencil.left, stencil.top, stencil.mask
        box = (left, top, left + mask.width, top + mask.height)
        self.image.paste(colour.crop(box) if isinstance(colour, Image.Image) else colour, box, mask)

    def ground_shadow(self, first: float, last: float, depth: float = 0.03) -> None:
        """A soft shadow on the ground from x = `first` to `last`."""
        around = curve(
            (first, 0.0), ((first, depth), (last, depth), (last, 0.0)), ((last, -depth), (first, -depth), (first, 0.0))
        )
        blur = max(1, int(0.028 * self.unit / SHADE_REDUCTION))
        stencil = self.stencil(around, 3 * blur * SHADE_REDUCTION)
        soft = stencil.mask.reduce(SHADE_REDUCTION).filter(ImageFilter.BoxBlur(blur)).point(_ramp(0.5))
        self.paste((150, 150, 158), replace(stencil, mask=_enlarged(soft)))

    def body(
        self, outline: Points, colour: RGB, shine: float = 0.0, layer: Image.Image | None = None, edge: float = 0.55
    ) -> Stencil:
        """A shape that looks round: dark below, light above, with a thin outline; returns its inside.

        Args:
            outline: the shape.
            colour: its colour; also that of its shadows.
            shine: how strong the light on it is.
            layer: a picture to fill it with in place of the plain colour.
            edge: how dark the outline is.
        """
        reach = max(1, int(0.07 * self.unit / SHADE_REDUCTION + 0.5))
        stencil = self.stencil(outline, 2 * reach * SHADE_REDUCTION)
        self.paste(layer or colour, stencil)
        small = stencil.mask.reduce(SHADE_REDUCTION)
        soft = small.filter(ImageFilter.BoxBlur(reach))
        below = ImageChops.subtract(small, ImageChops.offset(soft, reach // 3, -reach))
        above = ImageChops.subtract(small, ImageChops.offset(soft, 0, reach))
        depth = 0.85 if luminance(colour) < 0.8 else 0.55
        for shade, side, strength in (
            (darker(colour, 0.75), below, depth),
            (lighter(colour, 0.75), above, 0.16 + 0.5 * shine),
        ):
            relief = replace(stencil, mask=_enlarged(side.point(_ramp(strength))))
            self.paste(shade, relief.within(stencil))
        closed = self.pixels(np.concatenate([outline, outline[:1]])).ravel().tolist()
        self.pen.line(closed, fill=darker(colour, edge), width=max(1, int(0.0075 * self.unit + 0.5)))
        return stencil

    def gleam(self, path: Points, width: float, strength: float, clip: Stencil) -> None:
        """Light mirrored along a path: soft, with a hard core where `strength` is above one half."""
        if strength <= 0.02:
            return
        taper = np.minimum(np.linspace(0, 2, len(path)), np.linspace(2, 0, len(path)))[:, None]
        blur = max(1, int(0.02 * self.unit / SHADE_REDUCTION))
        stencil = self.stencil(ribbon(path, taper * width), 2 * blur * SHADE_REDUCTION)
        soft = stencil.mask.reduce(SHADE_REDUCTION).filter(ImageFilter.BoxBlur(blur)).point(_ramp(0.92 * strength))
        self.paste((255, 255, 255), replace(stencil, mask=_enlarged(soft)).within(clip))
        if strength > 0.5:
            core = self.stencil(ribbon(path, taper * width * 0.34)).within(clip)
            self.paste((255, 255, 255), replace(core, mask=core.mask.point(_ramp(min(1.0, 1.9 * (strength - 0.5))))))

    def finished(self) -> NDArray[np.uint8]:
        """(size, size, 3) the picture at its final size."""
        return np.asarray(self.image.reduce(SUPERSAMPLING))


def _enlarged(small: Image.Image) -> Image.Image:
    size = (small.width * SHADE_REDUCTION, small.height * SHADE_REDUCTION)
    return small.resize(size, Image.Resampling.BILINEAR)


@lru_cache(maxsize=256)
def _scaled(hundredths: int) -> tuple[int, ...]:
    return tuple(value * hundredths // 100 for value in range(256))


def _ramp(strength: float) -> tuple[int, ...]:
    """Look-up table that scales a mask by `strength`, rounded to a hundredth."""
    return _scaled(int(strength * 100 + 0.5))
