"""The supervised agent: the state is drawn to the target's embedding and away from a random one (SL in the paper).

`released` makes the updates of the released code; docs/released.md says what differs around them, and `literal` has as
much of that as can be switched. `paper` is the paper's figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dialog_env.agents.base import TrainingData
from dialog_env.agents.candidate_selection import first_shown
from dialog_env.agents.guo2018.network_agent import NetworkAgent, NetworkSettings
from dialog_env.agents.guo2018.networks import Network
from dialog_env.agents.training.trainer import Learner, UpdateMetrics, hashed, identity
from dialog_env.agents.training.unknown import draw_unknown, with_unknown
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from dialog_env.world.vocabulary import MAX_WORDS

PAPER: dict[str, Any] = {
    "fusion": "concatenation",
    "nearest": 4,
    "epochs": 25,
    "drop_after": 15,
    "statistics": 4,
}
"""The supervised agent of the paper's figure, trained until it gains no more: 15 epochs at 1e-3 and 10 at 1e-4."""

LITERAL: dict[str, Any] = {"statistics": 0, "targets": "drawn", "keep": "last"}
"""What `released` does in another way than the released code; docs/released.md has the whole list."""


@dataclass(frozen=True)
class SupervisedSettings(NetworkSettings):
    """Settings of supervised training."""

    margin: float = 0.1
    """How much nearer, in squared distance, the target has to be than another image."""
    nearest: int = 1
    """While training, the image shown is drawn from so many nearest; 1 shows the nearest."""
    negatives: int = 1
    """Random images drawn for each dialog and turn, over which the loss is averaged."""
    unknown: float = 0.0
    """While training, the share of the words that become UNK, and of those before which one is put."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.unknown <= 1:
            raise ValueError(f"unknown is {self.unknown}; give a share of the words, from 0 to 1")
        for name in ("nearest", "negatives"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")


def triplet_losses(state: Tensor, target: Tensor, other: Tensor, margin: float) -> Tensor:
    """(..., B) max(0, |s - x+|^2 - |s - x-|^2 + margin) for states and targets (B, D) and others (..., B, D)."""
    near = (state - target).square().sum(dim=-1)
    far = (state - other).square().sum(dim=-1)
    return (near - far + margin).clamp(min=0)


class SupervisedLearner(Learner):
    """Holds dialogs with the network as it is, and updates it by the triplet loss of all their turns."""

    def __init__(
        self, network: Network, training_data: TrainingData, settings: SupervisedSettings, device: str
    ) -> None:
        self.network = network
        self.settings = settings
        self.world = Dialog(training_data.gallery, training_data.simulator, turns=settings.turns, device=device)
        self.words = len(training_data.simulator.vocabulary)
        self.modules = {"network": network}
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def update(self, targets: Tensor, generator: torch.Generator) -> UpdateMetrics:
        """Draws first candidates, negatives and, where K > 1, the places of the images shown; then learns."""
        images, dialogs = len(self.world.gallery), (self.settings.turns, len(targets))
        first = first_shown(self.world, targets, self.settings.targets, generator)
        turns, batch = dialogs
        negatives = torch.randint(images, (turns, self.settings.negatives, batch), generator=generator)
        places = torch.randint(min(self.settings.nearest, images), dialogs, generator=generator)
        device = self.world.device
        lost = draw_unknown(*dialogs, MAX_WORDS, generator).to(device) if self.settings.unknown else None
        return self.learn(targets.to(device), first.to(device), negatives.to(device), places.to(device), lost)

    def learn(
        self, targets: Tensor, first: Tensor, negatives: Tensor, places: Tensor, lost: Tensor | None = None
    ) -> UpdateMetrics:
        """One update.

        Args:
            targets: (B,) int64.
            first: (B,) int64, the first candidates.
            negatives: (T, M, B) int64, the images to stay away from.
            places: (T, B) int64, which of the nearest images is shown.
            lost: (T, B, 2, L) in [0, 1), by which words become unknown; none do where None.
        """
        network, world = self.network.train(), self.world
        with torch.no_grad():
            gallery = EmbeddedGallery(network.image(world.features))
        observation = world.reset(targets, first)
        hidden = network.begin(len(targets))
        target = network.image(world.features[targets])  # (B, D) -> (B, E)
        losses, target_ranks = [], []
        for turn, (negative, place) in enumerate(zip(negatives, places, strict=True)):  # (M, B), (B,)
            heard = observation.feedback
            if lost is not None:
                heard = with_unknown(heard, lost[turn], self.settings.unknown, self.words)
            state, hidden = network(observation.features, heard, hidden)
            other = network.image(world.features[negative])  # (M, B, D) -> (M, B, E)
            losses.append(triplet_losses(state, target, other, self.settings.margin).mean())
            ranking = QueryRanking(state, gallery)
            nearest = ranking.top(min(self.settings.nearest, ranking.images))
            observation, outcome = world.step(ranking, nearest.gather(1, place[:, None])[:, 0])
            target_ranks.append(outcome.target_rank)
        turn_losses = torch.stack(losses)
        self.descend(turn_losses.mean())
        return UpdateMetrics({"triplet": turn_losses.detach()}, target_ranks)


class Supervised(NetworkAgent):
    """The dialog network, trained by the triplet loss."""

    name = "supervised"
    Settings = SupervisedSettings
    configurations = {"released": {}, "literal": LITERAL, "paper": PAPER}  # noqa: RUF012
    settings: SupervisedSettings

    def learner(self, training_data: TrainingData) -> SupervisedLearner:
        """What turns the weights."""
        return SupervisedLearner(self.network, training_data, self.settings, self.device)


class BeginsSupervised(NetworkAgent):
    """An agent that begins from supervised weights, trained as its setting `pretraining` says.

    They are kept under a hash of all they depend on, beside the folder of the agent or where `TrainingData` says.
    """

    def begins_from(self, training_data: TrainingData) -> Path | None:
        """Folder of the supervised agent; None where initial weights are given, or each keeps its own."""
        if self.settings.initial or training_data.pretrained is None:
            return None
        return training_data.pretrained / _folder_name(self._supervised(), training_data)

    def pretrain(self, training_data: TrainingData, *, progress: bool = True) -> None:
        """Trains the supervised agent, unless it is there."""
        folder = self.begins_from(training_data)
        if folder is not None:
            self._supervised().train(training_data, folder, progress=progress)

    def pretrained(self, training_data: TrainingData, folder: Path, *, progress: bool) -> Path:
        """Folder of the supervised agent that it begins from, trained there unless it is already."""
        supervised = self._supervised()
        there = (training_data.pretrained or folder.parent) / _folder_name(supervised, training_data)
        supervised.train(training_data, there, progress=progress)
        return there

    def _supervised(self) -> Supervised:
        """A supervised agent with the network, fusion, sizes, seed and device of this one, untrained."""
        settings: Any = self.settings
        return Supervised.create(
            replace(settings.pretraining, fusion=settings.fusion, network=""),
            dimensions=self.dimensions,
            vocabulary=self.vocabulary,
            seed=self.seed,
            device=self.device,
            network=type(self.network),
        )


def _folder_name(supervised: Supervised, training_data: TrainingData) -> str:
    return f"supervised-{hashed(identity(supervised, training_data))}"
