"""The trainer of all learning agents: epochs of updates, checkpoints, and the numbers it logs.

TensorBoard, in `<folder>/tensorboard`, over the number of updates made:

    losses/triplet              supervised: the triplet loss, mean over the turns of the update
    losses/belief               belief: cross-entropy of the target, in nats, mean over the turns of the update
    losses/choice               policy improvement: cross-entropy of the image that the look-ahead chose
    losses/regulariser          policy improvement: what keeps the state near the target, before it is weighted
    losses/gain                 policy improvement: percentile points a turn by which the best of the K nearest beats
                                the nearest in the look-ahead
    losses/advantage            self-critical training: percentile points, summed over the turns, by which the sampled
                                dialogs beat the greedy ones
    charts/percentile           mean ranking percentile (0 to 100) of the update's dialogs over their turns
    charts/percentile_last      the same at the last turn
    charts/updates_per_second   speed of the epoch
    charts/validation           mean percentile over the turns of one dialog for every validation image
    charts/validation_last      the same at the last turn

The weights at the start are judged too (epoch 0), so that no training ends worse on validation than it began.

Checkpoints are those of `dialog_env.training.epochs`; `<folder>/agent.safetensors` holds the weights that were best on
validation. One training at a time has the folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from dialog_env.agents.base import AGENT_FILE, Agent, AgentFacts, TrainingData, generator_for
from dialog_env.agents.guo2018.networks import Network
from dialog_env.agents.settings import as_told, settings_from
from dialog_env.agents.training.batchnorm import recalibrate_batchnorm
from dialog_env.agents.training.validation import validate
from dialog_env.io import checkpoint
from dialog_env.io.atomic import locked
from dialog_env.io.reading import one_sentence
from dialog_env.training.epochs import EpochTraining
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import TargetRank, UnrankableError
from dialog_env.world.vocabulary import Vocabulary


class Trainee(Agent):
    """What the trainer has to know of an agent.

    Attributes:
        network: what learns.
        trained: how it came to be, for the records.
    """

    network: nn.Module
    vocabulary: Vocabulary
    trained: dict[str, Any]

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What is saved beside the weights."""


@dataclass(frozen=True)
class Schedule:
    """How long and in what portions training goes.

    Args:
        epochs: passes over the targets.
        drop_after: epochs after which the learning rate is a tenth; 0 never.
        batch: dialogs in an update.
        turns: turns in a dialog of validation.
        statistics: batches of dialogs from which the statistics of BatchNorm are taken after each epoch.
        targets: "once" in every epoch, or "drawn" independently of each other.
        keep: the weights that are "best" on validation, or the "last" ones.
        seed: of the order of the targets and all that the learner draws.
    """

    epochs: int
    drop_after: int
    batch: int
    turns: int
    statistics: int
    targets: str
    keep: str
    seed: int


@dataclass(frozen=True)
class UpdateMetrics:
    """What an update did.

    Args:
        losses: name to values (T,).
        target_ranks: of the targets at each turn.
    """

    losses: dict[str, Tensor]
    target_ranks: list[TargetRank]

    def percentiles(self) -> Tensor:
        """(T,) mean ranking percentile of the batch, 0 to 100."""
        return torch.stack([100 * target_rank.percentile().mean() for target_rank in self.target_ranks])


class Learner(ABC):
    """What turns an agent's weights.

    Attributes:
        modules: name to all modules that the next update depends on, whether they learn or not; the agent's own
            network under "network".
        optimiser: of those that learn.
        world: the dialogs that it learns in.
    """

    modules: dict[str, nn.Module]
    optimiser: torch.optim.Optimizer
    world: Dialog

    def begin_epoch(self, epoch: int) -> None:  # noqa: B027, most have nothing to do
        """Is told the number of each epoch, from 1, before its first update."""

    @abstractmethod
    def update(self, targets: Tensor, generator: torch.Generator) -> UpdateMetrics:
        """Learns from a dialog for each of the targets (B,), all draws from the generator, both on the CPU."""

    def descend(self, loss: Tensor) -> None:
        """One step of the optimiser down the gradient of `loss`."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


@dataclass
class TrainingProgress:
    """How far a training has come.

    Args:
        epoch: epochs done.
        best: mean validation percentile of the best of them, or of the start; None before that was judged.
        history: one row of numbers for each epoch.
    """

    epoch: int
    best: float | None
    history: list[dict[str, float]]


def identity(agent: Trainee, training_data: TrainingData) -> dict[str, Any]:
    """What makes two trainings the same: all that their weights depend on, but for the machine."""
    return {
        "agent": agent.name,
        "settings": {k: v for k, v in as_told(asdict(agent.settings)).items() if k not in ("initial", "network")},
        "seed": agent.seed,
        "dimensions": agent.dimensions,
        "vocabulary": agent.vocabulary.fingerprint,
        "catalogue": training_data.gallery.fingerprint,
        "simulator": training_data.simulator.id,
        "validation catalogue": training_data.validation_gallery.fingerprint,
        "validation simulator": training_data.validation_simulator.id,
        "initial weights": checkpoint.fingerprint(agent.network.state_dict()),
    }


def hashed(facts: dict[str, Any]) -> str:
    """A short name for an identity."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def train(
    agent: Trainee,
    learner: Learner,
    training_data: TrainingData,
    folder: Path,
    schedule: Schedule,
    *,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains an agent to the end of its schedule, going on from a checkpoint in `folder`.

    Args:
        agent: its network learns; afterwards it has the weights that were best on validation.
        learner: of that agent.
        training_data: what it learns from.
        folder: of checkpoints and logs.
        schedule: how long.
        progress: shows a progress bar with the percentile.

    Returns:
        epochs, updates, seconds, best_validation_percentile and history, for the records.

    Raises:
        ValueError: a checkpoint of another training, or numbers that are no longer finite.
        OSError: another process trains there, or the disk is full.
    """
    started = time.perf_counter()
    with locked(folder):
        training = Training(agent, learner, training_data, folder, schedule)
        training.resume()
        if not training.stopped:
            training.run_epochs(progress=progress)
        best = checkpoint.read(folder / AGENT_FILE)
    refuse_other(best.path, best.facts["trained"], training.identity, type(agent.settings))
    with one_sentence(best.path, f"agent {agent.name}", "give another folder, or remove this one to train anew"):
        agent.network.load_state_dict(best.below("network"))
    agent.network.eval()
    agent.trained = best.facts["trained"]
    done = training.done
    return {
        "epochs": done.epoch,
        "updates": done.epoch * training.updates,
        "seconds": time.perf_counter() - started,
        "best_validation_percentile": done.best,
        "history": done.history,
    }


class Training(EpochTraining[TrainingProgress]):
    """One training of one agent."""

    watched = "charts/percentile"

    def __init__(
        self, agent: Trainee, learner: Learner, training_data: TrainingData, folder: Path, schedule: Schedule
    ) -> None:
        self.agent, self.learner, self.training_data, self.schedule = agent, learner, training_data, schedule
        self._identity = identity(agent, training_data)
        self.generator = generator_for(schedule.seed, "training")
        super().__init__(
            folder,
            TrainingProgress(0, None, []),
            name=agent.name,
            epochs=schedule.epochs,
            updates=-(-len(training_data.gallery) // schedule.batch),
            modules=learner.modules,
            optimiser=learner.optimiser,
            generators={"generator": self.generator},
        )

    @property
    def identity(self) -> dict[str, Any]:
        """As it was at the start."""
        return self._identity

    def refuse_other(self, path: Path, theirs: dict[str, Any]) -> None:
        """ValueError where a file is of another training."""
        refuse_other(path, theirs, self.identity, type(self.agent.settings))

    @property
    def stopped(self) -> bool:
        """Whether the start has been judged and all epochs are done."""
        return self.done.best is not None and super().stopped

    @property
    def judged(self) -> int:
        """The start may be yet to be judged."""
        return int(self.done.best is not None)

    def begin(self, writer: SummaryWriter) -> None:
        """Judges the start, where that is yet to be done."""
        if self.done.best is None:
            self.keep(0, self.judge(), writer)

    def batches(self) -> Sequence[Tensor]:
        """Targets (B,), drawn by the generator."""
        images = len(self.training_data.gallery)
        if self.schedule.targets == "once":
            order = torch.randperm(images, generator=self.generator)
        else:
            order = torch.randint(images, (self.updates * self.schedule.batch,), generator=self.generator)
        return order.split(self.schedule.batch)

    def update(self, batch: Tensor, number: int) -> dict[str, Tensor]:
        """What the learner does, in numbers."""
        metrics = self.learner.update(batch, self.generator)
        percentiles = metrics.percentiles()
        losses = {f"losses/{name}": values.mean() for name, values in metrics.losses.items()}
        return losses | {"charts/percentile": percentiles.mean(), "charts/percentile_last": percentiles[-1]}

    def epoch(self, number: int, writer: SummaryWriter, bar: tqdm[Any]) -> None:
        """One epoch, with the learning rate that is due."""
        if number == self.schedule.drop_after + 1 > 1:
            for group in self.optimiser.param_groups:
                group["lr"] /= 10
        self.learner.begin_epoch(number)
        try:
            super().epoch(number, writer, bar)
        except UnrankableError as error:
            raise ValueError(self.diverged("what it ranks by", number)) from error

    def finish(self, epoch: int, row: dict[str, float], writer: SummaryWriter) -> None:
        """Judges the weights after an epoch, BatchNorm having taken its statistics, and keeps them."""
        self.refuse_non_finite(epoch)
        network, schedule = cast(Network, self.agent.network), self.schedule  # asked for more where it has BatchNorm
        recalibrate_batchnorm(network, self.learner.world, self.generator, schedule.statistics, schedule.batch)
        row |= self.judge()
        self.done.history.append(row)
        self.keep(epoch, row, writer)

    def keep(self, epoch: int, row: dict[str, float], writer: SummaryWriter) -> None:
        """Keeps the weights of an epoch (0: those at the start), and the agent that has them where it is better."""
        for name in ("validation", "validation_last"):
            writer.add_scalar(f"charts/{name}", row[name], epoch * self.updates)
        best = self.done.best
        better = best is None or row["validation"] > best
        self.done.epoch, self.done.best = epoch, row["validation"] if better else best
        self.agent.trained = {**self.identity, "epoch": epoch, "validation": row["validation"]}
        self.refuse_non_finite(epoch)
        if better or self.schedule.keep == "last":
            self.agent.save(self.folder)
        self.save()

    def judge(self) -> dict[str, float]:
        """Mean percentile over the turns, and at the last, of a dialog for every validation image."""
        self.agent.network.eval()
        return validate(self.agent, self.training_data, self.schedule.turns)

    def refuse_non_finite(self, epoch: int) -> None:
        """ValueError where a weight is no longer finite after an epoch."""
        for name, tensor in self.weights().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ValueError(self.diverged(f"weight {name!r}", epoch))

    def diverged(self, what: str, epoch: int) -> str:
        """What to say where something is no longer finite."""
        return (
            f"{what} became NaN or infinite in epoch {epoch}; the checkpoint in {self.folder} is from before that, "
            "train with a lower learning rate"
        )

    def facts(self) -> dict[str, Any]:
        """Those of the agent: a checkpoint can be loaded as one."""
        return self.agent.facts()

    def take(self, saved: checkpoint.Saved, done: TrainingProgress) -> None:
        """Takes up a checkpoint; ValueError for one of a later epoch than asked for."""
        if done.epoch > self.epochs:
            raise ValueError(
                f"{saved.path} is from epoch {done.epoch} and {self.epochs} were asked for; "
                "give more epochs or another folder"
            )
        super().take(saved, done)
        self.agent.trained = saved.facts_as(AgentFacts, "agent").trained


def refuse_other(path: Path, theirs: dict[str, Any], ours: dict[str, Any], kind: type[Any]) -> None:
    """ValueError where a file is of another training; only the number of epochs may differ.

    Args:
        path: of the file.
        theirs: the identity that it has; a setting that it lacks had the default then.
        ours: the identity of this training.
        kind: the dataclass of its settings.
    """
    if "agent" not in theirs:
        raise ValueError(f"{path} is not of a training; give another folder")
    pairs = [(key, theirs.get(key), value) for key, value in ours.items() if key != "settings"]
    if theirs["agent"] == ours["agent"]:
        known, own = (asdict(settings_from(kind, each.get("settings", {}))) for each in (theirs, ours))
        pairs += [(key, known[key], value) for key, value in own.items() if key != "epochs"]
    for key, old, new in pairs:
        if old != new:
            raise ValueError(
                f"{path} is of a training with {key} {old!r} and this one has {new!r}; "
                "give another folder, or the same as then"
            )
