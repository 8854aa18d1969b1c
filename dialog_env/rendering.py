"""Dialogs as pictures and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from dialog_env.catalog import Catalog

TILE = 200
MARGIN = 14
TITLE_HEIGHT = 26
TEXT_LINES = 4
FONT_SIZE = 17
INK, FAINT, GREEN, PAPER = (34, 34, 40), (120, 120, 130), (24, 128, 72), (255, 255, 255)


@dataclass(frozen=True)
class Shown:
    """One image of a dialog: its gallery position, the feedback on it, and the target's 0-based rank if known."""

    candidate: int
    sentence: str
    rank: float | None = None


def dialog_row(gallery: Catalog, shown: Sequence[Shown], target: int | None, places: int) -> Image.Image:
    """One row: the images shown with the sentences under them, and the target at the end if it may be seen.

    Args:
        gallery: where the pictures are; without pictures their ids are written.
        shown: the dialog so far.
        target: gallery position, or None to keep it secret.
        places: room for that many images, so that pictures of one dialog have one size.
    """
    columns = max(places, len(shown)) + (target is not None)
    line = FONT_SIZE + 5
    size = (MARGIN + columns * (TILE + MARGIN), TITLE_HEIGHT + TILE + TEXT_LINES * line + 2 * MARGIN)
    canvas = Image.new("RGB", size, PAPER)
    for turn, entry in enumerate(shown):
        found = entry.candidate == target
        title = "start" if turn == 0 else f"turn {turn}"
        if entry.rank is not None:
            title += f", rank {entry.rank + 1:.0f} of {len(gallery)}"
        text = f"“{entry.sentence}”" if entry.sentence else ""
        _tile(canvas, turn, gallery, entry.candidate, title, text, GREEN if found else INK)
    if target is not None:
        found_at = next((turn for turn, entry in enumerate(shown) if entry.candidate == target), None)
        text = "" if found_at is None else f"shown at turn {found_at}"
        _tile(canvas, columns - 1, gallery, target, "target", text, GREEN, framed=True)
    return canvas


def _tile(
    canvas: Image.Image,
    column: int,
    gallery: Catalog,
    position: int,
    title: str,
    text: str,
    colour: tuple[int, int, int],
    framed: bool = False,
) -> None:
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(FONT_SIZE)
    left, top = MARGIN + column * (TILE + MARGIN), MARGIN + TITLE_HEIGHT
    draw.text((left, MARGIN - 2), title, font=font, fill=colour)
    if gallery.image_size is not None:
        canvas.paste(Image.fromarray(gallery.image(position, (TILE, TILE))), (left, top))
    else:
        draw.text((left + 8, top + TILE // 2), str(gallery.ids[position]), font=font, fill=FAINT)
    draw.rectangle(
        (left - 1, top - 1, left + TILE, top + TILE),
        outline=colour if framed or colour == GREEN else (225, 225, 230),
        width=3 if framed or colour == GREEN else 1,
    )
    for number, words in enumerate(wrap(text, font, TILE)[:TEXT_LINES]):
        draw.text((left, top + TILE + 8 + number * (FONT_SIZE + 5)), words, font=font, fill=INK)


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines of at most `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
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
