"""Tables and plots from results."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dialog_env.benchmarks import page
from dialog_env.benchmarks.headroom import share_of_ceiling, value_of_asking
from dialog_env.benchmarks.results import Result, Run
from dialog_env.benchmarks.tables import Cell, Table, markdown, write_tables
from dialog_env.evaluate.intervals import Interval
from dialog_env.evaluate.metrics import metric_of
from dialog_env.evaluate.statistics import Difference, confidence_interval, holm, paired_difference
from dialog_env.io.atomic import replacing

COLUMNS = (
    "R@10",
    "MRR",
    "R@1",
    "R@50",
    "percentile",
    "IQM percentile",
    "median rank",
    "NDCG@10",
    "Hits@10",
    "success@95",
    "repeat rate",
    "BRI",
)
VERDICTS = ("found", "MRR", "R@1")
"""Metrics by which agents are compared, at the last turn."""
CHANCE, CEILING, ASKING = "random", "ceiling", "ceiling@asks"
SHARE = (
    "Share of the ceiling: how far, in percent, it has come on the way from `random` to `ceiling`, which knows the "
    "user exactly, in what it has found by the last turn."
)
BOOTSTRAP_SEED = 0
MARKERS = "osD^vPX*<>"
COLOURS = tuple(f"C{number}" for number in range(10) if number != 7)
"""Of the usual ones all but grey, in which the bounds are drawn."""
BOUNDS: dict[str, Any] = {CHANCE: ":", CEILING: "--", ASKING: (0, (6, 1, 1, 1))}
"""How the lines are drawn between which agents lie."""
TABLE, PLOT = "table", "turns.png"


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
    def training(self) -> Mapping[str, Any]:
        """What the agent's training gave; empty for one that is not trained."""

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


def tables(results: Sequence[Result], columns: Sequence[str] = COLUMNS) -> list[Table]:
    """What separates agents comes first: found at each turn, then metrics at the last turn, then percentiles."""
    check_alike(results)
    return tables_of(by_agent(results), columns)


def tables_of(groups: Groups, columns: Sequence[str] = COLUMNS) -> list[Table]:
    """The same of results that are grouped already; where they have scores alone, of the metrics that these are of."""
    results = [result for group in groups.values() for result in group]
    turns = results[0].run.turns
    columns = [name for name in columns if all(name in result.metrics or ":" in name for result in results)]
    shares = shares_of_ceiling(groups)
    head = [f"agent, turn {turns}", *(["share of the ceiling"] if shares else []), *map(_short, columns)]
    rows: list[list[str | Cell]] = []
    for agent, group in groups.items():
        row: list[str | Cell] = [row_name(agent, group)]
        if shares:
            row.append(shares.get(agent, ""))
        rows.append([*row, *(at_the_end(group, name) for name in columns)])
    note = _footnote(results, columns) + (f" {SHARE}" if shares else "")
    found = [per_turn(groups, "found")] if all("found" in result.metrics for result in results) else []
    return [*found, Table(head, rows, note), per_turn(groups, "percentile")]


def per_turn(groups: Groups, metric: str) -> Table:
    """A metric at every turn."""
    turns = next(iter(groups.values()))[0].run.turns
    head = ["agent", *(f"{_short(metric)}, turn {turn}" for turn in range(1, turns + 1))]
    known = metric_of(metric)
    rows: list[list[str | Cell]] = [
        [row_name(agent, group), *(Cell(each, known.decimals) for each in _per_turn(values(group, metric)))]
        for agent, group in groups.items()
    ]
    return Table(head, rows, known.meaning)


def at_the_end(group: Group, name: str) -> Cell:
    """A metric at the last turn, or of whole dialogs."""
    of_metric, metric = values(group, name), metric_of(name)
    last = of_metric[..., -1] if of_metric.ndim == 3 else of_metric
    return Cell(confidence_interval(last, _generator(), metric.summary, percent=metric.percent), metric.decimals)


def shares_of_ceiling(groups: Groups) -> dict[str, Cell]:
    """Agent to its share of the way from chance to the ceiling in what it has found by the last turn.

    Empty where `random` or `ceiling` was not run, or the ceiling finds no more than chance.
    """
    if CHANCE not in groups or CEILING not in groups:
        return {}
    if any("found" not in result.metrics for group in groups.values() for result in group):
        return {}
    last = {agent: values(group, "found")[..., -1] for agent, group in groups.items()}
    if last[CEILING].mean() <= last[CHANCE].mean():
        return {}
    ends = last[CHANCE][:1], last[CEILING][:1]
    return {
        agent: Cell(share_of_ceiling(of_agent, *ends))
        for agent, of_agent in last.items()
        if agent not in (CHANCE, CEILING)
    }


def asking(groups: Groups) -> Table | None:
    """What choosing images by what their answers would tell is worth in this world; None without both ceilings."""
    if CEILING not in groups or ASKING not in groups:
        return None
    asks, likely = values(groups[ASKING], "found"), values(groups[CEILING], "found")
    turns = range(asks.shape[-1])
    row = [Cell(value_of_asking(asks[..., turn], likely[..., turn]), signed=True) for turn in turns]
    return Table(
        ["value of asking", *(f"found, turn {turn + 1}" for turn in turns)],
        [[f"{ASKING} less {CEILING}", *row]],
        "Both know the user exactly; one shows the image whose answer would tell most, the other one of the likeliest.",
    )


def table(results: Sequence[Result], columns: Sequence[str] = COLUMNS) -> str:
    """Markdown of `tables`."""
    return "\n".join(map(markdown, tables(results, columns)))


def differences(results: Sequence[Result], baseline: str) -> str:
    """Markdown of `against`."""
    return markdown(against(results, baseline))


def against(results: Sequence[Result], baseline: str) -> Table:
    """How each agent compares with the baseline.

    Raises:
        ValueError: a baseline that was not run, or agents that were not trained with the same seeds.
    """
    groups = by_agent(results)
    if baseline not in groups:
        raise ValueError(f"there are no results of {baseline!r} to compare with; there are {', '.join(groups)}")
    others = {agent: group for agent, group in groups.items() if agent != baseline}
    pairs: dict[tuple[str, ...], tuple[Group, Group]] = {
        (row_name(agent, group),): (group, groups[baseline]) for agent, group in others.items()
    }
    return compared(pairs, [f"agent against {row_name(baseline, groups[baseline])}"])


def compared(pairs: Mapping[tuple[str, ...], tuple[Group, Group]], heading: Sequence[str]) -> Table:
    """A row for each pair of results, with the difference of the first from the second and what it shows.

    Args:
        pairs: what a row is called, in one cell or several, to the results of the two.
        heading: of these cells.
    """
    everything = [result for pair in pairs.values() for group in pair for result in group]
    turns, of_dialogs = everything[0].run.turns, everything[0].targets is not None
    judged = [name for name in VERDICTS if all(name in result.metrics for result in everything)]
    head = [*heading, *(text for name in judged for text in (f"{_short(name)}, turn {turns}", "higher"))]
    rows = {name: [difference(*pair, metric) for metric in judged] for name, pair in pairs.items()}
    corrected = iter(holm([each.p for row in rows.values() for each in row]))
    lines: list[list[str | Cell]] = []
    for name, row in rows.items():
        cells: list[str | Cell] = [*name]
        for each in row:
            cells += [Cell(each, 2, signed=True), verdict(each, next(corrected))]
        if of_dialogs:
            cells.append(Cell(improvement(*pairs[name])))
        lines.append(cells)
    notes = [
        f"Paired {'by training seed and dialog' if of_dialogs else 'by training seed'}. "
        f"In brackets: 95% intervals over {over(everything)}, each by itself.{_pairs_of_fewer_seeds(pairs)}",
        f"Higher: whether the difference is above zero, by a t test at 5%, with p corrected for the "
        f"{len(judged) * len(pairs)} verdicts of this table (Holm, 1979).",
    ]
    if of_dialogs:
        head.append(f"dialogs in which it ranks higher, turn {turns}")
        notes.append(
            "The last column, in percent, counts dialogs at the same rank half; 50 is no difference "
            "(probability of improvement, Agarwal et al., 2021, here of the same dialog with the same training seed)."
        )
    return Table(head, lines, " ".join(notes))


def verdict(difference: Difference, corrected: float) -> str:
    """Whether a difference is above zero, with a p that is corrected for the number of verdicts."""
    chance = "p < 0.001" if corrected < 0.001 else f"p = {corrected:.3f}"
    if corrected >= 0.05:
        return f"not shown ({chance})"
    return f"yes ({chance})" if difference.value > 0 else f"no, lower ({chance})"


def improvement(first: Group, second: Group) -> Interval:
    """Percent of the dialogs in which the first ranks the target higher at the last turn, level ones counted half."""
    own, other = paired(first, second, "percentile")
    return confidence_interval(50.0 + 50.0 * np.sign(own[..., -1] - other[..., -1]), _generator(), percent=True)


def difference(first: Group, second: Group, metric: str = "percentile") -> Difference:
    """A metric of the first results less that of the second at the last turn, paired.

    Raises:
        ValueError: other seeds in one than in the other.
    """
    own, reference = (each[..., -1] for each in paired(first, second, metric))
    return paired_difference(own, reference)


def paired(first: Group, second: Group, metric: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(S, M, T) values of a metric of both; what was run with one seed and not trained stands beside every seed.

    Raises:
        ValueError: other seeds in one than in the other.
    """
    seeds = [[result.run.seed for result in group] for group in (first, second)]
    both = [values(group, metric) for group in (first, second)]
    if seeds[0] == seeds[1]:
        return both[0], both[1]
    for number, group in enumerate((first, second)):
        if len(group) == 1 and not group[0].training:
            both[number] = np.repeat(both[number], len(seeds[1 - number]), axis=0)
            return both[0], both[1]
    names = " and ".join(repr(group[0].run.agent) for group in (first, second))
    raise ValueError(f"{names} were not trained with the same seeds; run both with the same")


def _per_turn(of_metric: np.ndarray[Any, Any]) -> list[Interval]:
    return [
        confidence_interval(of_metric[..., turn], _generator(), percent=True) for turn in range(of_metric.shape[-1])
    ]


def _short(metric: str) -> str:
    """A metric as a heading: the name alone of one from somewhere else."""
    return metric.rpartition(":")[2]


def _generator() -> np.random.Generator:
    return np.random.default_rng(BOOTSTRAP_SEED)


def _footnote(results: Sequence[Evaluated], columns: Sequence[str]) -> str:
    run = results[0].run
    known = f", from {run.known_from}" if run.known_from else ""
    others = sorted({each.run.training_user for each in results if each.run.training_user and each.training})
    learned = "".join(f", learned from: `{user}`" for user in others)
    return (
        f"Gallery: {results[0].images} images of `{run.catalog}` ({run.split}{known}); "
        f"user: `{run.simulator}`{learned}; {results[0].dialogs} dialogs of {run.turns} turns; "
        f"training seeds {_told_seeds(results)}. "
        f"In brackets: 95% intervals over {over(results)}. Percentages but for median rank (1-based) and BRI."
        + "".join(f" {meaning}" for name in columns if (meaning := metric_of(name).meaning))
    )


def _told_seeds(results: Sequence[Evaluated]) -> str:
    """The training seeds, and the agents that were trained with fewer."""
    trained: dict[str, set[int]] = {}
    for result in results:
        if result.training:
            trained.setdefault(result.run.agent, set()).add(result.run.seed)
    everything = _listed({result.run.seed for result in results})
    fewer = {seeds: agents for seeds, agents in _by_seeds(trained).items() if seeds != everything}
    return everything + "".join(f"; {seeds} of {', '.join(agents)}" for seeds, agents in fewer.items())


def _pairs_of_fewer_seeds(pairs: Mapping[tuple[str, ...], tuple[Group, Group]]) -> str:
    """The pairs that were both trained with fewer seeds than others."""
    trained = {
        " and ".join(name): {result.run.seed for group in pair for result in group if result.training}
        for name, pair in pairs.items()
    }
    most = max(map(len, trained.values()))
    fewer = _by_seeds({name: seeds for name, seeds in trained.items() if 0 < len(seeds) < most})
    return "".join(
        f" Training seeds {seeds} alone, of {'; '.join(names)}."
        if "," in seeds
        else f" Training seed {seeds} alone, so that its intervals are over dialogs, of {'; '.join(names)}."
        for seeds, names in fewer.items()
    )


def _by_seeds(trained: Mapping[str, set[int]]) -> dict[str, list[str]]:
    """Those trained with the same seeds, under these."""
    groups: dict[str, list[str]] = {}
    for name, seeds in trained.items():
        groups.setdefault(_listed(seeds), []).append(name)
    return groups


def _listed(seeds: Collection[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def over(results: Sequence[Evaluated]) -> str:
    """What was drawn by chance as far as the intervals know."""
    if results[0].targets is None:
        return "training seeds alone, for these dialogs"
    if len({result.run.seed for result in results}) == 1:
        return "dialogs alone, with one training seed"
    return "dialogs and training seeds"


FIGURES = {"found": "target has been shown, % of dialogs", "percentile": "ranking percentile of the target"}
"""Metrics that are drawn, and what the axis is called."""
TITLE_LETTERS = 155
"""In a line of the title, which is as wide as both plots then."""


def plot(groups: Groups, path: Path, title: str) -> None:
    """What is found and how high the target ranks, turn by turn, side by side, each agent with its 95% band.

    The ceilings and chance are broken lines: they bound what there is to win.
    """
    from matplotlib.figure import Figure

    everything = [result for group in groups.values() for result in group]
    drawn = {name: label for name, label in FIGURES.items() if all(name in each.metrics for each in everything)}
    height = max(4.2, 1.6 + 0.22 * len(groups))
    figure = Figure(figsize=(5.2 * len(drawn) + 3.2, height), dpi=110, layout="constrained")
    for axes, (metric, label) in zip(np.ravel(figure.subplots(1, len(drawn))), drawn.items(), strict=True):
        for number, (agent, group) in enumerate(groups.items()):
            cells = _per_turn(values(group, metric))
            bound = agent in (CHANCE, CEILING, ASKING)
            turns = np.arange(1, len(cells) + 1)
            line = axes.plot(
                turns,
                [cell.value for cell in cells],
                color="0.35" if bound else COLOURS[number % len(COLOURS)],
                linestyle=BOUNDS.get(agent, "-" if number < len(COLOURS) else "-."),
                marker="" if bound else MARKERS[number % len(MARKERS)],
                label=agent,
            )[0]
            low, high = [cell.low for cell in cells], [cell.high for cell in cells]
            axes.fill_between(turns, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set(xlabel="turn", ylabel=label)
        axes.set_xticks(turns)
        axes.grid(alpha=0.3)
    figure.suptitle("\n".join(textwrap.wrap(title, TITLE_LETTERS)), fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    note = f"bands: 95% over\n{over(everything)}"
    figure.legend(handles, labels, title=note, loc="outside right center", frameon=False, fontsize=9, alignment="left")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def write(
    results: Sequence[Result],
    output: Path,
    baseline: str | None = None,
    columns: Sequence[str] = COLUMNS,
    title: str = "",
) -> str:
    """Writes the tables as Markdown, CSV, LaTeX and a page, and the plot, into the folder; returns the Markdown."""
    made = tables(results, columns)
    worth = asking(by_agent(results))
    made += [worth] if worth is not None else []
    if baseline is not None and len(by_agent(results)) > 1:
        made.append(against(results, baseline))
    text = write_tables(made, output, TABLE)
    run = results[0].run
    title = title or f"{Path(run.catalog).stem} ({run.split}), user: {run.user}"
    plot(by_agent(results), output / PLOT, title)
    page.write(made, output, title, PLOT)
    return text
