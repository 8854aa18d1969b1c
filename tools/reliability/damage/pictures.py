"""Pictures that are enormous, programs, or of odd formats."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from PIL import Image

from tools.reliability.damage.target import Target


def png_of(width: int, height: int) -> bytes:
    """A PNG file of so many black pixels, which takes a thousandth of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 40\n%%EndComments\n/Times findfont 9 scalefont setfont\n"
    b"1 1 moveto (x) show showpage\n%%EOF\n"
)


def picture_bomb(target: Target) -> None:
    """A small file of an enormous picture."""
    width, height = ((40_000, 40_000), (13_000, 13_000), (1, 4_000_000), (400_000, 100))[target.place(4)]
    target.path.write_bytes(png_of(width, height))


def picture_program(target: Target) -> None:
    """PostScript, which another program would have to run."""
    target.path.write_bytes(POSTSCRIPT)


def picture_format(target: Target) -> None:
    """Another format, mode or size, or many frames."""
    image = Image.new("RGB", (30, 40), (9, 99, 199))
    kinds: tuple[tuple[str, Image.Image, dict[str, Any]], ...] = (
        ("GIF", image, {"save_all": True, "append_images": [image.rotate(90)] * 5}),
        ("TIFF", image, {}),
        ("BMP", image, {}),
        ("WEBP", image, {}),
        ("PPM", image, {}),
        ("ICO", image, {}),
        ("PCX", image, {}),
        ("TGA", image, {}),
        ("PDF", image, {}),
        ("JPEG2000", image, {}),
        ("JPEG", image.convert("CMYK"), {}),
        ("JPEG", image.convert("L"), {}),
        ("PNG", image.convert("P"), {"transparency": 0}),
        ("PNG", Image.new("I;16", (30, 40)), {}),
        ("PNG", Image.new("LA", (30, 40)), {}),
        ("PNG", Image.new("1", (30, 40)), {}),
        ("PNG", Image.new("RGB", (1, 1)), {}),
        ("PNG", Image.new("RGB", (1, 3000)), {}),
    )
    kind, picture, settings = kinds[target.place(len(kinds))]
    try:
        picture.save(target.path, kind, **settings)
    except (OSError, KeyError):
        picture.save(target.path, "PNG")
