"""`benchmark carry`: agents that learned from one user meet another, every one with every other, as a square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from textwrap import fill

import numpy as np

from dialog_env.benchmarks.report import Group, at_the_end, compared, row_name
from dialog_env.benchmarks.results import Result, readable
from dialog_env.benchmarks.suites import Suite
from dialog_env.benchmarks.tables import Cell, Table, write_tables
from dialog_env.benchmarks.variations import METRICS, VariationCommand, footnote
from dialog_env.io.atomic import locked, replacing

WIDTH = 30
"""Letters in a line above a square."""

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
        print(f"Written: {', '.join(map(str, sorted(output.glob('carry.*'))))}")


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


def table(squares: Mapping[str, Square], users: Sequence[str], metric: str) -> Table:
    """A metric at the last turn, by agent and user it learned from, with a column for each user it met."""
    rows: list[list[str | Cell]] = [
        [_name(agent, square), learned or "-", *(at_the_end(square[learned or met, met], metric) for met in users)]
        for agent, square in squares.items()
        for learned in _learned(square, users)
    ]
    return Table([f"{metric}: agent", "learned from", *(f"met {user}" for user in users)], rows)


def losses(squares: Mapping[str, Square], users: Sequence[str]) -> Table | None:
    """Agents who learned from another user than they met against the same who learned from that one, if any did."""
    pairs: dict[tuple[str, ...], tuple[Group, Group]] = {
        (_name(agent, square), learned, met): (square[learned, met], square[met, met])
        for agent, square in squares.items()
        for learned, met in product(users, users)
        if learned != met and (learned, met) in square
    }
    heading = ["agent, against the same who learned from the user met", "learned from", "met"]
    return compared(pairs, heading) if pairs else None


def plot(squares: Mapping[str, Square], users: Sequence[str], path: Path) -> None:
    """A square of colours for each metric and agent that learns."""
    from matplotlib.figure import Figure

    size = 1.2 + 0.6 * len(users)
    figure = Figure(figsize=(0.8 + size * len(squares), 0.4 + size * len(METRICS)), dpi=130, layout="constrained")
    panels = figure.subplots(len(METRICS), len(squares), squeeze=False)
    short = [user.rpartition("/")[2] for user in users]
    for (row, metric), (column, (agent, square)) in product(enumerate(METRICS), enumerate(squares.items())):
        axes = panels[row, column]
        shares = np.array(
            [[at_the_end(square[learned, met], metric).interval.value for met in users] for learned in users]
        )
        axes.imshow(shares, vmin=0, vmax=100, cmap="viridis", aspect="equal")
        for place, share in np.ndenumerate(shares):
            colour = "black" if share > 55 else "white"
            axes.text(place[1], place[0], f"{share:.0f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(users)), short, rotation=30, ha="right")
        axes.set_yticks(range(len(users)), short)
        axes.set(xlabel="met", ylabel="learned from")
        axes.set_title(f"{fill(_name(agent, square), WIDTH)}\n{metric}, %", fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def write(squares: Mapping[str, Square], users: Sequence[str], output: Path) -> str:
    """Writes the tables, `carry.md` and so on, and `carry.png` where an agent learns; returns the Markdown."""
    results = [result for square in squares.values() for group in square.values() for result in group]
    ids = {result.run.user: result.run.simulator for result in results if result.run.training_user is None}
    *others, last = (table(squares, users, metric) for metric in METRICS)
    note = (
        f"{footnote(results)} Users: {', '.join(f'{user} is `{ids[user]}`' for user in users)}. Words of one that an "
        "agent does not know, since the user it learned from never says them, are UNK to it."
    )
    lost = losses(squares, users)
    tables = [*others, replace(last, note=note), *([] if lost is None else [lost])]
    if lost is not None:
        plot({agent: square for agent, square in squares.items() if _learns(square)}, users, output / "carry.png")
    return write_tables(tables, output, "carry")


def _learned(square: Square, users: Sequence[str]) -> list[str]:
    """The users that an agent learned from; an empty name where it does not learn."""
    return list(users) if _learns(square) else [""]


def _learns(square: Square) -> bool:
    return any(group[0].training for group in square.values())


def _name(agent: str, square: Square) -> str:
    return row_name(agent, next(iter(square.values())))
