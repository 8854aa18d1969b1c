"""Pictures of one's own as the documents speak of them: drawn, in files, with a table and people's sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.catalog.encoders import write_backbone

COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 200), "yellow": (225, 200, 50)}
SHAPES = ("round", "square")
SIDE = 64
OLD, NEW, PAIRS = 300, 60, 900


def write_own_pictures(folder: Path, seed: int = 0) -> None:
    """`pictures` and `about.csv`, `more` and `more.csv`, `pairs.csv` and the backbone `mobilenet_v1`, in a folder."""
    random = np.random.default_rng(seed)
    kinds = [(list(COLOURS)[random.integers(4)], SHAPES[random.integers(2)], int(random.integers(10, 50)))
             for _ in range(OLD + NEW)]  # fmt: skip
    for called, rows in (("pictures", range(OLD)), ("more", range(OLD, OLD + NEW))):
        (folder / called).mkdir()
        lines = ["picture,colour,shape,width in cm,worker,remark"]
        for number in rows:
            colour, shape, width = kinds[number]
            draw_picture(colour, shape, width, random).save(folder / called / f"item-{number:03d}.png")
            lines.append(f"item-{number:03d}.png,{colour},{shape},{width / 2},somebody,number {number}")
        (folder / ("about.csv" if called == "pictures" else "more.csv")).write_text("\n".join(lines) + "\n")
    lines = ["target,candidate,sentence"]
    while len(lines) <= PAIRS:
        target, candidate = random.choice(OLD, 2, replace=False).tolist()
        lines.append(f"item-{target:03d}.png,item-{candidate:03d}.png,{said(kinds[target], kinds[candidate])}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    write_backbone(folder / "mobilenet_v1", "convolution")


def draw_picture(colour: str, shape: str, width: int, random: np.random.Generator) -> Image.Image:
    """One thing on white, a little off the middle."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    left, top = ((SIDE - width) // 2 + random.integers(-3, 4, size=2)).tolist()
    draw = ImageDraw.Draw(picture)
    (draw.ellipse if shape == "round" else draw.rectangle)((left, top, left + width, top + width), fill=COLOURS[colour])
    return picture


def said(target: tuple[str, str, int], candidate: tuple[str, str, int]) -> str:
    """What a person might say."""
    differences = [f"is {mine}" for mine, other in zip(target[:2], candidate[:2], strict=True) if mine != other]
    if abs(target[2] - candidate[2]) > 8:
        differences.append("is larger" if target[2] > candidate[2] else "is smaller")
    return " and ".join(differences) or "is about the same"
