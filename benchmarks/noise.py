"""`benchmark noise`: agents hear ever more of the words left out, replaced or misspelt, as a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dialog_env.benchmarks.report import MARKERS, Group, at_the_end, compared, row_name
from dialog_env.benchmarks.results import Result
from dialog_env.benchmarks.suites import Suite
from dialog_env.benchmarks.tables import Cell, Table, write_tables
from dialog_env.benchmarks.variations import METRICS, VariationCommand, footnote
from dialog_env.io.atomic import locked, replacing
from dialog_env.io.keywords import checked_choice

KINDS = ("dropped", "replaced", "misspelt")
"""What may happen to a word: settings of the user `noisy`."""

Curves = Mapping[tuple[str, float], Sequence[Result]]
"""The results of one agent: what happens to words and to what share of them, to a result for each seed."""


@dataclass
class NoiseCommand(VariationCommand):
    """Evaluate agents, trained without noise, with a user whose words get lost; write tables and a plot."""

    kinds: tuple[str, ...] = KINDS
    """What happens to words."""
    rates: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """To what share of them."""

    def __call__(self) -> None:
        """Runs every agent at every rate."""
        for kind in self.kinds:
            checked_choice("kinds", kind, KINDS)
        if not self.kinds or not self.rates:
            raise ValueError("no noise is asked for; give --kinds and --rates")
        suite = self.opened()
        output = self.output or Path("runs") / f"{suite.name}-noise"
        output.mkdir(parents=True, exist_ok=True)
        found = self.run(variations(suite, self.kinds, self.rates, output), self.agents)
        curves = {agent: spread(results, self.kinds) for agent, results in found.items()}
        with locked(output):
            print("\n" + write(curves, output))
        print(f"Written: {', '.join(map(str, sorted(output.glob('noise.*'))))}")


def variations(
    suite: Suite, kinds: Sequence[str], rates: Sequence[float], output: Path
) -> dict[tuple[str, float], tuple[Suite, Path]]:
    """The suite itself where nothing happens, which is once whatever would, and suites with the user `noisy` around its
    own, from whom agents still learn."""
    inner = json.dumps(suite.simulator) if "," in suite.simulator else suite.simulator
    learned_from = suite.training_simulator or suite.simulator
    noisy = {
        (kind, rate): replace(
            suite,
            simulator=f"noisy:inner={inner},{kind}={rate}",
            training_simulator=learned_from,
            user="",
        )
        for kind in kinds
        for rate in rates
        if rate
    }
    still = {("", 0.0): suite} if 0 in rates else {}
    return {key: (each, output) for key, each in {**still, **noisy}.items()}


def spread(results: Mapping[tuple[str, float], Sequence[Result]], kinds: Sequence[str]) -> Curves:
    """The same with the results without noise at the beginning of each kind of it."""
    still = {(kind, 0.0): group for kind in kinds for (_, rate), group in results.items() if not rate}
    return still | {key: group for key, group in results.items() if key[1]}


def table(curves: Mapping[str, Curves], metric: str) -> Table:
    """A metric at the last turn, by agent and kind of noise, with a column for each rate."""
    kinds, rates = _axes(curves)
    rows: list[list[str | Cell]] = [
        [_name(agent, curve), kind, *(at_the_end(curve[kind, rate], metric) for rate in rates)]
        for agent, curve in curves.items()
        for kind in kinds
    ]
    return Table([f"{metric}: agent", "words", *(f"{100 * rate:g}%" for rate in rates)], rows)


def ahead(curves: Mapping[str, Curves]) -> Table | None:
    """Every agent at every rate against the first one there; None where there is no other."""
    first = next(iter(curves.values()))
    without = next(iter(first))  # one of those at rate 0 is enough, all are the same
    pairs: dict[tuple[str, ...], tuple[Group, Group]] = {
        (_name(agent, curve), kind if rate else "-", f"{100 * rate:g}%"): (group, first[kind, rate])
        for agent, curve in curves.items()
        for (kind, rate), group in curve.items()
        if curve is not first and (rate or (kind, rate) == without)
    }
    return compared(pairs, [f"agent against {_name(next(iter(curves)), first)}", "words", "share"]) if pairs else None


def plot(curves: Mapping[str, Curves], path: Path) -> None:
    """A panel for each metric and kind of noise, with a line for each agent and its 95% interval as a band."""
    from matplotlib.figure import Figure

    kinds, rates = _axes(curves)
    figure = Figure(figsize=(1 + 3.2 * len(kinds), 3 * len(METRICS) + 0.4), dpi=130, layout="constrained")
    panels = figure.subplots(len(METRICS), len(kinds), squeeze=False, sharex=True, sharey="row")
    shares = [100 * rate for rate in rates]
    for row, metric in zip(panels, METRICS, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            for number, (agent, curve) in enumerate(curves.items()):
                cells = [at_the_end(curve[kind, rate], metric).interval for rate in rates]
                values, marker = [cell.value for cell in cells], MARKERS[number % len(MARKERS)]
                line = axes.plot(shares, values, marker=marker, label=_name(agent, curve))[0]
                lows, highs = [cell.low for cell in cells], [cell.high for cell in cells]
                axes.fill_between(shares, lows, highs, color=line.get_color(), alpha=0.2, linewidth=0)
            axes.set(title=f"{metric}, words {kind}", xlabel="% of the words", ylabel=f"{metric} at the last turn, %")
            axes.set_ylim(bottom=0)
            axes.label_outer()
            axes.grid(alpha=0.3)
    lines, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=1, frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def write(curves: Mapping[str, Curves], output: Path) -> str:
    """Writes the tables, `noise.md` and so on, and `noise.png` into the folder; returns the Markdown."""
    results = [result for curve in curves.values() for group in curve.values() for result in group]
    users = sorted({result.run.training_user or result.run.user for result in results})
    note = f"{footnote(results)} User: {', '.join(users)}, from whom agents learned without noise."
    *others, last = (table(curves, metric) for metric in METRICS)
    compared_to_first = ahead(curves)
    tables = [*others, replace(last, note=note), *([] if compared_to_first is None else [compared_to_first])]
    plot(curves, output / "noise.png")
    return write_tables(tables, output, "noise")


def _name(agent: str, curve: Curves) -> str:
    return row_name(agent, next(iter(curve.values())))


def _axes(curves: Mapping[str, Curves]) -> tuple[list[str], list[float]]:
    """Kinds and rates of what was run."""
    keys = next(iter(curves.values()))
    return list(dict.fromkeys(kind for kind, _ in keys)), sorted({rate for _, rate in keys})
