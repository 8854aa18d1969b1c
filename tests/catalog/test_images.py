"""Decoding pictures that others may have made."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dialog_env.catalog.images import FORMATS, MOST_PIXELS, EncodedImages, decode_picture
from tests.damage import damaged, refusal

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(form: str, mode: str = "RGB", size: tuple[int, int] = (12, 8), **options: object) -> bytes:
    content = io.BytesIO()
    Image.new(mode, size, (200, 30, 30, 255)[: len(mode)]).save(content, form, **options)
    return content.getvalue()


def decode(content: bytes) -> Image.Image:
    return decode_picture(content, "a.jpg", "replace it")


def large_png(width: int, height: int, rows: bytes) -> bytes:
    """A PNG of one bit a pixel that says to be large."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


@pytest.mark.parametrize("form", FORMATS)
def test_pictures_of_the_usual_formats_are_decoded(form: str) -> None:
    picture = decode(encoded(form))
    assert (picture.mode, picture.size) == ("RGB", (12, 8))
    assert np.abs(np.asarray(picture).astype(int)[4, 6] - (200, 30, 30)).max() < 12


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    more = [Image.new("RGB", (12, 8), (0, 0, 255))]
    picture = decode(encoded(form, save_all=True, append_images=more))
    assert np.abs(np.asarray(picture).astype(int)[4, 6] - (200, 30, 30)).max() < 12


def test_a_postscript_file_called_jpg_starts_no_program(tmp_path: Path) -> None:
    script = (
        "import sys; from dialog_env.catalog.images import decode_picture; decode_picture(sys.stdin.buffer.read(), "
        "'a', 'b')"
    )
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=EPS,
        capture_output=True,
        env={"PATH": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert b"ValueError: a is truncated or cannot be decoded (it is none of JPEG" in done.stderr
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("content", [EPS, b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0"])
def test_what_is_no_picture_is_one_sentence(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a\.jpg is truncated or cannot be decoded \([^\n]*\); replace it$"):
        decode(content)


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (40_000, 40_000), (2**31 - 1, 2**31 - 1)])
def test_pictures_of_too_many_pixels_are_refused_before_they_are_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    assert width * height > MOST_PIXELS
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=r"^a\.jpg is truncated or cannot be decoded \(.*[0-9]+ .*\); replace it$"):
        decode(large_png(width, height, bytes(1000)))


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("form", FORMATS)
def test_damaged_pictures_are_decoded_or_refused_in_one_sentence(form: str) -> None:
    found = [refusal(decode, content) for content in damaged(encoded(form, size=(40, 30)), seed=7, count=150)]
    refused = [sentence for sentence in found if sentence]
    assert len(refused) > 20
    for sentence in refused:
        assert sentence.startswith("a.jpg is truncated or cannot be decoded (")
        assert "\n" not in sentence


def test_a_damaged_picture_of_a_catalogue_is_named_by_its_place() -> None:
    images = EncodedImages([np.frombuffer(b"no picture", np.uint8)], (8, 8))
    with pytest.raises(ValueError, match=r"^the catalogue: the picture of image 0 is truncated"):
        images.image(0)
