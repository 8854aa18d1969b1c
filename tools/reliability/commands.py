"""Command lines run in forked processes, and what may be heard of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from dialog_env.cli import main
from tools.reliability.cases import fail
from tools.reliability.processes import Ended
from tools.reliability.refusals import complaint_of_text

TRACEBACK = "Traceback (most recent call last)"
BAR = re.compile(r"\d+%\||\d+(image|shoe|case|updates|turns|dialogs)?s? \[|\|\s+\d+/\d+ \[|it/s\]|\?\w*/s\]")
PARSER_STATUS = 2


def program(group: str, arguments: Iterable[object], folder: Path) -> Callable[[], None]:
    """What `dialog-retrieval group arguments` does in a folder, for a forked process."""

    def run() -> None:
        os.chdir(folder)
        sys.argv = ["dialog-retrieval", group, *map(str, arguments)]
        main()

    return run


def complaints(ended: Ended) -> list[str]:
    """Lines on standard error, without progress bars and warnings of libraries."""
    lines = [line.rpartition("\r")[2].strip() for line in ended.complained.splitlines()]
    return [line for line in lines if line and not BAR.search(line)]


def require_told(ended: Ended, names: Iterable[object], what: str) -> None:
    """Ends the case unless a command ended well, or with one sentence that names one of `names`."""
    if TRACEBACK in ended.complained or TRACEBACK in ended.printed:
        fail("traceback", f"{what}: {last(ended.complained)}")
    if ended.status < 0:
        fail("hang", f"{what} died of signal {-ended.status}")
    if ended.status in (0, PARSER_STATUS):
        return
    lines = complaints(ended)
    if len(lines) != 1:
        fail("unclear", f"{what}: {len(lines)} lines on standard error: {lines[-3:]}")
    problem = complaint_of_text(lines[0], names)
    if problem:
        fail("unclear", f"{what}: {problem}: {lines[0][:400]}")


def last(text: str) -> str:
    """Its last lines in one."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-4:])
