"""A sheet of pairs: what the user has in mind, what is shown, and what captioner and describer say of it."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from dialog_env.catalog import Catalog
from dialog_env.world.rendering import FAINT, GREEN, INK, MARGIN, PAPER, wrap

TILE = 150
BETWEEN_PAIRS = 40
COLUMNS = 3
FONT_SIZE = 17
TITLE_SIZE = 14
LINES = 2
TITLES = ("in mind", "shown")


def pair_sheet(
    gallery: Catalog,
    targets: Sequence[int],
    candidates: Sequence[int],
    said: Sequence[tuple[str, Sequence[str]]],
    columns: int = COLUMNS,
) -> Image.Image:
    """Pairs side by side, target left and candidate right, with a sentence of each speaker below.

    Args:
        gallery: where the pictures are.
        targets: P gallery positions of the images in mind.
        candidates: P gallery positions of the images shown.
        said: speakers by name, with P sentences each; the first one's are in ink, the others' are fainter.
        columns: pairs in a row.

    Raises:
        ValueError: a catalogue without pictures.
    """
    if gallery.image_size is None:
        raise ValueError(f"catalogue {gallery.name!r} has no pictures; build it from images to see pairs")
    line = FONT_SIZE + 5
    width = 2 * TILE + MARGIN
    height = TITLE_SIZE + 6 + TILE + 8 + len(said) * (TITLE_SIZE + 5 + LINES * line + 4) + MARGIN
    rows = -(-len(targets) // columns)
    size = (2 * MARGIN + columns * width + (columns - 1) * BETWEEN_PAIRS, MARGIN + rows * (height + MARGIN))
    canvas = Image.new("RGB", size, PAPER)
    for number, pair in enumerate(zip(targets, candidates, strict=True)):
        left = MARGIN + (number % columns) * (width + BETWEEN_PAIRS)
        top = MARGIN + (number // columns) * (height + MARGIN)
        sentences = [(name, sentences[number]) for name, sentences in said]
        _pair(canvas, (left, top), gallery, pair, sentences)
    return canvas


def _pair(
    canvas: Image.Image,
    corner: tuple[int, int],
    gallery: Catalog,
    pair: tuple[int, int],
    sentences: Sequence[tuple[str, str]],
) -> None:
    draw = ImageDraw.Draw(canvas)
    title, text = ImageFont.load_default(TITLE_SIZE), ImageFont.load_default(FONT_SIZE)
    left, top = corner
    for side, (position, colour) in enumerate(zip(pair, (GREEN, FAINT), strict=True)):
        x, y = left + side * (TILE + MARGIN), top + TITLE_SIZE + 6
        draw.text((x, top), TITLES[side], font=title, fill=colour)
        canvas.paste(Image.fromarray(gallery.image(int(position), (TILE, TILE))), (x, y))
        draw.rectangle((x - 1, y - 1, x + TILE, y + TILE), outline=colour, width=2 if side == 0 else 1)
    y = top + TITLE_SIZE + 6 + TILE + 8
    for rank, (name, sentence) in enumerate(sentences):
        draw.text((left, y), name, font=title, fill=FAINT)
        y += TITLE_SIZE + 5
        for number, words in enumerate(wrap(f"“{sentence}”", text, 2 * TILE + MARGIN)[:LINES]):
            draw.text((left, y + number * (FONT_SIZE + 5)), words, font=text, fill=FAINT if rank else INK)
        y += LINES * (FONT_SIZE + 5) + 4
