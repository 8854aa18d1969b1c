"""Runs that are at work elsewhere, followed in one place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from dialog_env.benchmarks.jobs.task import Task

EVERY = 1.0
"""Seconds between two looks."""
TOLD = 3
"""So many of the runs at work are told of in the line of the bar."""
TAIL_BYTES = 512
TAIL_LETTERS = 40

Handle = TypeVar("Handle")


def followed(
    tasks: Mapping[Handle, Task],
    wait: Callable[[Sequence[Handle], float], Collection[Handle]],
    outcome: Callable[[Handle], str],
) -> Iterator[tuple[Task, str]]:
    """Every task as it ends, with what was wrong or nothing, behind one bar that tells what each of the others does.

    Args:
        tasks: handle of a run at work or waiting to its task.
        wait: those of the handles that have ended; waits up to so many seconds where there are none.
        outcome: of a handle that has ended.
    """
    pending, told = dict(tasks), ""
    before = {task.log: _size(task) for task in tasks.values()}  # what an earlier run of the same has left
    with tqdm(total=len(pending), desc="runs", unit="run", dynamic_ncols=True) as bar:
        while pending:
            for handle in wait(list(pending), EVERY):
                bar.update()
                yield pending.pop(handle), outcome(handle)
            told, shown = at_work(pending.values(), before), told
            bar.set_postfix_str(told, refresh=told != shown)


def at_work(tasks: Collection[Task], before: Mapping[Path, int]) -> str:
    """How many of the tasks have begun, and what the first of them said last.

    Args:
        tasks: that have not ended.
        before: bytes of their logs before they began.
    """
    begun = [task for task in tasks if _size(task) > before.get(task.log, 0)]
    told = [f"{task.name}: {_last_words(task)}".removesuffix(": ") for task in begun[:TOLD]]
    return "; ".join([f"{len(begun)} at work", *told])


def _size(task: Task) -> int:
    try:
        return task.log.stat().st_size
    except OSError:
        return 0


def _last_words(task: Task) -> str:
    try:
        with task.log.open("rb") as file:
            file.seek(max(0, task.log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").replace("\r", "\n").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:TAIL_LETTERS]
