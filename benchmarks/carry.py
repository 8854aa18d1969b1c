"""`benchmark carry`: agents that learned from one user meet another, every one with every other, as a square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from dialog_env.benchmarks.report import row_name, values
from dialog_env.benchmarks.results import Result, readable
from dialog_env.benchmarks.suites import Suite
from dialog_env.benchmarks.variations import METRICS, VariationCommand, at_the_end, footnote
from dialog_env.evaluate.statistics import holm, paired_difference
from dialog_env.io.atomic import locked, replacing, write_atomically

LOSSES = (
    "Each less the same agent who learned from the user met, paired by training seed and dialog. In brackets: 95% "
    "intervals, each by itself; p: of a t test, corrected for the number of differences in this table (Holm, 1979).\n"
)

Square = Mapping[tuple[str, str], Sequence[Result]]
"""The results of one agent: the user it learned from and the user it met, to a result for each seed.

One that does not learn has those alone in which both are the same.
"""


@dataclass
class CarryCommand(VariationCommand):
    """Train agents with each of several users, and evaluate them with every other; write tables and a plot."""

    users: tuple[str, ...] = ("captioner", "describer")
    """The users, as for --simulator."""

    def __call__(self) -> None:
        """Runs the square of every agent."""
        if len(set(self.users)) < 2:
            raise ValueError(
                f"users are {', '.join(self.users) or 'none'}; give two or more, to go from one to another"
            )
        suite = self.opened()
        output = self.output or Path("runs") / f"{suite.name}-carry"
        output.mkdir(parents=True, exist_ok=True)
        own = self.run(variations(suite, self.users, output, own=True), self.agents)
        learned = [text for text, square in own.items() if _learns(square)]
        others = self.run(variations(suite, self.users, output, own=False), learned)
        squares = {text: {**own[text], **others.get(text, {})} for text in self.agents}
        with locked(output):
            print("\n" + write(squares, self.users, output))
        print(f"Written: {output / 'carry.md'}, {output / 'carry.png'}")


def variations(
    suite: Suite, users: Sequence[str], output: Path, *, own: bool
) -> dict[tuple[str, str], tuple[Suite, Path]]:
    """Suites in which the user learned from and the user met are the same one, or two; each with its folder."""
    return {
        (learned, met): (
            replace(
                suite,
                simulator=met,
                training_simulator=None if learned == met else learned,
                user=suite.user if met == suite.simulator else "",
            ),
            output / f"learned-from-{readable(learned)}",
        )
        for learned, met in product(users, users)
        if (learned == met) == own
    }


def table(squares: Mapping[str, Square], users: Sequence[str], metric: str) -> str:
    """Markdown: a metric at the last turn, by agent and user it learned from, with a column for each user it met."""
    lines = [_line([f"{metric}: agent", "learned from", *(f"met {user}" for user in users)]), _rule(2 + len(users))]
    for agent, square in squares.items():
        for learned in _learned(square, users):
            cells = [f"{at_the_end(square[learned or met, met], metric):.1f}" for met in users]
            lines.append(_line([_name(agent, square), learned or "-", *cells]))
    return "\n".join(lines) + "\n"


def losses(squares: Mapping[str, Square], users: Sequence[str]) -> str:
    """Markdown: those who learned from another user than they met, less the same agents who learned from that one."""
    rows = {
        (_name(agent, square), learned, met): [
            paired_difference(values(square[learned, met], metric)[..., -1], values(square[met, met], metric)[..., -1])
            for metric in METRICS
        ]
        for agent, square in squares.items()
        for learned, met in product(users, users)
        if learned != met and (learned, met) in square
    }
    corrected = iter(holm([each.p for row in rows.values() for each in row]))
    heads = [cell for metric in METRICS for cell in (metric, "p")]
    lines = [_line(["agent", "learned from", "met", *heads]), _rule(3 + len(heads))]
    for names, row in rows.items():
        cells = [cell for each in row for cell in (f"{each:+.1f}", _chance(next(corrected)))]
        lines.append(_line([*names, *cells]))
    return "\n".join(lines) + "\n"


def plot(squares: Mapping[str, Square], users: Sequence[str], path: Path) -> None:
    """A square of colours for each metric and agent."""
    from matplotlib.figure import Figure

    size = 1.6 + 0.75 * len(users)
    figure = Figure(figsize=(1.6 + size * len(squares), 0.6 + size * len(METRICS)), dpi=130, layout="constrained")
    panels = figure.subplots(len(METRICS), len(squares), squeeze=False)
    short = {user: user.rpartition("/")[2] for user in users} | {"": "-"}
    for (row, metric), (column, (agent, square)) in product(enumerate(METRICS), enumerate(squares.items())):
        axes, learned = panels[row, column], _learned(square, users)
        shares = np.array([[at_the_end(square[one or met, met], metric).value for met in users] for one in learned])
        axes.imshow(shares, vmin=0, vmax=100, cmap="viridis", aspect="equal")
        for place, share in np.ndenumerate(shares):
            colour = "black" if share > 55 else "white"
            axes.text(place[1], place[0], f"{share:.0f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(users)), [short[user] for user in users], rotation=30, ha="right")
        axes.set_yticks(range(len(learned)), [short[user] for user in learned])
        axes.set(xlabel="met", ylabel="learned from", title=f"{_name(agent, square)}\n{metric}, %")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def write(squares: Mapping[str, Square], users: Sequence[str], output: Path) -> str:
    """Writes `carry.md` and `carry.png` into the folder and returns the tables."""
    results = [result for square in squares.values() for group in square.values() for result in group]
    tables = [table(squares, users, metric) for metric in METRICS]
    met = {result.run.user: result.run.simulator for result in results if result.run.training_user is None}
    note = footnote(results) + " Users: " + ", ".join(f"{user} is `{met[user]}`" for user in users) + "."
    parts = [*tables, note + " Words of another user that an agent does not know are UNK to it.\n"]
    if any(learned != other for square in squares.values() for learned, other in square):
        parts += [losses(squares, users), LOSSES]
    text = "\n".join(parts)
    write_atomically(output / "carry.md", text.encode())
    plot(squares, users, output / "carry.png")
    return text


def _learned(square: Square, users: Sequence[str]) -> list[str]:
    """The users that an agent learned from; an empty name where it does not learn."""
    return list(users) if _learns(square) else [""]


def _learns(square: Square) -> bool:
    return any(group[0].training for group in square.values())


def _name(agent: str, square: Square) -> str:
    return row_name(agent, next(iter(square.values())))


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
