"""Tables, verdicts and figures of the two claims."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.paper.arms import CLAIMS, FEEDBACK, LEARNERS, POLICY_IMPROVEMENT, RELEASED_POLICY_IMPROVEMENT, Arm
from benchmarks.paper.run import Results
from benchmarks.report import Groups
from benchmarks.results import Result
from dialog_env.estimate import Estimate
from dialog_env.files import write_atomically


def verdict(difference: Estimate) -> str:
    """What an interval says of the claim that the difference is above zero."""
    if not difference.excludes_zero:
        return "not shown"
    return "yes" if difference.low > 0 else "no, the opposite"


def groups_of(results: Results, arms: Sequence[Arm]) -> Groups:
    """Label to results of those arms that were run."""
    return {arm.label: results[arm] for arm in arms if arm in results}


def claims(results: Results) -> str:
    """Markdown: the paired difference of every comparison at the last turn and in the mean over turns."""
    some = next(iter(results.values()))[0]
    last = f"percentile, turn {some.record.turns}"
    lines = [
        f"| is better | than | {last} | shown | percentile, mean over turns | shown |",
        "|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        if claim.better in results and claim.than in results:
            pair = report.difference(results[claim.better], results[claim.than])
            cells = [f"{each:+.2f} | {verdict(each)}" for each in pair]
            lines.append(f"| {claim.better.label} | {claim.than.label} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def look_ahead(results: Results) -> str:
    """Markdown: what the look-ahead itself found while training, by seed and in the mean."""
    lines = ["| look-ahead while training | best of K less nearest, percentile points a turn |", "|---|---|"]
    for arm in (POLICY_IMPROVEMENT, RELEASED_POLICY_IMPROVEMENT):
        if arm in results:
            gains = [np.mean([row["gain"] for row in result.training["history"]]) for result in results[arm]]
            by_seed = ", ".join(f"{gain:.2f}" for gain in gains)
            lines.append(f"| {arm.label} | {np.mean(gains):.2f} (by seed: {by_seed}) |")
    return "\n".join([*lines, ""])


def records(results: Results) -> list[dict[str, Any]]:
    """What was run, its scores and where they come from, JSON-able; what each epoch did is left out."""
    return [
        {
            "arm": arm.label,
            "run": asdict(result.run),
            "scores": result.scores(),
            "training": {name: value for name, value in result.training.items() if name != "history"},
            "provenance": result.provenance,
        }
        for arm, group in results.items()
        for result in group
    ]


def write(results: Results, missing: dict[Arm, str], output: Path) -> str:
    """Writes `table.md`, `results.json`, `percentile.png` and `feedback.png` into the folder; returns the tables."""
    learners, feedback = groups_of(results, LEARNERS), groups_of(results, FEEDBACK)
    everything: list[Result] = [result for group in results.values() for result in group]
    report.check_alike(everything, names=("gallery", "evaluation_seed", "turns", "ties"))
    parts = [
        "## Learners, one user\n",
        report.table_of(learners),
        "## Kinds of feedback, one learner\n",
        report.table_of(feedback) if feedback else "Not run.\n",
        *(f"Left out: {arm.label} ({reason}).\n" for arm, reason in missing.items()),
        "## Claims\n",
        claims(results),
        "Paired by seed and dialog, 95% bootstrap intervals over dialogs and training seeds.\n",
        look_ahead(results),
    ]
    text = "\n".join(parts)
    write_atomically(output / "table.md", text.encode())
    write_atomically(output / "results.json", json.dumps(records(results), indent=1).encode())
    run = everything[0].run
    catalog = Path(run.catalog).stem
    title = f"{catalog}, learners; user: {run.user}"
    report.plot_groups(learners, output / "percentile.png", title, from_turn=1, leave_out=("random", "greedy"))
    if feedback:
        report.plot_groups(feedback, output / "feedback.png", f"{catalog}, kinds of feedback; language: {run.user}")
    return text
