"""Tables and plots from results."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dialog_env.benchmarks.results import Result, Run
from dialog_env.evaluate.intervals import Interval
from dialog_env.evaluate.metrics import metric_of
from dialog_env.evaluate.statistics import Difference, confidence_interval, holm, paired_difference
from dialog_env.io.atomic import replacing, write_atomically

COLUMNS = (
    "found",
    "IQM percentile",
    "R@1",
    "R@10",
    "R@50",
    "median rank",
    "MRR",
    "NDCG@10",
    "Hits@10",
    "success@95",
    "repeat rate",
    "BRI",
)
BOOTSTRAP_SEED = 0
MARKERS = "osD^vPX*<>"


class Evaluated(Protocol):
    """What a table needs of a run: all its dialogs, as in a `Result`, or its scores alone."""

    @property
    def run(self) -> Run:
        """What was run."""

    @property
    def images(self) -> int:
        """Size of the gallery."""

    @property
    def dialogs(self) -> int:
        """How many were held."""

    @property
    def targets(self) -> np.ndarray[Any, Any] | None:
        """(M,) sorted positions of the targets; None where one score stands for all dialogs."""

    @property
    def metrics(self) -> Collection[str]:
        """Names of those that there are values of."""

    def values(self, metric: str) -> np.ndarray[Any, Any]:
        """(M, T) or (M,) values of a metric in the order of the targets' positions; (1, T) or (1,) scores."""


Group = Sequence[Evaluated]
"""The results of one line of a table, one for each seed."""
Groups = Mapping[str, Group]
"""What a line is called to its results."""


def by_agent(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results grouped by agent, in the order in which agents first appear, seeds ascending."""
    groups: dict[str, dict[int, Result]] = {}
    for result in results:
        groups.setdefault(result.run.agent, {})[result.run.seed] = result
    return {agent: [group[seed] for seed in sorted(group)] for agent, group in groups.items()}


ALIKE = ("gallery", "simulator", "evaluation_seed", "turns", "ties")


def check_alike(results: Sequence[Evaluated], names: Sequence[str] = ALIKE) -> None:
    """Refuses, with a ValueError, results that do not belong into one table: those that differ in one of `names`."""
    for name in names:
        found = sorted({str(getattr(result.run, name)) for result in results})
        if len(found) > 1:
            raise ValueError(
                f"the results differ in {name} ({', '.join(found)}) and cannot stand in one table; "
                "keep each benchmark in an --output of its own"
            )
    if len({b"" if result.targets is None else result.targets.tobytes() for result in results}) > 1:
        raise ValueError("the results are of different targets and cannot stand in one table; run them with the same")


def values(group: Group, metric: str) -> np.ndarray[Any, Any]:
    """(S, M, T) or (S, M) values of a metric for the seeds of one agent."""
    return np.stack([result.values(metric) for result in group])


def row_name(agent: str, group: Group) -> str:
    """What a row of a table is called: the agent, and what it asked to know beside what all are told."""
    note = group[0].run.configuration.get("declared")
    return f"{agent} ({note})" if note else agent


def table(results: Sequence[Result], columns: Sequence[str] = COLUMNS) -> str:
    """Markdown: percentile at each turn, then other metrics at the last turn, each with its 95% interval."""
    check_alike(results)
    return table_of(by_agent(results), columns)


def table_of(groups: Groups, columns: Sequence[str] = COLUMNS) -> str:
    """The same of results that are grouped already; where they have scores alone, of the metrics that these are of."""
    results = [result for group in groups.values() for result in group]
    turns = results[0].run.turns
    lines = _head(["agent", *(f"percentile, turn {turn}" for turn in range(1, turns + 1))])
    for agent, group in groups.items():
        cells = [f"{cell:.1f}" for cell in _per_turn(values(group, "percentile"))]
        lines.append(f"| {row_name(agent, group)} | " + " | ".join(cells) + " |")
    columns = [name for name in columns if all(name in result.metrics or ":" in name for result in results)]
    lines += ["", *_head([f"agent, turn {turns}", *(name.rpartition(":")[2] for name in columns)])]
    for agent, group in groups.items():
        cells = []
        for name in columns:
            of_metric = values(group, name)
            last = of_metric[..., -1] if of_metric.ndim == 3 else of_metric
            metric = metric_of(name)
            interval = confidence_interval(last, _generator(), metric.summary, percent=metric.percent)
            cells.append(f"{interval:.{metric.decimals}f}")
        lines.append(f"| {row_name(agent, group)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _footnote(results, columns), ""])


def _head(columns: Sequence[str]) -> list[str]:
    line = "| " + " | ".join(columns) + " |"
    return [line, "|" + "---|" * (line.count("|") - 1)]


def differences(results: Sequence[Result], baseline: str) -> str:
    """Markdown: how each agent compares with the baseline.

    Raises:
        ValueError: a baseline that was not run, or agents that were not run with the same seeds.
    """
    groups = by_agent(results)
    if baseline not in groups:
        raise ValueError(f"there are no results of {baseline!r} to compare with; there are {', '.join(groups)}")
    others = {agent: group for agent, group in groups.items() if agent != baseline}
    pairs = {row_name(agent, group): (group, groups[baseline]) for agent, group in others.items()}
    return compared(pairs, f"agent against {row_name(baseline, groups[baseline])}")


def compared(pairs: Mapping[str, tuple[Group, Group]], heading: str) -> str:
    """Markdown: a row for each pair of results, with the difference of the first from the second and what it shows.

    Args:
        pairs: what a row is called, one cell or several with "|" between them, to the results of the two.
        heading: of the first column or columns, in the same way.
    """
    some = next(iter(pairs.values()))[0]
    turns, of_dialogs = some[0].run.turns, some[0].targets is not None
    columns = [heading, f"percentile, turn {turns}", "higher", "percentile, mean over turns", "higher"]
    lines = _head([*columns, f"dialogs in which it is higher, turn {turns}"] if of_dialogs else columns)
    rows = {name: difference(*pair) for name, pair in pairs.items()}
    corrected = iter(holm([each.p for row in rows.values() for each in row]))
    for name, row in rows.items():
        cells = [name, *(f"{each:+.2f} | {verdict(each, next(corrected))}" for each in row)]
        if of_dialogs:
            cells.append(f"{improvement(*pairs[name]):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    notes = [
        f"Paired {'by training seed and dialog' if of_dialogs else 'by training seed'}. "
        f"In brackets: 95% intervals over {over(some)}, each by itself.",
        f"Higher: whether the difference is above zero, by a t test at 5%, with p corrected for the {2 * len(pairs)} "
        "verdicts of this table (Holm, 1979).",
    ]
    if of_dialogs:
        notes.append(
            "The last column, in percent, counts dialogs at the same percentile half; 50 is no difference "
            "(probability of improvement, Agarwal et al., 2021, here of the same dialog with the same training seed)."
        )
    return "\n".join([*lines, "", " ".join(notes), ""])


def verdict(difference: Difference, corrected: float) -> str:
    """Whether a difference is above zero, with a p that is corrected for the number of verdicts."""
    chance = "p < 0.001" if corrected < 0.001 else f"p = {corrected:.3f}"
    if corrected >= 0.05:
        return f"not shown ({chance})"
    return f"yes ({chance})" if difference.value > 0 else f"no, lower ({chance})"


def improvement(first: Group, second: Group) -> Interval:
    """Percent of the dialogs in which the first is at a higher percentile at the last turn, level ones counted half."""
    own, other = values(first, "percentile")[..., -1], values(second, "percentile")[..., -1]
    return confidence_interval(50.0 + 50.0 * np.sign(own - other), _generator(), percent=True)


def difference(first: Group, second: Group) -> tuple[Difference, Difference]:
    """Percentile of the first results less that of the second, paired: at the last turn, and in the mean over turns.

    Raises:
        ValueError: other seeds in one than in the other.
    """
    if [result.run.seed for result in first] != [result.run.seed for result in second]:
        names = " and ".join(repr(group[0].run.agent) for group in (first, second))
        raise ValueError(f"{names} were not run with the same seeds; run both with the same")
    own, reference = values(first, "percentile"), values(second, "percentile")
    last = paired_difference(own[..., -1], reference[..., -1])
    return last, paired_difference(own.mean(axis=-1), reference.mean(axis=-1))


def _per_turn(of_metric: np.ndarray[Any, Any]) -> list[Interval]:
    return [
        confidence_interval(of_metric[..., turn], _generator(), percent=True) for turn in range(of_metric.shape[-1])
    ]


def _generator() -> np.random.Generator:
    return np.random.default_rng(BOOTSTRAP_SEED)


def _footnote(results: Sequence[Evaluated], columns: Sequence[str]) -> str:
    run = results[0].run
    trained = ", ".join(str(seed) for seed in sorted({result.run.seed for result in results}))
    return (
        f"Gallery: {results[0].images} images of `{run.catalog}` ({run.split}); user: `{run.simulator}`; "
        f"{results[0].dialogs} dialogs of {run.turns} turns; training seeds {trained}. "
        f"In brackets: 95% intervals over {over(results)}. Percentages but for median rank (1-based) and BRI."
        + "".join(f" {meaning}" for name in columns if (meaning := metric_of(name).meaning))
    )


def over(results: Sequence[Evaluated]) -> str:
    """What was drawn by chance as far as the intervals know."""
    if results[0].targets is None:
        return "training seeds alone, for these dialogs"
    if len({result.run.seed for result in results}) == 1:
        return "dialogs alone, with one training seed"
    return "dialogs and training seeds"


def plot(results: Sequence[Result], path: Path) -> None:
    """Percentile against turn, one line an agent, with its 95% interval as a band."""
    run = results[0].run
    lines = {
        row_name(agent, group): np.concatenate(
            [np.stack([result.start for result in group])[..., None], values(group, "percentile")], axis=-1
        )
        for agent, group in by_agent(results).items()
    }
    plot_lines(lines, path, f"{Path(run.catalog).stem}, user: {run.user}", over(results), from_turn=0)


def plot_lines(
    lines: Mapping[str, np.ndarray[Any, Any]], path: Path, title: str, chance: str, *, from_turn: int = 1
) -> None:
    """The same of any lines.

    Args:
        lines: what each is called to its percentiles (S, M, K) at K turns.
        path: of the picture.
        title: above it.
        chance: what the intervals are over.
        from_turn: the first of the turns; 0 is the start.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8 if len(lines) < 5 else 9.5, 4.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for number, (label, percentiles) in enumerate(lines.items()):
        turns = np.arange(from_turn, from_turn + percentiles.shape[-1])
        cells = _per_turn(percentiles)
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
    legend = f"at the last turn; bands: 95% over\n{chance}"
    figure.legend(title=legend, loc="outside right center", frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def write(
    results: Sequence[Result], output: Path, baseline: str | None = None, columns: Sequence[str] = COLUMNS
) -> str:
    """Writes `table.md` and `percentile.png` into the folder and returns the tables."""
    text = table(results, columns)
    if baseline is not None and len(by_agent(results)) > 1:
        text += "\n" + differences(results, baseline)
    write_atomically(output / "table.md", text.encode())
    plot(results, output / "percentile.png")
    return text
