"""`python -m benchmarks`: run agents against each other, and make tables and plots of what was run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks import report, results
from benchmarks.experiment import Experiment, Setting
from dialog_env.envs.core import DEFAULT_SIMULATOR


@dataclass
class RunCommand:
    """Train and evaluate agents on a catalogue; write results, a table and a plot."""

    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    simulator: str = DEFAULT_SIMULATOR
    """The user."""
    agents: tuple[str, ...] = ("random", "supervised")
    """Agents: name, name@configuration or name:setting=value,…; the first is what the others are compared with."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds."""
    output: Path = Path("runs/benchmark")
    """Folder of the results; what is there already is not run again."""
    train_split: str = "train"
    """Gallery to learn on."""
    validation_split: str = "validation"
    """Gallery to choose the best epoch by."""
    test_split: str = "test"
    """Gallery to evaluate on."""
    evaluation_seed: int = 0
    """Draws the first candidates of the evaluation."""
    turns: int = 5
    """Turns of a dialog."""
    device: str = "cpu"
    """cpu or cuda."""
    ties: str = "half"
    """half, or strict ranks as in the released code."""

    def __call__(self) -> None:
        """Runs every agent with every seed, one after the other."""
        experiment = Experiment(
            Setting(
                catalog=self.catalog,
                simulator=self.simulator,
                output=self.output,
                train_split=self.train_split,
                validation_split=self.validation_split,
                test_split=self.test_split,
                evaluation_seed=self.evaluation_seed,
                turns=self.turns,
                device=self.device,
                ties=self.ties,
            )
        )
        done = [experiment.run(agent, seed) for agent in self.agents for seed in self.seeds]
        print("\n" + report.write(done, self.output, baseline=self.agents[0]))
        print(f"Written: {self.output / 'table.md'}, {self.output / 'percentile.png'}")


@dataclass
class TableCommand:
    """Make table and plot again from the results in a folder."""

    output: Path
    """Folder of the results."""
    baseline: str | None = None
    """Agent that the others are compared with."""

    def __call__(self) -> None:
        """Reads every result below the folder."""
        found = results.read_all(self.output)
        if not found:
            raise ValueError(f"{self.output} holds no results; run `python -m benchmarks run` first")
        print(report.write(found, self.output, self.baseline))


Command = Annotated[RunCommand, tyro.conf.subcommand("run")] | Annotated[TableCommand, tyro.conf.subcommand("table")]


def main() -> None:
    """Runs the command line; bad input ends in one sentence."""
    command = tyro.cli(Command, prog="python -m benchmarks")
    try:
        command()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
