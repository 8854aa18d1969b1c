"""Settings of agents: dataclasses from plain dictionaries."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any


def arguments(kind: type[Any], settings: dict[str, Any]) -> Any:
    """An instance of dataclass `kind`; a dictionary stands for a dataclass within. ValueError for unknown names."""
    known = {each.name: each for each in fields(kind)}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"no setting {unknown[0]!r}; known are {', '.join(known) or 'none'}")
    given = {}
    for name, value in settings.items():
        inner = known[name].default_factory
        given[name] = arguments(inner, value) if isinstance(value, dict) and is_dataclass(inner) else value
    return kind(**given)
