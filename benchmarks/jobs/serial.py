"""Runs one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.jobs.task import Plan, Task
from dialog_env.io.commands import sentence


class Serial:
    """Shows the progress of the run at work; a plan of one run ends with the error of it."""

    def run(self, tasks: Sequence[Task], experiments: Mapping[Plan, Experiment]) -> Iterator[tuple[Task, str]]:
        """See `dialog_env.benchmarks.jobs.Way`."""
        for task in tasks:
            try:
                task.perform(experiments[task.plan])
            except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
                if len(tasks) == 1:
                    raise
                yield task, sentence(error)
            else:
                yield task, ""
