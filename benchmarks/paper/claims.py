"""What is claimed of the learners, on whatever suite they were run: who beats whom."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product

from dialog_env.benchmarks import report
from dialog_env.benchmarks.results import Result
from dialog_env.benchmarks.tables import Table

CLAIMS = (
    ("policy_improvement", "supervised"),
    ("policy_improvement", "continued"),
    ("policy_improvement", "policy_improvement:nearest=1"),
    ("policy_improvement", "policy_improvement:contrast=none"),
    ("policy_improvement@paper", "continued@paper"),
    ("policy_improvement@paper", "continued@paper:negatives=5"),
    ("policy_improvement@paper", "policy_improvement@paper:contrast=none"),
    ("policy_improvement@paper", "scst@paper"),
    ("policy_improvement@paper", "scst@tuned"),
    ("scst@paper", "continued@paper"),
    ("scst@tuned", "continued@paper"),
    ('unseen:inner=continued@paper,settings={"epochs": 0}', "supervised@paper"),
)
"""Pairs of agents: the first is said to be better, or has to be shown to be, than the second."""

OURS, BEATEN = "belief", ("policy_improvement@paper", "supervised@paper")
"""Our own agent, in whatever settings, is said to be better than these of the paper."""


def claimed(groups: Mapping[str, Sequence[Result]]) -> Table | None:
    """The comparisons whose two sides were both run with the same seeds; None where there is none."""
    pairs: dict[tuple[str, ...], tuple[report.Group, report.Group]] = {}
    ours = [agent for agent in groups if re.split("[:@]", agent)[0] == OURS]
    for better, than in (*CLAIMS, *product(ours, BEATEN)):
        if better in groups and than in groups:
            seeds = [{result.run.seed for result in groups[agent]} for agent in (better, than)]
            shared = seeds[0] & seeds[1]
            sides = [[each for each in groups[agent] if each.run.seed in shared] for agent in (better, than)]
            if shared:
                pairs[better, than] = sides[0], sides[1]
    return report.compared(pairs, ["is better", "than"]) if pairs else None
