"""Tables, verdicts and figures of the two claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dialog_env.benchmarks import report
from dialog_env.benchmarks.paper import scores
from dialog_env.benchmarks.paper.arms import (
    CLAIMS,
    FEEDBACK,
    LEARNERS,
    POLICY_IMPROVEMENT,
    RELEASED_POLICY_IMPROVEMENT,
    Arm,
)
from dialog_env.benchmarks.paper.run import Results
from dialog_env.benchmarks.paper.scores import Scores
from dialog_env.benchmarks.report import Group
from dialog_env.benchmarks.tables import markdown
from dialog_env.io.atomic import write_atomically

Compared = Mapping[Arm, Group]
"""The results of every arm that was run, or their scores."""


def groups_of(results: Compared, arms: Sequence[Arm]) -> dict[str, Group]:
    """Label to results of those arms that were run."""
    return {arm.label: results[arm] for arm in arms if arm in results}


def claims(results: Compared) -> str:
    """Markdown: the paired difference of every comparison, with verdicts that are corrected together."""
    pairs: dict[tuple[str, ...], tuple[Group, Group]] = {
        (claim.better.label, claim.than.label): (results[claim.better], results[claim.than])
        for claim in CLAIMS
        if claim.better in results and claim.than in results
    }
    return markdown(report.compared(pairs, ["is better", "than"]))


def look_ahead(kept: Mapping[Arm, Sequence[Scores]]) -> str:
    """Markdown: what the look-ahead itself found while training, by seed and in the mean."""
    lines = ["| look-ahead while training | best of K less nearest, percentile points a turn |", "|---|---|"]
    for arm in (POLICY_IMPROVEMENT, RELEASED_POLICY_IMPROVEMENT):
        if arm in kept:
            gains = [each.training["gain"] for each in kept[arm]]
            by_seed = ", ".join(f"{gain:.2f}" for gain in gains)
            lines.append(f"| {arm.label} | {np.mean(gains):.2f} (by seed: {by_seed}) |")
    return "\n".join([*lines, ""])


def write(results: Results, missing: Mapping[Arm, str], output: Path) -> str:
    """Writes `table.md`, `results.json`, `turns.png` and `feedback.png` into the folder; returns the tables."""
    return _write_tables(results, scores.write(results, output), missing, output)


def rewrite(output: Path) -> str:
    """The same from the `results.json` in the folder: scores are all it has, so that intervals are over seeds alone.

    Raises:
        FileNotFoundError: there is none.
        ValueError: something else lies there.
    """
    kept = scores.read(output)
    return _write_tables(kept, kept, {}, output)


def _write_tables(
    results: Compared, kept: Mapping[Arm, Sequence[Scores]], missing: Mapping[Arm, str], output: Path
) -> str:
    learners, feedback = groups_of(results, LEARNERS), groups_of(results, FEEDBACK)
    everything = [each for group in results.values() for each in group]
    report.check_alike(everything, names=("gallery", "evaluation_seed", "turns", "ties"))
    parts = [
        "## Learners, one user\n",
        _markdown(learners),
        "## Kinds of feedback, one learner\n",
        _markdown(feedback) if feedback else "Not run.\n",
        *(f"Left out: {arm.label} ({reason}).\n" for arm, reason in missing.items()),
        "## Claims\n",
        claims(results),
        look_ahead(kept),
    ]
    text = "\n".join(parts)
    write_atomically(output / "table.md", text.encode())
    run = everything[0].run
    catalog = Path(run.catalog).stem
    drawn = {label: group for label, group in learners.items() if label not in ("random", "greedy")}
    report.plot(drawn, output / report.PLOT, f"{catalog}, learners; user: {run.user}")
    if feedback:
        report.plot(feedback, output / "feedback.png", f"{catalog}, kinds of feedback; language: {run.user}")
    return text


def _markdown(groups: Mapping[str, Group]) -> str:
    return "\n".join(map(markdown, report.tables_of(groups)))
