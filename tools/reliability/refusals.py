"""Whether an error is a clear refusal: raised on purpose, one sentence, naming what is wrong."""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import gymnasium

from tools.reliability.cases import fail

CLEAR = (ValueError, OSError, RuntimeError, TypeError, ImportError, gymnasium.error.Error)
NEVER = (UnicodeError, RecursionError, NotImplementedError)
LONGEST = 1500
"""Characters of a message that is still one sentence: lists of known names can be long."""
ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(str(ROOT / name) for name in ("dialog_env", "agents", "simulators", "benchmarks"))
BORROWED = ("gymnasium", "tyro")
"""Packages whose own refusals of what was given to them will do."""


@dataclass(frozen=True)
class Answer:
    """What a call gave: a value, or an error."""

    value: Any = None
    error: BaseException | None = None


def attempt(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Answer:
    """Calls a function and keeps what comes of it."""
    try:
        return Answer(function(*arguments, **keywords))
    except MemoryError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        return Answer(error=error)


def require_clear(error: BaseException, names: Iterable[object], what: str) -> None:
    """Ends the case unless the error is a clear refusal that names one of `names`."""
    problem = complaint(error, names)
    if problem:
        fail("unclear", f"{what}: {problem}: {type(error).__name__}: {str(error)[:400]!r}")


def complaint(error: BaseException, names: Iterable[object]) -> str:
    """Why an error is no clear refusal; empty where it is one."""
    message = str(error)
    if not isinstance(error, CLEAR) or isinstance(error, NEVER):
        return f"a {type(error).__name__} escaped"
    problem = complaint_of_text(message, names)
    if problem:
        return problem
    named = [str(name) for name in names]
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and any(n in message for n in named):
        return ""
    if not on_purpose(error.__traceback__):
        return "it was raised by chance, far from the border"
    return ""


def complaint_of_text(message: str, names: Iterable[object]) -> str:
    """Why a message is not one sentence that names one of `names`; empty where it is."""
    lines = message.strip().splitlines()
    if not lines:
        return "its message is empty"
    if len(lines) > 1:
        return f"its message has {len(lines)} lines"
    if len(message) > LONGEST:
        return f"its message has {len(message)} characters"
    named = [str(name) for name in names if str(name)]
    if named and not any(name in message for name in named):
        return f"it names none of {named}"
    return ""


def on_purpose(trace: TracebackType | None) -> bool:
    """Whether an error comes from a `raise` of this project, or of a package that may refuse in its stead."""
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    file, code = trace.tb_frame.f_code.co_filename, trace.tb_frame.f_code.co_code
    if not file.startswith(OURS) and not any(f"/{package}/" in file for package in BORROWED):
        return False
    return dis.opname[code[trace.tb_lasti]] == "RAISE_VARARGS"
