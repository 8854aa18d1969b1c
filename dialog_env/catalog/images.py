"""Where the pictures of a catalogue come from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

WHITE = (255, 255, 255)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What pictures are usually encoded as."""
OTHER_FORMATS = ("AVIF", "JPEG2000", "PPM", "TGA", "ICO", "QOI", "PCX", "SGI", "DIB")
"""What else they may be encoded as, where Pillow was built with it. It knows others, some of which start programs."""

MOST_BYTES = 256 << 20
"""Of a picture's file: no fewer than its pixels may take."""
MOST_PIXELS = 64_000_000
"""Of a picture; decoded, it takes 4 bytes each, several times over. Few cameras make larger ones."""


@lru_cache
def readable() -> tuple[str, ...]:
    """What pictures may be encoded as here."""
    Image.init()
    return tuple(form for form in (*FORMATS, *OTHER_FORMATS) if form in Image.OPEN)


@lru_cache
def suffixes() -> frozenset[str]:
    """Of the names of their files, in small letters."""
    return frozenset(suffix for suffix, form in Image.registered_extensions().items() if form in readable())


class ImageSource(Protocol):
    """Gives the picture of an image on demand.

    Attributes:
        size: (height, width) in pixels, of pictures that are asked for without a size.
        description: what must be stored to build it again.
    """

    size: tuple[int, int]
    description: dict[str, Any]

    def image(self, position: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """The picture (H, W, 3) uint8 RGB at a position of the whole catalogue."""
        ...


def decode_picture(content: bytes, where: str, remedy: str) -> Image.Image:
    """The picture in an encoded file, in RGB; of an animation the first frame.

    Args:
        content: of the file, in one of the formats `readable`.
        where: the file, or its place in one: how the sentence of an error begins.
        remedy: what to do about it: how that ends.

    Raises:
        ValueError: another format, a truncated or damaged picture, or one of more than `MOST_PIXELS`, which is known
            before it is decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=readable()) as picture:
            if picture.width * picture.height <= MOST_PIXELS:
                return flatten(picture)
            problem = f"{picture.width} x {picture.height} pixels are more than {MOST_PIXELS:,}"
    except UnidentifiedImageError:
        problem = f"it is none of {', '.join(readable())}"
    except Exception as error:  # Pillow's decoders raise almost anything
        problem = (str(error).splitlines() or [type(error).__name__])[0]
    raise ValueError(f"{where} is truncated or cannot be decoded ({problem}); {remedy}")


def flatten(picture: Image.Image) -> Image.Image:
    """The picture in RGB, transparent parts white."""
    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (*WHITE, 255)), layer).convert("RGB")
    return picture.convert("RGB")


def letterbox(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scales a picture into (height, width) without changing its proportions, centred on white."""
    height, width = size
    picture = flatten(picture)
    if picture.size != (width, height):
        scale = min(width / picture.width, height / picture.height)
        fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        canvas = Image.new("RGB", (width, height), WHITE)
        corner = ((width - fitted[0]) // 2, (height - fitted[1]) // 2)
        canvas.paste(picture.resize(fitted, Image.Resampling.LANCZOS), corner)
        picture = canvas
    return np.array(picture, dtype=np.uint8)


class Slices:
    """N pieces of bytes of any length, kept end to end in one array.

    Args:
        content: (M,) uint8.
        offsets: (N + 1,) int64, where each piece begins, and the end of the last.
    """

    def __init__(self, content: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.content = content
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        return self.content[self.offsets[position] : self.offsets[position + 1]]


class EncodedImages:
    """Pictures kept as encoded bytes (JPEG, PNG), one entry an image; errors say that they lie in `where`."""

    def __init__(
        self, encoded: Sequence[NDArray[np.uint8]] | Any, size: tuple[int, int], where: str = "the catalogue"
    ) -> None:
        self.encoded = encoded
        self.size = size
        self.where = where
        self.description: dict[str, Any] = {"kind": "encoded", "size": list(size)}

    def image(self, position: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Decodes the picture and fits it into `size` (height, width); ValueError where it is damaged."""
        content = np.asarray(self.encoded[position], dtype=np.uint8).tobytes()
        picture = decode_picture(content, f"{self.where}: the picture of image {position}", "build it again")
        return letterbox(picture, size or self.size)


class DrawnImages:
    """Pictures of the synthetic catalogue, drawn when they are asked for."""

    def __init__(self, seed: int, size: tuple[int, int], version: str) -> None:
        self.seed = seed
        self.size = size
        self.version = version
        self.description: dict[str, Any] = {"kind": "drawn", "seed": seed, "size": list(size), "version": version}

    def image(self, position: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Draws the picture at the larger side of `size` (height, width) and fits it in.

        Raises:
            ValueError: the features are of pictures that another version drew.
        """
        from dialog_env.catalog.synthetic import VERSION, draw

        if self.version != VERSION:
            raise ValueError(
                f"the pictures of this catalogue were drawn by version {self.version}, and this release draws version "
                f"{VERSION}; build the catalogue again"
            )

        height, width = size or self.size
        drawn = draw(self.seed, int(position), size=max(height, width))
        return drawn if height == width else letterbox(Image.fromarray(drawn), (height, width))
