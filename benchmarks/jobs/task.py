"""One run of a plan, as it is handed to a process or to another machine."""

from __future__ import annotations

import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.results import readable
from dialog_env.benchmarks.suites import Suite
from dialog_env.io.commands import sentence

LOGS = "logs"
AGAIN = 2.0
"""Seconds until a run that waits for a training of another one looks again."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Args:
        suite: shared by all runs.
        output: folder of the results.
        device: where everything lives.
        trained: folder of trained agents; see `Experiment`.
    """

    suite: Suite
    output: Path
    device: str
    trained: Path | None

    def open(self, device: str | None = None) -> Experiment:
        """The galleries and users, on another device where that is given."""
        return Experiment(self.suite, self.output, device=device or self.device, trained=self.trained)


@dataclass(frozen=True)
class Task:
    """One agent with one seed, or the training from which it begins and others with it.

    Args:
        plan: what it belongs to.
        agent: as on the command line.
        seed: of training.
        pretraining: only what the agent begins from is trained.
    """

    plan: Plan
    agent: str
    seed: int
    pretraining: bool = False

    @property
    def name(self) -> str:
        """As it stands in messages."""
        return f"{self.agent}, seed {self.seed}" + (": what it begins from" if self.pretraining else "")

    @property
    def log(self) -> Path:
        """The file of what it prints where it does not run in the process of the command."""
        parts = ("pretraining",) * self.pretraining + (self.plan.suite.simulator, self.agent, f"seed{self.seed}")
        return self.plan.output / LOGS / ("_".join(map(readable, parts)) + ".txt")

    def before(self, experiment: Experiment) -> tuple[Path, Task] | None:
        """What has to be trained first, and the folder that names it; None where there is nothing, or it was run."""
        folder = experiment.begins_from(self.agent, self.seed)
        return None if folder is None else (folder, replace(self, pretraining=True))

    def perform(self, experiment: Experiment) -> None:
        """Runs it; errors as of `Experiment.run`."""
        if self.pretraining:
            experiment.pretrain(self.agent, self.seed)
        else:
            experiment.run(self.agent, self.seed)

    def perform_apart(self) -> str:
        """Runs it with one thread and its own galleries, printing into its log; gives what was wrong, or nothing."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
            torch.set_num_threads(1)
            try:
                experiment = self.plan.open()
                while True:
                    try:
                        self.perform(experiment)
                        return ""
                    except BlockingIOError:  # another run trains what both begin from
                        time.sleep(AGAIN)
            except Exception as error:
                traceback.print_exc()
                print(f"error: {sentence(error)}")
                return sentence(error)
