"""The findings as a Markdown table, as JSON and as a plot."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from dialog_env.io.atomic import replacing, write_atomically
from tools.throughput.clock import REST
from tools.throughput.rows import Figure, Findings, Row
from tools.throughput.workload import Workload, fields_of

MIB = 1 << 20
PARTS = ("simulator", "ranking", "network", REST)
PANELS = (
    (
        "images",
        "ms for a batch of queries",
        1e3,
        ("ranking: rank, nearest, 4 nearest", "the same by a loop over queries"),
    ),
    ("pairs at once", "ms", 1e3, ("feedback of the captioner", "the same by a literal forward pass")),
    (
        "dialogs at once",
        "ms for 5 turns",
        1e3,
        (
            "native vector environment, describer",
            "SyncVectorEnv, describer",
            "single environment, describer",
            "native vector environment, captioner",
            "SyncVectorEnv, captioner",
            "single environment, captioner",
        ),
    ),
)
"""Abscissa, ordinate, its unit in seconds, and the rows that each panel of the plot shows."""


def write(findings: Findings, load: Workload, origin: dict[str, Any], output: Path) -> str:
    """Writes `table.md`, `throughput.json` and `cost.png` into a folder; returns the table."""
    output.mkdir(parents=True, exist_ok=True)
    text = table(findings, origin)
    write_atomically(output / "table.md", text.encode())
    content = {**asdict(findings), "workload": fields_of(load), "provenance": origin}
    write_atomically(output / "throughput.json", (json.dumps(content, indent=1) + "\n").encode())
    with replacing(output / "cost.png") as temporary:
        plot(findings.rows, origin).savefig(temporary, format="png", dpi=120)
    return text


def table(findings: Findings, origin: dict[str, Any]) -> str:
    """Figures, rows, shares and memory as Markdown."""
    lines = [
        f"Machine: {origin['machine']}; device: {origin['device']}; `{origin['command']}`, {origin['time'][:10]}",
        "",
    ]
    met = {True: "yes", False: "no", None: "—"}
    lines += _markdown(
        ("work", "asked for", "measured", "met"),
        ((each.work, each.asked, each.measured, met[each.met]) for each in findings.figures),
    )
    lines += _shortfalls(findings.figures)
    lines += _markdown(
        ("work", "at once", "rate", "time", "note"),
        (
            (row.work, f"{row.size:,}", f"{_short(row.rate)} {row.unit}", _duration(row.seconds), row.note)
            for row in findings.rows
        ),
    )
    lines += _markdown(
        ("share of time", *PARTS),
        (
            (work, *(f"{100 * parts[part]:.1f}%" if part in parts else "" for part in PARTS))
            for work, parts in findings.shares.items()
        ),
    )
    lines += _markdown(("peak memory", "MiB"), ((work, f"{size / MIB:,.0f}") for work, size in findings.memory.items()))
    return "\n".join(lines).rstrip() + "\n"


def _shortfalls(figures: list[Figure]) -> list[str]:
    missed = [figure for figure in figures if figure.met is False and figure.why]
    return ["Missed, by the profile:", "", *(f"* {each.work}: {each.why}" for each in missed), ""] if missed else []


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *rows)] + [""]


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def plot(rows: list[Row], origin: dict[str, Any]) -> Canvas:
    """Cost against size, both logarithmic, with a dotted line where cost grows as the size does."""
    found = {work: list(some) for work, some in groupby(sorted(rows, key=lambda row: row.work), lambda row: row.work)}
    panels = [panel for panel in PANELS if not found.keys().isdisjoint(panel[3])]
    figure = Canvas(figsize=(13 * max(1, len(panels)) / len(PANELS), 4.2), layout="constrained")
    every = figure.subplots(1, len(panels), squeeze=False)[0] if panels else []
    for axes, (size, cost, unit, works) in zip(every, panels, strict=True):
        _panel(axes, [(work, found[work]) for work in works if work in found], unit)
        axes.set(xlabel=size, ylabel=cost, xscale="log", yscale="log")
        axes.grid(which="major", alpha=0.3)
        axes.legend(fontsize=7)
    figure.suptitle(f"{origin['machine']}; {origin['device']}", fontsize=8)
    return figure


def _panel(axes: Axes, lines: list[tuple[str, list[Row]]], unit: float) -> None:
    for work, rows in lines:
        rows = sorted(rows, key=lambda row: row.size)
        axes.plot([row.size for row in rows], [unit * row.seconds for row in rows], marker="o", label=work)
    if lines and len(lines[0][1]) > 1:
        rows = sorted(lines[0][1], key=lambda row: row.size)
        sizes = [rows[0].size, rows[-1].size]
        axes.plot(
            sizes, [unit * rows[0].seconds * size / sizes[0] for size in sizes], ":", color="grey", label="linear"
        )
