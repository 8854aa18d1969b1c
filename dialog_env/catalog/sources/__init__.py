"""The sources of catalogues, by name."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from dialog_env.registry import Parts

SOURCES = Parts(
    "source of catalogues",
    "sources",
    {
        "fashion_iq": "dialog_env.catalog.sources.fashion_iq:FashionIq",
        "features": "dialog_env.catalog.sources.arrays:Features",
        "folder": "dialog_env.catalog.sources.folder:Folder",
        "products": "dialog_env.catalog.sources.products:Products",
        "shoes": "dialog_env.catalog.sources.shoes:Shoes",
        "synthetic": "dialog_env.catalog.sources.drawn:Drawn",
    },
    required=("build",),
)
"""A source is a dataclass: its fields are the options of `catalog build <name>`, and `build()` writes the catalogue to
its field `output` and gives it."""


def source(name: Any) -> Any:
    """The dataclass of a source; ValueError for another name or class."""
    found = SOURCES.find(name)
    if not (isinstance(found, type) and is_dataclass(found) and "output" in found.__dataclass_fields__):
        raise ValueError(
            f"{name!r} is no source of catalogues; give a dataclass with a field 'output' and a method 'build'"
        )
    return found
