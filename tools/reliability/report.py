"""The table of a campaign, and how to repeat each case that failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from dialog_env.benchmarks.provenance import machine
from tools.reliability.campaign import Tally
from tools.reliability.cases import FAILURES

COMMAND = "python -m tools.reliability"
COLUMNS = {
    "wrong": "wrong",
    "lost": "lost",
    "silent": "silent",
    "hang": "hangs",
    "traceback": "tracebacks",
    "unclear": "unclear",
    "executed": "executed",
}
SHOWN = 200
"""Failing cases that are listed for a part, at most."""


def markdown(tallies: Sequence[Tally], seed: int, revision: str, *, small: bool, arguments: str) -> str:
    """The whole page; `revision` is that of the code, `arguments` are those of the command."""
    lines = [
        "# Reliability",
        "",
        "What happens to the package when it is called wrongly, reads damaged files, is killed or interrupted, runs on",
        "full disks, twice at once and in many threads. Every case is drawn from a seed and can be repeated alone:",
        f"`{COMMAND} --seed {seed} --only PART --case N`.",
        "",
        f"Command: `{COMMAND} {arguments}`; seed {seed}; {datetime.now(timezone.utc):%Y-%m-%d}; "
        f"revision {revision}; machine: {machine()}."
        f"{' A small campaign: a few cases of each part.' if small else ''}",
        "",
        *table(tallies),
        "",
        *[f"* **{COLUMNS[name]}**: {meaning}" for name, meaning in FAILURES.items()],
        "",
        "## The parts",
        "",
        *[f"* `{tally.part.name}`: {tally.part.tries}" for tally in tallies],
        "",
    ]
    for tally in tallies:
        lines += [f"`{tally.part.name}` was skipped in {times} cases: {why}.\n" for why, times in tally.skipped.items()]
    failing = [line for tally in tallies for line in failing_cases(tally, seed)]
    if failing:
        lines += ["## Cases that failed", "", *failing, ""]
    return "\n".join(lines)


def table(tallies: Sequence[Tally]) -> list[str]:
    """One row a part, and their sum."""
    head = ["part", "cases", *COLUMNS.values()]
    rows = [[f"`{tally.part.name}`", tally.count, *(tally.failed[name] for name in COLUMNS)] for tally in tallies]
    rows.append(["all", sum(tally.count for tally in tallies), *(sum(t.failed[n] for t in tallies) for n in COLUMNS)])
    return [
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
        *(
            "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row) + " |"
            for row in rows
        ),
    ]


def failing_cases(tally: Tally, seed: int) -> list[str]:
    """What failed, with the command that repeats it."""
    lines = [
        f"* `--seed {seed} --only {tally.part.name} --case {number}`: {outcome.verdict}: {_plain(outcome.note)}"
        for number, outcome in sorted(tally.failures.items())
    ]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"* and {more} more of `{tally.part.name}`"] if more > 0 else lines


def _plain(note: str) -> str:
    return "`" + " ".join(note.replace("`", "'").split())[:500] + "`"
