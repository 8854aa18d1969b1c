"""Dialogs as pictures and as text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from dialog_env.catalog import Catalog

TILE = 200
MARGIN = 14
FONT_SIZE = 22
"""Large for the tiles, so that rows of seven can be read at the width of a page."""
LINE = FONT_SIZE + 4
MOST_SIDE = 4096
"""Pixels of a picture of many dialogs."""
TITLE_LINES = 2
TEXT_LINES = 4
INK, FAINT, GREEN, PAPER = (34, 34, 40), (120, 120, 130), (24, 128, 72), (255, 255, 255)


@dataclass(frozen=True)
class Shown:
    """One image of a dialog: its gallery position, the feedback on it, and the target's 0-based rank if known."""

    candidate: int
    sentence: str
    rank: float | None = None


def dialog_row(
    gallery: Catalog, shown: Sequence[Shown], target: int | None, places: int, columns: int | None = None
) -> Image.Image:
    """One row: the images shown with the sentences under them, and the target at the end if it may be seen.

    Args:
        gallery: where the pictures are; without pictures their ids are written.
        shown: the dialog so far.
        target: gallery position, or None to keep it secret.
        places: room for that many images before the target, so that pictures of one dialog have one size.
        columns: width in images, so that pictures of several dialogs have one size; no wider than needed where None.
    """
    places = max(places, len(shown))
    columns = max(columns or 0, places + (target is not None))
    size = (MARGIN + columns * (TILE + MARGIN), TILE + (TITLE_LINES + TEXT_LINES) * LINE + 3 * MARGIN)
    canvas = Image.new("RGB", size, PAPER)
    for turn, entry in enumerate(shown):
        again = any(entry.candidate == earlier.candidate for earlier in shown[:turn])
        title = ["start" if turn == 0 else f"turn {turn}, again" if again else f"turn {turn}"]
        if entry.rank is not None:
            title.append(f"rank {entry.rank + 1:.0f} of {len(gallery)}")
        text = f"“{entry.sentence}”" if entry.sentence else ""
        _tile(canvas, turn, gallery, entry.candidate, title, text, GREEN if entry.candidate == target else INK)
    if target is not None:
        found_at = next((turn for turn, entry in enumerate(shown) if entry.candidate == target), None)
        title = ["target", "not shown" if found_at is None else f"shown at turn {found_at}"]
        _tile(canvas, places, gallery, target, title, "", GREEN)
    return canvas


def grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size as one, about as wide as high, row by row; made smaller where a side is over `MOST_SIDE`."""
    width, height = pictures[0].size
    columns = min(len(pictures), max(1, round((len(pictures) * height / width) ** 0.5)))
    rows = -(-len(pictures) // columns)
    shrunk = min(1.0, MOST_SIDE / (columns * width), MOST_SIDE / (rows * height))
    size = max(1, int(width * shrunk)), max(1, int(height * shrunk))
    canvas = Image.new("RGB", (columns * size[0], rows * size[1]), PAPER)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        canvas.paste(picture if shrunk == 1 else picture.resize(size), (column * size[0], row * size[1]))
    return canvas


def _tile(
    canvas: Image.Image,
    column: int,
    gallery: Catalog,
    position: int,
    title: Sequence[str],
    text: str,
    colour: tuple[int, int, int],
) -> None:
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(FONT_SIZE)
    left, top = MARGIN + column * (TILE + MARGIN), MARGIN + TITLE_LINES * LINE
    for number, words in enumerate(title):
        draw.text((left, MARGIN // 2 + number * LINE), words, font=font, fill=colour)
    if gallery.image_size is not None:
        canvas.paste(Image.fromarray(gallery.image(position, (TILE, TILE))), (left, top))
    else:
        draw.text((left + 8, top + TILE // 2), str(gallery.ids[position]), font=font, fill=FAINT)
    framed = colour == GREEN
    draw.rectangle(
        (left - 1, top - 1, left + TILE, top + TILE),
        outline=colour if framed else (225, 225, 230),
        width=3 if framed else 1,
    )
    lines = wrap(text, font, TILE)
    if len(lines) > TEXT_LINES:
        lines[TEXT_LINES - 1] += "…"
    for number, words in enumerate(lines[:TEXT_LINES]):
        draw.text((left, top + TILE + MARGIN // 2 + number * LINE), words, font=font, fill=INK)


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines of at most `width` pixels, broken at spaces and after hyphens; a longer word is a line of its own."""
    lines: list[str] = []
    for part in re.findall(r"\s*(?:[^\s-]+-?|-)", text):
        if lines and font.getlength(lines[-1] + part) <= width:
            lines[-1] += part
        else:
            lines.append(part.lstrip())
    return lines


def as_text(gallery: Catalog, shown: Sequence[Shown], target: int | None) -> str:
    """The dialog as lines of text."""
    lines = []
    for turn, entry in enumerate(shown):
        rank = "" if entry.rank is None else f" (rank {entry.rank + 1:.0f} of {len(gallery)})"
        said = f": {entry.sentence}" if entry.sentence else ""
        lines.append(textwrap.shorten(f"turn {turn}  {gallery.ids[entry.candidate]}{rank}{said}", 160))
    if target is not None:
        lines.append(f"target  {gallery.ids[target]}")
    return "\n".join(lines) + "\n"
