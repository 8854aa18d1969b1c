"""Trains and evaluates every arm with every seed; what is there already is not made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.paper.arms import FEEDBACK, LEARNERS, Arm
from dialog_env.benchmarks.results import Result
from dialog_env.benchmarks.suites import Suite

Results = dict[Arm, list[Result]]


def run(
    suite: Suite,
    output: Path,
    seeds: Sequence[int],
    feedback_seeds: Sequence[int] | None = None,
    *,
    device: str = "cpu",
) -> tuple[Results, dict[Arm, str]]:
    """The results of all arms, seeds ascending, and why arms were left out.

    An arm is left out where the catalogue has nothing for its user to tell, such as graded attributes.

    Args:
        suite: its user is the one of the learners and the one who speaks.
        output: folder of the results.
        seeds: of training.
        feedback_seeds: of training with the kinds of feedback; the same where None.
        device: where everything lives.

    Raises:
        ValueError: no seeds, or a user of the suite that cannot be made.
    """
    if not seeds:
        raise ValueError("no training seeds were given; give one or more after --seeds")
    experiments: dict[str, Experiment] = {}
    results: Results = {}
    missing: dict[Arm, str] = {}
    for arms, their_seeds in ((LEARNERS, seeds), (FEEDBACK, seeds if feedback_seeds is None else feedback_seeds)):
        for seed, arm in product(sorted(set(their_seeds)), arms):
            user = arm.user or suite.simulator
            try:
                if user not in experiments:
                    experiments[user] = Experiment(replace(suite, simulator=user), output, device=device)
            except ValueError as error:
                if not arm.user:
                    raise
                missing[arm] = str(error)
                continue
            experiment = experiments[user]
            results.setdefault(arm, []).append(experiment.run(arm.agent, seed))
    return results, missing
