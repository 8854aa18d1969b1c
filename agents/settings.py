"""Settings of agents: dataclasses from plain dictionaries."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np
from pydantic import PydanticUndefinedAnnotation, PydanticUserError

from dialog_env.io.reading import first_line, understand

SINCE: dict[str, Any] = {"unknown": 0.0, "asking_updates": 0}
"""Settings that came later, and what they were before: told of a training only where they are something else, so that
one from before is found again."""


def settings_from(kind: type[Any], settings: dict[str, Any]) -> Any:
    """An instance of dataclass `kind`; a dictionary stands for a dataclass within.

    Raises:
        ValueError: unknown names, values of other types than the fields have, or ones that the dataclass refuses.
    """
    settings = of_today(kind, settings)
    _refuse_unknown(kind, settings)
    try:
        return understand(json.dumps(settings, default=_plain), kind)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise ValueError(
            f"{kind.__name__} cannot be filled ({first_line(error)}); give its fields built-in types"
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"the settings cannot be used: {error}") from error


def _refuse_unknown(kind: type[Any], settings: dict[str, Any]) -> None:
    known = {each.name: each for each in fields(kind)}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"no setting {unknown[0]!r}; known are {', '.join(known) or 'no settings'}")
    for name, value in settings.items():
        inner = known[name].default_factory
        if isinstance(inner, type) and is_dataclass(inner) and isinstance(value, dict):
            _refuse_unknown(inner, value)


def _plain(value: Any) -> Any:
    """What JSON can hold instead of a value."""
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{value!r} is no number, text, list or dictionary")


def of_today(kind: type[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings under their present names; `kind.former_names`, where it has any, says what some were called before."""
    former = getattr(kind, "former_names", {})
    return {former.get(name, name): value for name, value in settings.items()}


def as_told(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings, and those within, without what came later and is as it was before."""
    return {
        name: as_told(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name not in SINCE or value != SINCE[name]
    }
