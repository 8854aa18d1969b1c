"""Runs in processes of this machine, several at once."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.jobs.progress import followed
from dialog_env.benchmarks.jobs.task import Plan, Task


@dataclass(frozen=True)
class Processes:
    """One new process a run, with one thread.

    Args:
        jobs: so many at once.
    """

    jobs: int

    def run(self, tasks: Sequence[Task], experiments: Mapping[Plan, Experiment]) -> Iterator[tuple[Task, str]]:
        """See `dialog_env.benchmarks.jobs.Way`."""
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = {pool.submit(_in_process, task): task for task in tasks}
            try:
                yield from followed(
                    futures,
                    lambda handles, seconds: wait(handles, seconds, FIRST_COMPLETED).done,
                    lambda future: future.result(),
                )
            except BaseException:
                for future in futures:
                    future.cancel()
                raise  # the processes have heard Ctrl-C as well


def _in_process(task: Task) -> str:
    """Runs one task in a process of its own; gives what was wrong, or nothing."""
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(task,), daemon=True)
    process.start()
    process.join()
    if process.exitcode == 0:
        return ""
    lines = task.log.read_text(errors="replace").splitlines() if task.log.exists() else []
    last = next((line for line in reversed(lines) if line.startswith("error: ")), "")
    return f"{last.removeprefix('error: ') or f'its process ended with status {process.exitcode}'} (see {task.log})"


def _work(task: Task) -> None:
    try:
        sys.exit(bool(task.perform_apart()))
    except KeyboardInterrupt:
        sys.exit(130)
