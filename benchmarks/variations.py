"""Runs of the same agents on suites that differ in their users alone, and what their commands have in common."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from dialog_env.benchmarks.jobs import Plan, refuse_failed, run_all
from dialog_env.benchmarks.jobs.command import WayOptions
from dialog_env.benchmarks.report import by_agent, over
from dialog_env.benchmarks.results import Result
from dialog_env.benchmarks.suites import Suite, find_suite

METRICS = ("found", "R@1")
"""What is looked at, at the last turn."""

Key = TypeVar("Key", bound=Hashable)


@dataclass
class VariationCommand(WayOptions):
    """What the commands have in common."""

    suite: str = "drawn-1k"
    """Name of a suite, or a JSON file with one."""
    agents: tuple[str, ...] = ("supervised@paper",)
    """Agents: name, name@configuration or name:setting=value,…; where they are compared, with the first."""
    seeds: tuple[int, ...] | None = None
    """Training seeds; those of the suite where left out."""
    output: Path | None = None
    """Folder of the results, where what is there is not run again; left out, runs/SUITE-COMMAND."""
    trained: Path = Path("runs/trained")
    """Folder of trained agents, shared by all runs."""

    def opened(self) -> Suite:
        """The suite, with the seeds that were asked for; ValueError where nothing is to be run."""
        if not self.agents:
            raise ValueError("no agent is named; give --agents")
        suite = find_suite(self.suite)
        if self.devices()[1] == "cpu":
            torch.set_num_threads(1)  # another number rounds differently, and trains to other digits
        return suite if self.seeds is None else replace(suite, seeds=self.seeds)

    def run(
        self, variations: Mapping[Key, tuple[Suite, Path]], agents: Sequence[str]
    ) -> dict[str, dict[Key, list[Result]]]:
        """Results by agent and by what the variation is called, each a list over seeds.

        Args:
            variations: what each is called to its suite and the folder of its results.
            agents: as on the command line.

        Raises:
            ValueError: runs that failed, once all have been tried.
        """
        found: dict[str, dict[Key, list[Result]]] = {text: {} for text in agents}
        failed: dict[str, str] = {}
        way, (device, here) = self.way(), self.devices()
        for key, (suite, folder) in variations.items() if agents else ():
            plan = Plan(suite, folder, device, self.trained)
            print(f"User: {suite.simulator}; learned from: {suite.training_simulator or suite.simulator}")
            done, problems = run_all(plan, plan.open(here), agents, suite.seeds, way)
            failed |= {f"{name} with {suite.simulator}": why for name, why in problems.items()}
            for text, results in by_agent(done).items():
                found[text][key] = results
        refuse_failed(failed)
        return found


def footnote(results: Sequence[Result], first: int = 1) -> str:
    """What was run, in a sentence or two below a table of found and of R@K with K `first`."""
    run = results[0].run
    seeds = ", ".join(str(seed) for seed in sorted({result.run.seed for result in results}))
    return (
        f"Gallery: {results[0].images} images of `{run.catalog}` ({run.split}); {results[0].dialogs} dialogs of "
        f"{run.turns} turns, the same in every cell; training seeds {seeds}. In percent; in brackets: 95% intervals "
        f"over {over(results)}. Found: the target has been shown by turn {run.turns}; R@{first}: it is "
        f"{'the first' if first == 1 else f'among the first {first}'} of the ranking then."
    )
