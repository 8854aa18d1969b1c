"""Runs of agents; one that fails is reported and does not stop the rest.

A plan can be run in three ways, each a file here: one after the other (`serial`), in processes of this machine
(`processes`), or as tasks of Ray on this machine or many (`cluster`). The results are the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Protocol

from tqdm import tqdm

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.jobs.serial import Serial
from dialog_env.benchmarks.jobs.task import Plan, Task
from dialog_env.benchmarks.results import Result
from dialog_env.io.commands import sentence

__all__ = ["Plan", "Task", "Way", "refuse_failed", "run_all", "run_tasks"]


class Way(Protocol):
    """How tasks are run."""

    def run(self, tasks: Sequence[Task], experiments: Mapping[Plan, Experiment]) -> Iterator[tuple[Task, str]]:
        """Runs all, in any order; gives each as it ends, with what was wrong or nothing.

        Args:
            tasks: none of which has a result yet.
            experiments: of their plans, open in this process.
        """


def run_all(
    plan: Plan, experiment: Experiment, texts: Sequence[str], seeds: Sequence[int], way: Way | None = None
) -> tuple[list[Result], dict[str, str]]:
    """The results of all agents with all seeds that went well, in this order, and what was wrong with the others.

    Seeds are of training: an agent that is not trained is run with the first one alone.

    Args:
        plan: what is run.
        experiment: of it, open.
        texts: agents as on the command line.
        seeds: of training.
        way: how; one after the other where None.
    """
    trainable = {text: experiment.agent(text, seeds[0]).trainable for text in texts}
    tasks = [Task(plan, text, seed) for text, seed in product(texts, seeds) if trainable[text] or seed == seeds[0]]
    done, failed = run_tasks(tasks, {plan: experiment}, way)
    return list(done.values()), {task.name: problem for task, problem in failed.items()}


def run_tasks(
    tasks: Sequence[Task], experiments: Mapping[Plan, Experiment], way: Way | None = None
) -> tuple[dict[Task, Result], dict[Task, str]]:
    """The results of all tasks that went well, in their order, and what was wrong with the others.

    Args:
        tasks: what is run; one that has a result already is not run again.
        experiments: of their plans, open.
        way: how; one after the other where None.
    """
    tasks = list(dict.fromkeys(tasks))
    failed: dict[Task, str] = {}
    left = []
    for task in tasks:
        try:
            found = experiments[task.plan].find(task.agent, task.seed)
        except (ValueError, OSError) as error:
            if len(tasks) == 1:
                raise
            _report(failed, task, sentence(error))
        else:
            if found is None:
                left.append(task)
            else:
                print(f"{found.run.name}: already there, not run again")
    for task, problem in (way or Serial()).run(left, experiments):
        if problem:
            _report(failed, task, problem)
    done = {}
    for task in tasks:
        if task not in failed:
            result = experiments[task.plan].find(task.agent, task.seed)
            if result is None:
                _report(failed, task, f"it went well and left no result in {task.plan.output} that can be seen here")
            else:
                done[task] = result
    return done, failed


def refuse_failed(failed: Mapping[str, str]) -> None:
    """ValueError, naming each run that failed and why, where there are any."""
    if failed:
        raise ValueError(f"{len(failed)} runs failed: " + "; ".join(f"{name}: {why}" for name, why in failed.items()))


def _report(failed: dict[Task, str], task: Task, problem: str) -> None:
    failed[task] = problem
    tqdm.write(f"{task.name} failed: {problem}")
