"""`python -m tools.asking_curve FOLDER`: what asking gains, against how good the belief is that asks.

The folder holds results of a benchmark in which agents were run with `ask=…` and without, and both ceilings. Every
agent that asks is paired with the one of the same name that shows the likeliest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import tyro

from dialog_env.benchmarks.results import Result, read_all
from dialog_env.benchmarks.tables import Cell, Table, markdown
from dialog_env.evaluate.statistics import Difference, paired_difference
from dialog_env.io.commands import run_command


@dataclass(frozen=True)
class Pair:
    """An agent with and without asking.

    Args:
        name: of the one that shows the likeliest.
        way: in which the other asks.
        likely: (T,) percent of the dialogs in which it has found the target by each turn.
        gains: of the other, for each turn.
    """

    name: str
    way: str
    likely: list[float]
    gains: list[Difference]


@dataclass
class Curve:
    """Prints a table of what asking gains, and draws it."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Of the results."""
    output: Path
    """The picture."""
    turn: int = 3
    """By which the target is to be found, in the picture."""

    def __call__(self) -> None:
        """Runs it; ValueError where nobody asks."""
        pairs = sorted(pairs_of(read_all(self.folder)), key=lambda pair: pair.likely[self.turn - 1])
        if not pairs:
            raise ValueError(f"{self.folder} holds no agent with ask=… beside the same without; run both there")
        print(markdown(table(pairs)))
        figure, axis = plt.subplots(figsize=(5, 3.6), layout="constrained")
        axis.axhline(0, color="grey", linewidth=1)
        for way in sorted({pair.way for pair in pairs}):
            some = [pair for pair in pairs if pair.way == way]
            gains = [pair.gains[self.turn - 1] for pair in some]
            middle = np.array([gain.value for gain in gains])
            reach = [middle - [gain.low for gain in gains], [gain.high for gain in gains] - middle]
            found = [pair.likely[self.turn - 1] for pair in some]
            axis.errorbar(found, middle, yerr=reach, marker="o", capsize=3, linestyle="-", label=way)
        axis.set(xlabel=f"found by turn {self.turn} without asking, %", ylabel="gain by asking, points")
        axis.legend()
        figure.savefig(self.output, dpi=110)
        plt.close(figure)


def pairs_of(results: list[Result]) -> list[Pair]:
    """Every agent that asks, with the one of the same name that does not."""
    by_name = {result.run.agent: result for result in results}
    pairs = []
    for text, asks in by_name.items():
        way = "exact belief, asks" if text == "ceiling@asks" else "".join(re.findall(r"ask=(\w+)", text))
        name = re.sub(r"@asks|[:,]ask=\w+", "", text)
        if not way or name not in by_name:
            continue
        ours, theirs = (result.values("found") for result in (asks, by_name[name]))  # (M, T)
        gains = [paired_difference(ours[:, turn], theirs[:, turn]) for turn in range(ours.shape[1])]
        pairs.append(Pair(name, way, theirs.mean(axis=0).tolist(), gains))
    return pairs


def table(pairs: list[Pair]) -> Table:
    """One row for each."""
    turns = range(len(pairs[0].gains))
    head = ["belief", "asks", *(f"gain, turn {turn + 1}" for turn in turns)]
    head[1:1] = [f"found by turn {turn + 1} without, %" for turn in (1, 2) if turn in turns]
    rows: list[list[str | Cell]] = [
        [
            f"`{pair.name}`",
            *(f"{pair.likely[turn]:.1f}" for turn in (1, 2) if turn in turns),
            pair.way,
            *(Cell(gain, signed=True) for gain in pair.gains),
        ]
        for pair in pairs
    ]
    return Table(head, rows)


if __name__ == "__main__":
    run_command(lambda: tyro.cli(Curve)())
