"""Self-critical sequence training: a sampled dialog is rewarded for beating its greedy twin (paper, RL-SCST).

The released code has none. `released` is this one with the network, the first training, the optimiser, K and tau of
policy improvement as released; `paper` is the same with those of the paper's figure. `tuned` has besides what policy
improvement was given: the loss of supervised training beside its own, and settings chosen on validation images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dialog_env.agents.base import TrainingData
from dialog_env.agents.candidate_selection import check_choice, first_shown, sample, spread, squared_distances
from dialog_env.agents.guo2018.network_agent import NetworkSettings
from dialog_env.agents.guo2018.networks import Network
from dialog_env.agents.guo2018.supervised import PAPER, BeginsSupervised, SupervisedSettings, triplet_losses
from dialog_env.agents.training.cached_user import CachedUser
from dialog_env.agents.training.trainer import Learner, UpdateMetrics
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, TargetRank

AS_PAPER: dict[str, Any] = {
    "fusion": "concatenation",
    "relative": True,
    "tau": 1.0,
    "epochs": 6,
    "statistics": 4,
    "pretraining": PAPER,
}
"""With the network, the first training and as many updates as all others of the paper's figure."""


@dataclass(frozen=True)
class ScstSettings(NetworkSettings):
    """Settings of self-critical sequence training."""

    epochs: int = 20
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    nearest: int = 4
    """K, how many nearest images the sampled dialog chooses among."""
    tau: float = 0.2
    """Temperature of the choice: a squared distance, or a share of the spread (`relative`)."""
    relative: bool = False
    """Measures tau in spreads: mean difference of squared distance between the nearest and farthest of the K."""
    weight: float = 0.0
    """Of the loss of supervised training, at each turn of the sampled dialog; 0 leaves it out."""
    negatives: int = 5
    """Random images that this loss is averaged over."""
    pretraining: SupervisedSettings = field(default_factory=SupervisedSettings)
    """How the first weights are trained where no initial ones are given; network and fusion are those of the agent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nearest < 2:
            raise ValueError(f"nearest is {self.nearest}; give 2 or more, or nothing is there to choose")
        if not self.tau > 0:
            raise ValueError(f"tau is {self.tau}; give a temperature above 0")
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight}; give 0 or more")
        if self.negatives < 1:
            raise ValueError(f"negatives is {self.negatives}; give 1 or more")


class ScstLearner(Learner):
    """Holds every dialog twice, greedily and with sampled images, and reinforces what was sampled by the difference."""

    def __init__(self, network: Network, training_data: TrainingData, settings: ScstSettings, device: str) -> None:
        check_choice(settings.nearest, training_data.gallery)
        self.network, self.settings = network, settings
        self.modules = {"network": network}
        self.cached_user = CachedUser(training_data.simulator, training_data.gallery)
        self.world = Dialog(training_data.gallery, self.cached_user, turns=settings.turns, device=device)
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def update(self, targets: Tensor, generator: torch.Generator) -> UpdateMetrics:
        """Draws first candidates and what decides the images sampled; then learns."""
        first = first_shown(self.world, targets, self.settings.targets, generator)
        settings, device = self.settings, self.world.device
        uniforms = torch.rand(settings.turns, len(targets), generator=generator)
        negatives = None
        if settings.weight:
            shape = (settings.turns, settings.negatives, len(targets))
            negatives = torch.randint(len(self.world.gallery), shape, generator=generator).to(device)
        return self.learn(targets.to(device), first.to(device), uniforms.to(device), negatives)

    def learn(self, targets: Tensor, first: Tensor, uniforms: Tensor, negatives: Tensor | None = None) -> UpdateMetrics:
        """One update.

        Args:
            targets: (B,) int64.
            first: (B,) int64, the first candidates.
            uniforms: (T, B) in [0, 1), what decides which images are sampled.
            negatives: (T, E, B) int64, images that the supervised loss keeps away from; None leaves it out.
        """
        self.network.train()
        self.cached_user.forget()
        with torch.no_grad():
            gallery = EmbeddedGallery(self.network.image(self.world.features))
            greedy, _, _ = self.converse(gallery, targets, first, None)
        sampled, log_probability, states = self.converse(gallery, targets, first, uniforms)
        reward = self.returns(sampled) - self.returns(greedy)
        losses = {"advantage": 100 * reward[None].mean(dim=1)}
        loss = -(reward * log_probability).mean()
        if negatives is not None:
            losses["triplet"] = self.triplet(states, targets, negatives)
            loss = loss + self.settings.weight * losses["triplet"].sum()
        self.descend(loss)
        return UpdateMetrics({name: values.detach() for name, values in losses.items()}, greedy)

    def triplet(self, states: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
        """(T,) the loss of supervised training of states (T, B, 256) and negatives (T, E, B)."""
        target, margin = self.network.image(self.world.features[targets]), self.settings.pretraining.margin
        far = [self.network.image(self.world.features[each]) for each in negatives]
        turns = zip(states, far, strict=True)
        return torch.stack([triplet_losses(state, target, images, margin).mean() for state, images in turns])

    def converse(
        self, gallery: EmbeddedGallery, targets: Tensor, first: Tensor, uniforms: Tensor | None
    ) -> tuple[list[TargetRank], Tensor, Tensor]:
        """A dialog for each target, greedy or sampled by uniforms (T, B).

        Returns:
            the target's rank at each turn, the log-probability (B,) of the images shown, and the states (T, B, 256).
            The image of the last turn changes no ranking any more and does not count.
        """
        world, settings = self.world, self.settings
        observation = world.reset(targets, first)
        hidden = self.network.begin(len(targets))
        total = torch.zeros(len(targets), device=world.device)
        target_ranks, states = [], []
        for turn in range(settings.turns):
            state, hidden = self.network(observation.features, observation.feedback, hidden)
            ranking = QueryRanking(state, gallery)
            shown = None
            if uniforms is not None:
                nearest = ranking.top(settings.nearest)  # (B, K)
                images = self.network.image(world.features[nearest])  # (B, K, 256)
                unit = spread(state, images) if settings.relative else 1.0
                logits = -squared_distances(state, images) / (settings.tau * unit)
                place = sample(logits, uniforms[turn])[:, None]
                shown = nearest.gather(1, place)[:, 0]
                if turn + 1 < settings.turns:
                    total = total + logits.log_softmax(dim=1).gather(1, place)[:, 0]
            observation, outcome = world.step(ranking, shown)
            target_ranks.append(outcome.target_rank)
            states.append(state)
        return target_ranks, total, torch.stack(states)

    @staticmethod
    def returns(target_ranks: list[TargetRank]) -> Tensor:
        """(B,) percentiles summed over the turns."""
        return torch.stack([target_rank.percentile() for target_rank in target_ranks]).sum(dim=0)


class Scst(BeginsSupervised):
    """The dialog network, trained by self-critical sequence training."""

    name = "scst"
    Settings = ScstSettings
    configurations = {  # noqa: RUF012
        "released": {},
        "paper": AS_PAPER,
        "tuned": {**AS_PAPER, "weight": 30.0},
    }
    settings: ScstSettings

    def learner(self, training_data: TrainingData) -> ScstLearner:
        """What turns the weights."""
        return ScstLearner(self.network, training_data, self.settings, self.device)
