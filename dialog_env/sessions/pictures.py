"""Pictures of a gallery as files for a browser, and in words for those who see little."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image

from dialog_env.catalog import Catalog

SIZE = 256
"""Pixels of a side."""
MOST_KEPT = 4_096
"""Encoded pictures that are kept."""


class Pictures:
    """The pictures of a gallery.

    Args:
        gallery: with pictures or without.
    """

    def __init__(self, gallery: Catalog) -> None:
        self.gallery = gallery
        self.encoded = lru_cache(MOST_KEPT)(self._encoded)

    def _encoded(self, position: int) -> bytes:
        """A PNG; a plain one where the gallery has no pictures."""
        buffer = io.BytesIO()
        if self.gallery.image_size is None:
            picture = Image.new("RGB", (SIZE, SIZE), (230, 230, 235))
        else:
            picture = Image.fromarray(self.gallery.image(position, (SIZE, SIZE)))
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    def in_words(self, position: int) -> str:
        """What the catalogue knows of an image: its values, without those that say that there is none."""
        table = self.gallery.attributes
        if table is None:
            return str(self.gallery.ids[position])
        said = []
        for name, values, code in zip(table.categorical_names, table.values, table.categorical[position], strict=True):
            if code >= 0 and values[code] != "none":
                said.append(f"{name} {values[code]}")
        return ", ".join(said) or str(self.gallery.ids[position])
