"""Keywords checked by the types that are declared for them: the one place where a wrong kind of value is refused."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from numbers import Integral
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

MOST = 2**31 - 1
"""Of whatever is counted."""

KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a dictionary with texts as keys",
    NoneType: "None",
}
"""What a message calls them; other types by their own names."""


def checked(declared: Callable[..., Any], **values: Any) -> dict[str, Any]:
    """Values of the types that a function or class declares for these keywords, numpy's scalars as Python's.

    A truth value is no number, and a number no truth value. What is declared as `Any`, or not at all, is let through.

    Raises:
        ValueError: one of another type.
    """
    source = declared.__init__ if isinstance(declared, type) else declared  # type: ignore[misc]
    try:
        hints = get_type_hints(source)
    except NameError:  # somebody else's, with types that were imported for type checkers only
        hints = {}
    return {name: _fitting(name, value, hints.get(name, Any)) for name, value in values.items()}


def checked_count(name: str, number: int, least: int = 1, most: int = MOST) -> int:
    """A whole number from `least` to `most`; ValueError, naming it, for another."""
    if not least <= number <= most:
        raise ValueError(f"{name} is {told(number)}; give a whole number from {least} to {most}")
    return number


def checked_choice(name: str, value: str, known: Any) -> str:
    """One of the names known; ValueError, listing them, for another."""
    if value not in known:
        raise ValueError(f"{name}={told(value)} is not known; choose one of {', '.join(map(str, known))}")
    return value


def checked_seed(seed: Any) -> int:
    """A seed as Python's integer; ValueError for anything but a whole number that is not negative."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"{told(seed)} is no seed; give integers from 0 up, or None")
    return int(seed)


def told(value: Any) -> str:
    """A value as a message tells it: short, and in one line."""
    return " ".join(reprlib.repr(value).split())


def _fitting(name: str, value: Any, declared: Any) -> Any:
    kinds = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    if isinstance(value, np.generic) and value.ndim == 0:
        value = value.item()
    if not any(_is_a(value, kind) for kind in kinds):
        wanted = " or ".join(KINDS.get(_plain(kind), f"a {getattr(kind, '__name__', kind)}") for kind in kinds)
        raise ValueError(f"{name} is {told(value)}; give {wanted}")
    return value


def _is_a(value: Any, kind: Any) -> bool:
    plain = _plain(kind)
    if plain is Any or not isinstance(plain, type):
        return True
    if plain is float:
        return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    if plain is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    return isinstance(value, plain) and (plain is bool or not isinstance(value, bool))


def _plain(kind: Any) -> Any:
    return get_origin(kind) or kind
