"""Features of descriptions by a local Hugging Face sentence encoder, and the cards that show them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dialog_env.catalog.sources.features import digest_of_files, load_network
from dialog_env.io.device import find_device
from dialog_env.io.reading import first_line, regular_file

TOKENS = 16
"""Of a description that become its region features."""
MOST_TOKENS = 64
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")

CARD = 160
"""Pixels of the side of a card."""
MARGIN = 10
FONT_SIZES = (20, 17, 14, 11, 8)
INK, PAPER = 34, 255


class SentenceEncoder:
    """A sentence encoder from a local folder in Hugging Face layout; nothing is fetched.

    Pooled features are the mean of the last hidden state over all tokens ("mean"), or its first token ("cls"), scaled
    to length 1. Region features are 16 of the tokens between the first and the last, in their order: of a shorter
    description some stand there several times, of a longer one the first 16.

    Raises:
        FileNotFoundError: the folder or a needed file is missing.
        ValueError: transformers cannot load it, or the pooling is no such.
        ImportError: transformers is not installed.
    """

    def __init__(self, folder: str | Path, device: str = "cpu", pooling: str = "mean") -> None:
        self.folder = Path(folder)
        remedy = "give a sentence encoder in Hugging Face layout"
        weights = [regular_file(path, "weights", remedy) for path in sorted(self.folder.glob("*.safetensors"))]
        tokenizer = [self.folder / name for name in TOKENIZER_FILES if (self.folder / name).is_file()]
        if not (self.folder / "config.json").is_file() or not weights or not tokenizer:
            raise FileNotFoundError(
                f"{self.folder} is no sentence encoder; it must hold config.json, tokenizer.json and *.safetensors"
            )
        if pooling not in ("mean", "cls"):
            raise ValueError(f"a sentence encoder has no pooling {pooling!r}; choose mean or cls")
        self.name, self.pooling = self.folder.resolve().name, pooling
        self._digests = {
            "weights sha256": digest_of_files(weights),
            "configuration sha256": digest_of_files([self.folder / "config.json"]),
            "tokenizer sha256": digest_of_files(tokenizer),
        }
        self._tokenizer = _load_tokenizer(self.folder)
        self.device = find_device(device)
        self.network = load_network(self.folder).float().eval().to(self.device)

    @property
    def description(self) -> dict[str, Any]:
        """What fixes the features, and that they are those of descriptions."""
        return {"name": self.name, "from": "descriptions", **self._digests, "pooling": self.pooling}

    @property
    def recipe(self) -> dict[str, Any]:
        """What tells it from other encoders."""
        return {"kind": "sentence", **self._digests}

    def prepare(self, content: bytes | NDArray[np.uint8]) -> str:
        """The text of a description."""
        return bytes(content).decode()

    def check(self, grid: int) -> None:
        """Reads a sentence; ValueError where the network cannot."""
        self(["a picture"], grid)

    def has_word(self, word: str) -> bool:
        """Whether it knows a word as a whole, and not only the pieces that it is made of."""
        return self._tokenizer.tokenize(word) == [word]

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], grid: int) -> tuple[Tensor, Tensor | None]:
        """Pooled (B, C) and, unless grid is 0, token features (B, 16, C) of B descriptions."""
        read = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
        ).to(self.device)
        try:
            hidden: Tensor = self.network(**read).last_hidden_state  # (B, T, C)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.folder} cannot read a sentence ({first_line(error)}); give a sentence encoder, such as "
                "all-MiniLM-L6-v2"
            ) from error
        mask = read["attention_mask"].unsqueeze(2)  # (B, T, 1)
        pooled = (hidden * mask).sum(1) / mask.sum(1) if self.pooling == "mean" else hidden[:, 0]
        pooled = torch.nn.functional.normalize(pooled)
        if not grid:
            return pooled, None
        words = (mask.sum(1) - 2).clamp(min=1)  # (B, 1), without the first and the last token
        places = torch.arange(TOKENS, device=self.device)
        places = 1 + torch.where(words < TOKENS, places * words // TOKENS, places)  # (B, TOKENS)
        return pooled, hidden.gather(1, places.unsqueeze(2).expand(-1, -1, hidden.shape[2]))


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises almost anything
        raise ValueError(
            f"{folder} has no tokenizer that can be loaded ({first_line(error)}); give a sentence encoder in Hugging "
            "Face layout"
        ) from error


def card(text: str) -> NDArray[np.uint8]:
    """A PNG file, (M,) uint8, of a card with a description on it, in letters as large as fit."""
    for size in FONT_SIZES:
        font = _font(size)
        lines = _wrapped(text, font, CARD - 2 * MARGIN)
        if len(lines) * (size + 4) <= CARD - 2 * MARGIN:
            break
    picture = Image.new("L", (CARD, CARD), PAPER)
    draw = ImageDraw.Draw(picture)
    top = max(MARGIN, (CARD - len(lines) * (size + 4)) // 2)
    for number, line in enumerate(lines):
        draw.text((MARGIN, top + number * (size + 4)), line, font=font, fill=INK)
    draw.rectangle((0, 0, CARD - 1, CARD - 1), outline=200)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return np.frombuffer(file.getvalue(), np.uint8)


@lru_cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines
