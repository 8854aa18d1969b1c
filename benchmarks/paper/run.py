"""Trains and evaluates every arm with every seed; what is there already is not made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.jobs import Plan, Task, Way, run_tasks
from dialog_env.benchmarks.paper.arms import FEEDBACK, LEARNERS, Arm
from dialog_env.benchmarks.results import Result

Results = dict[Arm, list[Result]]


def run(
    plan: Plan,
    seeds: Sequence[int],
    feedback_seeds: Sequence[int] | None = None,
    *,
    way: Way | None = None,
    here: str = "cpu",
) -> tuple[Results, dict[Arm, str], dict[str, str]]:
    """The results of all arms, seeds ascending, why arms were left out, and which runs failed, with the reason.

    An arm is left out where the catalogue has nothing for its user to tell, such as graded attributes, or where one of
    its runs failed.

    Args:
        plan: the user of its suite is the one of the learners and the one who speaks.
        seeds: of training.
        feedback_seeds: of training with the kinds of feedback; the same where None.
        way: how the runs are done; one after the other where None.
        here: device of what this process does itself.

    Raises:
        ValueError: no seeds, or a user of the suite that cannot be made.
    """
    if not seeds:
        raise ValueError("no training seeds were given; give one or more after --seeds")
    experiments: dict[Plan, Experiment] = {}
    tasks: dict[Arm, list[Task]] = {}
    in_order: list[Task] = []
    missing: dict[Arm, str] = {}
    for arms, their_seeds in ((LEARNERS, seeds), (FEEDBACK, seeds if feedback_seeds is None else feedback_seeds)):
        for seed, arm in product(sorted(set(their_seeds)), arms):
            theirs = replace(plan, suite=replace(plan.suite, simulator=arm.user or plan.suite.simulator))
            try:
                if theirs not in experiments:
                    experiments[theirs] = theirs.open(here)
            except ValueError as error:
                if not arm.user:
                    raise
                missing[arm] = str(error)
                continue
            in_order.append(Task(theirs, arm.agent, seed))
            tasks.setdefault(arm, []).append(in_order[-1])
    done, failed = run_tasks(in_order, experiments, way)
    results: Results = {}
    for arm, its_tasks in tasks.items():
        problems = [failed[task] for task in its_tasks if task in failed]
        if problems:
            missing[arm] = problems[0]
        else:
            results[arm] = [done[task] for task in its_tasks]
    return results, missing, {f"{task.name} with {task.plan.suite.simulator}": why for task, why in failed.items()}
