"""Tables and plots from results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import Result
from benchmarks.statistics import estimate, paired_difference
from dialog_env.estimate import Estimate
from dialog_env.files import replacing, write_atomically
from dialog_env.metrics import METRICS, percentile

COLUMNS = ("R@1", "R@10", "R@50", "median rank", "MRR", "NDCG@10", "Hits@10", "success@95", "repeat rate", "BRI")
BOOTSTRAP_SEED = 0
MARKERS = "osD^vPX*<>"


Groups = dict[str, list[Result]]
"""What a line is called to its results, one for each seed."""


def by_agent(results: Sequence[Result]) -> Groups:
    """Results grouped by agent, in the order in which agents first appear, seeds ascending."""
    groups: dict[str, dict[int, Result]] = {}
    for result in results:
        groups.setdefault(result.run.agent, {})[result.run.seed] = result
    return {agent: [group[seed] for seed in sorted(group)] for agent, group in groups.items()}


ALIKE = ("gallery", "simulator", "evaluation_seed", "turns", "ties")


def check_alike(results: Sequence[Result], names: Sequence[str] = ALIKE) -> None:
    """Refuses, with a ValueError, results that do not belong into one table: those that differ in one of `names`."""
    for name in names:
        found = sorted({str(getattr(result.run, name)) for result in results})
        if len(found) > 1:
            raise ValueError(
                f"the results differ in {name} ({', '.join(found)}) and cannot stand in one table; "
                "keep each benchmark in an --output of its own"
            )
    if len({np.sort(result.record.target).tobytes() for result in results}) > 1:
        raise ValueError("the results are of different targets and cannot stand in one table; run them with the same")


def values(group: Sequence[Result], metric: str) -> np.ndarray[Any, Any]:
    """(S, M, T) or (S, M) values of a metric for the seeds of one agent, in the order of the targets' positions."""
    return np.stack([METRICS[metric].of(result.record)[np.argsort(result.record.target)] for result in group])


def row_name(agent: str, group: Sequence[Result]) -> str:
    """What a row of a table is called: the agent, and what it asked to know beside what all are told."""
    note = group[0].run.configuration.get("declared")
    return f"{agent} ({note})" if note else agent


def table(results: Sequence[Result]) -> str:
    """Markdown: percentile at each turn, then the other metrics at the last turn, each with its 95% interval."""
    check_alike(results)
    return table_of(by_agent(results))


def table_of(groups: Groups) -> str:
    """The same of results that are grouped already."""
    results = [result for group in groups.values() for result in group]
    turns = results[0].record.turns
    lines = [
        "| agent | " + " | ".join(f"percentile, turn {turn}" for turn in range(1, turns + 1)) + " |",
        "|---|" + "---|" * turns,
    ]
    for agent, group in groups.items():
        cells = [f"{cell:.1f}" for cell in _per_turn(values(group, "percentile"))]
        lines.append(f"| {row_name(agent, group)} | " + " | ".join(cells) + " |")
    lines += ["", f"| agent, turn {turns} | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    for agent, group in groups.items():
        cells = []
        for name in COLUMNS:
            of_metric = values(group, name)
            last = of_metric[..., -1] if of_metric.ndim == 3 else of_metric
            decimals = ".2f" if name == "BRI" else ".1f"
            cells.append(f"{estimate(last, _generator(), METRICS[name].summary):{decimals}}")
        lines.append(f"| {row_name(agent, group)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _footnote(results), ""])


def differences(results: Sequence[Result], baseline: str) -> str:
    """Markdown: each agent's percentile less the baseline's, paired, at the last turn and in the mean over turns.

    Raises:
        ValueError: a baseline that was not run, or agents that were not run with the same seeds.
    """
    groups = by_agent(results)
    if baseline not in groups:
        raise ValueError(f"there are no results of {baseline!r} to compare with; there are {', '.join(groups)}")
    turns = results[0].record.turns
    lines = [f"| agent less {baseline} | percentile, turn {turns} | percentile, mean over turns |", "|---|---|---|"]
    for agent, group in groups.items():
        if agent != baseline:
            last, mean = difference(group, groups[baseline])
            lines.append(f"| {agent} | {last:+.2f} | {mean:+.2f} |")
    return "\n".join([*lines, ""])


def difference(first: Sequence[Result], second: Sequence[Result]) -> tuple[Estimate, Estimate]:
    """Percentile of the first results less that of the second, paired: at the last turn, and in the mean over turns.

    Raises:
        ValueError: other seeds in one than in the other.
    """
    if [result.run.seed for result in first] != [result.run.seed for result in second]:
        names = " and ".join(repr(group[0].run.agent) for group in (first, second))
        raise ValueError(f"{names} were not run with the same seeds; run both with the same")
    own, reference = values(first, "percentile"), values(second, "percentile")
    last = paired_difference(own[..., -1], reference[..., -1], _generator())
    return last, paired_difference(own.mean(axis=-1), reference.mean(axis=-1), _generator())


def _per_turn(of_metric: np.ndarray[Any, Any]) -> list[Estimate]:
    return [estimate(of_metric[..., turn], _generator()) for turn in range(of_metric.shape[-1])]


def _generator() -> np.random.Generator:
    return np.random.default_rng(BOOTSTRAP_SEED)


def _footnote(results: Sequence[Result]) -> str:
    run = results[0].run
    seeds = {result.run.seed for result in results}
    over = "dialogs and training seeds" if len(seeds) > 1 else "dialogs"
    trained = ", ".join(map(str, sorted(seeds)))
    return (
        f"Gallery: {results[0].record.images} images of `{run.catalog}` ({run.split}); user: `{run.simulator}`; "
        f"{len(results[0].record.target)} dialogs of {run.turns} turns; training seeds {trained}. "
        f"In brackets: 95% bootstrap intervals over {over}. Percentages but for median rank (1-based) and BRI."
    )


def plot(results: Sequence[Result], path: Path) -> None:
    """Percentile against turn, one line an agent, with its 95% interval as a band."""
    run = results[0].run
    plot_groups(by_agent(results), path, f"{Path(run.catalog).stem}, user: {run.user}")


def plot_groups(groups: Groups, path: Path, title: str, *, from_turn: int = 0, leave_out: Sequence[str] = ()) -> None:
    """The same of results that are grouped already.

    Args:
        groups: one line each.
        path: of the picture.
        title: above it.
        from_turn: the first turn drawn; 0 is the start.
        leave_out: lines not drawn, because the others would lie on each other beside them.
    """
    from matplotlib.figure import Figure

    drawn = {label: group for label, group in groups.items() if label not in leave_out}
    some = next(iter(drawn.values()))[0]
    figure = Figure(figsize=(8 if len(drawn) < 5 else 9.5, 4.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    turns = np.arange(from_turn, some.record.turns + 1)
    for number, (label, group) in enumerate(drawn.items()):
        first = np.stack([100 * (1 - result.record.initial_rank / result.record.images) for result in group])
        whole = np.concatenate([first[..., None], np.stack([percentile(r.record) for r in group])], axis=-1)
        cells = _per_turn(whole[..., from_turn:])
        line = axes.plot(
            turns,
            [cell.value for cell in cells],
            marker=MARKERS[number % len(MARKERS)],
            label=f"{label}: {cells[-1].value:.1f}",
        )[0]
        axes.fill_between(
            turns, [c.low for c in cells], [c.high for c in cells], color=line.get_color(), alpha=0.2, linewidth=0
        )
    axes.set(xlabel="turn", ylabel="ranking percentile of the target")
    axes.set_xticks(turns, ["start" if turn == 0 else str(turn) for turn in turns])
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    figure.legend(title="at the last turn", loc="outside right center", frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def write(results: Sequence[Result], output: Path, baseline: str | None = None) -> str:
    """Writes `table.md` and `percentile.png` into the folder and returns the tables."""
    text = table(results)
    if baseline is not None and len(by_agent(results)) > 1:
        text += "\n" + differences(results, baseline)
    write_atomically(output / "table.md", text.encode())
    plot(results, output / "percentile.png")
    return text
