"""New pictures, or descriptions, in the feature space of a catalogue."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dialog_env.catalog.images import MOST_BYTES, decode_picture, letterbox
from dialog_env.catalog.sources.encoders import open_encoder_of
from dialog_env.catalog.space import FeatureSpace
from dialog_env.io.reading import read_bytes


class Embedded(NamedTuple):
    """The features of one picture or description.

    Attributes:
        pooled: (D,) float32.
        regions: (R, C) float32, or None where the catalogue has none.
    """

    pooled: NDArray[np.float32]
    regions: NDArray[np.float32] | None


class Embedder:
    """Puts pictures, or descriptions, into a feature space; `Catalog.embedder` makes one.

    Args:
        space: of a catalogue.
        encoder: folder of the encoder that the catalogue was built with; none for drawn shoes.
        device: where it runs.

    Raises:
        FileNotFoundError: the encoder is missing.
        ValueError: the encoder is another.
    """

    def __init__(self, space: FeatureSpace, encoder: str | Path | None = None, device: str = "cpu") -> None:
        self.space, self._device = space, device
        self._kind = str(space.encoder.get("kind", ""))
        self._encoder = None
        if self._kind != "synthetic":
            if encoder is None:
                raise ValueError(f"feature space {space} needs its encoder; give the folder that it was built with")
            self._encoder = open_encoder_of(space, self._kind, Path(encoder), device, "the catalogue")

    def __call__(self, item: str | Path | bytes | NDArray[np.uint8]) -> Embedded:
        """The features of one item.

        Args:
            item: a picture: its file, the content of that, or its pixels (H, W, 3) uint8 RGB. For a catalogue from
                descriptions, a sentence.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be decoded, or is none of these.
        """
        if self._kind == "sentence":
            if not isinstance(item, str) or not item.strip():
                raise ValueError(f"{item!r} is no description; give a sentence")
            return self._embedded(item.encode())
        content = _content(item)
        if self._encoder is not None:
            return self._embedded(content)
        from dialog_env.catalog import synthetic

        picture = decode_picture(content, "the picture", "give another")
        pooled, regions = synthetic.extract(letterbox(picture, (synthetic.DEFAULT_SIZE,) * 2)[None], self._device)
        return Embedded(pooled[0], regions[0])

    def _embedded(self, content: bytes) -> Embedded:
        assert self._encoder is not None
        grid = int(self.space.recipe.get("grid", 0))
        pooled, regions = self._encoder([self._encoder.prepare(content)], grid)
        placed = self.space.place(pooled.float().cpu().numpy())[0]
        if regions is None:
            return Embedded(placed, None)
        rounded = regions.half().cpu().numpy()  # as extraction keeps them
        return Embedded(placed, self.space.place_regions(rounded)[0].astype(np.float32))


def _content(item: str | Path | bytes | NDArray[np.uint8]) -> bytes:
    """The content of a picture's file."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, str | Path):
        return read_bytes(item, "picture", "give the file of one", limit=MOST_BYTES)
    pixels = np.asarray(item)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels of type {pixels.dtype} and shape {pixels.shape} are no picture; give (H, W, 3) uint8")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
