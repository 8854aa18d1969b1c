"""The sources of catalogues, by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SOURCES = {
    "products": "dialog_env.catalog.sources.products:Products",
    "shoes": "dialog_env.catalog.sources.shoes:Shoes",
    "synthetic": "dialog_env.catalog.sources.drawn:Drawn",
}
"""Name to `module:dataclass`: its fields are the options of `build <name>`, `build()` writes and gives a catalogue."""


def source(name: str) -> Any:
    """The dataclass of a source; ValueError for an unknown name."""
    if name not in SOURCES:
        raise ValueError(f"no source {name!r}; choose one of {', '.join(SOURCES)}")
    module, _, attribute = SOURCES[name].partition(":")
    return getattr(import_module(module), attribute)
