"""A training in a folder: epochs of updates, a checkpoint after each, TensorBoard, and a bar.

`<folder>/checkpoint.safetensors` holds everything that the next epoch depends on: weights, optimiser, generators and
position. A training that was killed goes on from it to the same numbers (on the same machine and number of threads; a
graphics card may round differently). It is replaced as a whole, after all else that an epoch writes: a kill between
the two repeats an epoch that ends in the same files. Whoever trains holds the lock of the folder.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from dialog_env.io import checkpoint
from dialog_env.io.reading import one_sentence, understand

CHECKPOINT_FILE = "checkpoint.safetensors"
REPORT_EVERY = 10

Progress = TypeVar("Progress", bound=Any)
"""A dataclass with `epoch`, how many are done, and `history`, a row of numbers for each."""


class EpochTraining(ABC, Generic[Progress]):
    """What learns, where it stands, its epochs, and its files.

    Args:
        folder: of checkpoints and logs.
        done: how far it has come: not at all.
        name: before the bar.
        epochs: how many there will be.
        updates: how many an epoch has.
        modules: name to all modules that the next update depends on, whether they learn or not.
        optimiser: of those that learn.
        generators: name to whatever draws.

    Attributes:
        unit: what `size` counts, in the plural; the speed of an epoch is so many a second.
        watched: the number of an update that the bar shows.
    """

    unit: ClassVar[str] = "updates"
    watched: ClassVar[str]

    def __init__(
        self,
        folder: Path,
        done: Progress,
        *,
        name: str,
        epochs: int,
        updates: int,
        modules: Mapping[str, nn.Module],
        optimiser: torch.optim.Optimizer,
        generators: Mapping[str, torch.Generator],
    ) -> None:
        self.folder, self.done, self.name = folder, done, name
        self.epochs, self.updates = epochs, updates
        self.modules, self.optimiser, self.generators = modules, optimiser, generators

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What makes two trainings the same: all that their weights depend on, but for the machine."""

    @abstractmethod
    def refuse_other(self, path: Path, theirs: dict[str, Any]) -> None:
        """ValueError where a file is of the training of another identity."""

    @abstractmethod
    def batches(self) -> Sequence[Any]:
        """What each update of an epoch learns from, drawn anew."""

    @abstractmethod
    def update(self, batch: Any, number: int) -> dict[str, Tensor]:
        """One update, the `number`-th from 0 of the training; gives numbers by their names in TensorBoard."""

    @abstractmethod
    def finish(self, epoch: int, row: dict[str, float], writer: SummaryWriter) -> None:
        """Judges an epoch that was learned as `row["validation"]`, notes that in `done`, and ends in `save`."""

    @property
    def stopped(self) -> bool:
        """Whether nothing is left to be done."""
        return bool(self.done.epoch >= self.epochs)

    @property
    def judged(self) -> int:
        """How many points are logged at the step where the epochs done end."""
        return 1

    def size(self, batch: Any) -> int:
        """How much of `unit` a batch is."""
        return 1

    def settings_of(self, number: int) -> dict[str, float]:
        """What is logged of an update beside its numbers."""
        return {}

    def refuse_numbers(self, numbers: dict[str, float]) -> None:
        """ValueError where an update's numbers show that going on is useless."""

    def facts(self) -> dict[str, Any]:
        """What else a checkpoint says."""
        return {}

    def weights(self) -> dict[str, Tensor]:
        """All that the modules hold."""
        return {f"{name}.{key}": each for name, part in self.modules.items() for key, each in part.state_dict().items()}

    def begin(self, writer: SummaryWriter) -> None:
        """What comes before the first epoch that is left."""

    def run_epochs(self, *, progress: bool) -> None:
        """All epochs that are left."""
        before = self.done.epoch * self.updates
        writer = SummaryWriter(self.folder / "tensorboard", purge_step=before + self.judged)
        total = self.epochs * self.updates
        bar = tqdm(total=total, initial=before, desc=self.name, unit="updates", disable=not progress)
        with writer, bar:
            self.begin(writer)
            while not self.stopped:
                self.epoch(self.done.epoch + 1, writer, bar)

    def epoch(self, number: int, writer: SummaryWriter, bar: tqdm[Any]) -> None:
        """One epoch, from 1, and what follows it."""
        row = self.learn(number, writer, bar)
        self.finish(number, row, writer)
        bar.set_postfix({name: f"{row[name]:.3f}" for name in (_short(self.watched), "validation")})

    def learn(self, epoch: int, writer: SummaryWriter, bar: tqdm[Any]) -> dict[str, float]:
        """The updates of an epoch; gives its mean numbers and its speed."""
        started, before, size = time.perf_counter(), (epoch - 1) * self.updates, 0
        rows: list[Tensor] = []
        for number, batch in enumerate(self.batches(), 1):
            numbers = self.update(batch, before + number - 1)
            rows.append(torch.stack(list(numbers.values())))
            size += self.size(batch)
            bar.update()
            if number % REPORT_EVERY == 0 or number == self.updates:
                values = dict(zip(numbers, rows[-1].tolist(), strict=True))
                self.refuse_numbers(values)
                for name, value in (values | self.settings_of(before + number - 1)).items():
                    writer.add_scalar(name, value, before + number)
                bar.set_postfix({_short(self.watched): f"{values[self.watched]:.3f}"})
        speed = size / (time.perf_counter() - started)
        writer.add_scalar(f"charts/{self.unit}_per_second", speed, before + self.updates)
        means = torch.stack(rows).mean(dim=0).tolist()
        return {_short(name): value for name, value in zip(numbers, means, strict=True)} | {
            f"{self.unit}_per_second": speed
        }

    def save(self) -> None:
        """Writes the checkpoint."""
        state = {name: generator.get_state() for name, generator in self.generators.items()}
        tensors = {**self.weights(), **checkpoint.optimiser_tensors(self.optimiser), **state}
        groups = checkpoint.optimiser_groups(self.optimiser)
        facts = {**self.facts(), "identity": self.identity, "progress": asdict(self.done), "groups": groups}
        checkpoint.write(self.folder / CHECKPOINT_FILE, tensors, facts)

    def resume(self) -> None:
        """Takes everything up from the checkpoint in the folder, if there is one; ValueError for one of another."""
        for leftover in self.folder.glob(".*.safetensors.*.part"):
            leftover.unlink(missing_ok=True)
        path = self.folder / CHECKPOINT_FILE
        if not path.exists():
            return
        saved = checkpoint.read(path)
        with one_sentence(path, "training checkpoint of this release", "give another folder"):
            self.refuse_other(path, saved.facts.get("identity", {}))
            self.take(saved, understand(json.dumps(saved.facts["progress"]), type(self.done)))

    def take(self, saved: checkpoint.Saved, done: Progress) -> None:
        """Takes up what a checkpoint of the same training holds."""
        for name, module in self.modules.items():
            module.load_state_dict(saved.below(name))
        checkpoint.restore_optimiser(self.optimiser, saved, saved.facts["groups"])
        for name, generator in self.generators.items():
            generator.set_state(saved.tensors[name])
        self.done = done


def _short(name: str) -> str:
    return name.rpartition("/")[2]
