"""Policy improvement by looking ahead with the known user (Guo et al., 2018, model-based policy improvement).

`released` makes the updates of the released code; docs/released.md says what differs around them, and `literal` has as
much of that as can be switched. `paper` sets the chosen image against the other nearest ones, measures tau in spreads
so that it means the same on every catalogue, keeps to the target by the loss of supervised training against the random
images of the turn, lets the image embedding learn, and shows images sampled among the nearest.

The weight of the regulariser in `paper` was found by measurement: a trained agent has a triplet loss of 0.002 to 0.005
and a choice loss of 1.3, so a weight of 1 hardly holds the state, and every epoch costs percentile points. At 300,
the largest that was tried, the choice cost nothing that could be measured. What it gains, and all else that was tried,
is in docs/claims.md.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from dialog_env.agents.base import TrainingData
from dialog_env.agents.candidate_selection import check_choice, first_shown, sample, spread, squared_distances
from dialog_env.agents.guo2018.look_ahead import LookAhead
from dialog_env.agents.guo2018.network_agent import NetworkSettings
from dialog_env.agents.guo2018.networks import Network
from dialog_env.agents.guo2018.supervised import LITERAL, PAPER, BeginsSupervised, SupervisedSettings, triplet_losses
from dialog_env.agents.training.cached_user import CachedUser
from dialog_env.agents.training.trainer import Learner, UpdateMetrics
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking


@dataclass(frozen=True)
class PolicyImprovementSettings(NetworkSettings):
    """Settings of policy improvement; `released` and `paper` differ in those from `contrast` on."""

    epochs: int = 20
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    nearest: int = 4
    """K, how many images nearest to the looking network's state are looked ahead for."""
    horizon: int = 5
    """Look-aheads end after so many turns, or T - k if that is less (k = 0 at the first turn)."""
    negatives: int = 5
    """Random images drawn for each dialog and turn."""
    ties: str = "half"
    """How the look-ahead ranks the target among level images: before half of them, or before all: strict (released)."""
    tau: float = 0.2
    """Temperature of the choice between images: a squared distance, or a share of the spread (`relative`)."""
    contrast: str = "random"
    """What the chosen image is set against: random images (released), the other nearest ones, or none: then nothing is
    looked ahead for, and what is left is the control that tells what the look-ahead adds."""
    relative: bool = False
    """Measures tau in spreads: mean difference of squared distance between the nearest and farthest of the K."""
    regulariser: str = "distance"
    """What keeps the state near the target: distance (squared, released) or triplet (as in supervised training)."""
    weight: float = 1.0
    """Of the regulariser."""
    freeze: bool = True
    """Keeps the image embedding as it was (released); otherwise it learns with the rest."""
    show: str = "chosen"
    """What is shown next while training: the chosen image (released), or one sampled from the K nearest."""
    renewal: int = 0
    """Epochs after which the looking network takes over the learner's weights; 0 never (released)."""
    pretraining: SupervisedSettings = field(default_factory=SupervisedSettings)
    """How the first weights are trained where no initial ones are given; network and fusion are those of the agent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("nearest", 1), ("horizon", 1), ("negatives", 1), ("renewal", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; give {least} or more")
        if not self.tau > 0:
            raise ValueError(f"tau is {self.tau}; give a temperature above 0")
        for name, known in (
            ("contrast", CONTRASTS),
            ("regulariser", REGULARISERS),
            ("show", SHOWS),
            ("ties", TIES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"no {name} {getattr(self, name)!r}; known are {', '.join(known)}")


@dataclass(frozen=True)
class LossInputs:
    """What is known of a turn of B dialogs when its losses are computed; all images as embeddings.

    Args:
        state: (B, 256), learning.
        nearest: (B, K, 256) images that were looked ahead for.
        best: (B,) which of them has the smallest cost.
        negatives: (E, B, 256) random images.
        target: (B, 256).
    """

    state: Tensor
    nearest: Tensor
    best: Tensor
    negatives: Tensor
    target: Tensor

    def logits(self, images: Tensor, settings: PolicyImprovementSettings) -> Tensor:
        """(B, M) -|s - x|^2 / tau for images (B, M, 256)."""
        return -squared_distances(self.state, images) / (settings.tau * self.unit(settings))

    def unit(self, settings: PolicyImprovementSettings) -> Tensor:
        """What tau is measured in: 1, or the spread of squared distances over the nearest images."""
        if not settings.relative:
            return self.state.new_ones(())
        return spread(self.state, self.nearest)


def against_random(turn: LossInputs, settings: PolicyImprovementSettings) -> Tensor:
    """Cross-entropy of the chosen image against it and the random ones (released)."""
    chosen = turn.nearest[torch.arange(len(turn.best), device=turn.best.device), turn.best]
    logits = turn.logits(torch.cat([chosen[None], turn.negatives]).transpose(0, 1), settings)
    return functional.cross_entropy(logits, torch.zeros_like(turn.best))


def among_nearest(turn: LossInputs, settings: PolicyImprovementSettings) -> Tensor:
    """Cross-entropy of the chosen image against all K nearest (paper)."""
    return functional.cross_entropy(turn.logits(turn.nearest, settings), turn.best)


def not_at_all(turn: LossInputs, settings: PolicyImprovementSettings) -> Tensor:
    """Nothing: the control without a look-ahead."""
    return turn.state.new_zeros(())


def distance_to_target(turn: LossInputs, settings: PolicyImprovementSettings) -> Tensor:
    """Mean |s - x+|^2 (released)."""
    return (turn.state - turn.target).square().sum(dim=1).mean()


def triplet(turn: LossInputs, settings: PolicyImprovementSettings) -> Tensor:
    """The loss of supervised training, averaged over the random images."""
    return triplet_losses(turn.state, turn.target, turn.negatives, settings.pretraining.margin).mean()


def image_weights(network: Network, features: Tensor) -> set[str]:
    """Names of the weights that the embedding of images depends on, found by its gradient.

    Args:
        network: any.
        features: (N, D), of which it looks at two.
    """
    weights, images = dict(network.named_parameters()), network.image(features[:2]).sum()
    if not images.requires_grad:
        return set()
    gradients = torch.autograd.grad(images, list(weights.values()), allow_unused=True)
    return {name for name, gradient in zip(weights, gradients, strict=True) if gradient is not None}


Loss = Callable[[LossInputs, PolicyImprovementSettings], Tensor]
CONTRASTS: dict[str, Loss] = {"random": against_random, "nearest": among_nearest, "none": not_at_all}
REGULARISERS: dict[str, Loss] = {"distance": distance_to_target, "triplet": triplet}
SHOWS = ("chosen", "sampled")
TIES = ("half", "strict")


class PolicyImprovementLearner(Learner):
    """Looks ahead with one network and teaches another to choose what turned out best."""

    def __init__(
        self, network: Network, training_data: TrainingData, settings: PolicyImprovementSettings, device: str
    ) -> None:
        check_choice(settings.nearest, training_data.gallery)
        if not getattr(training_data.simulator, "deterministic", True):
            raise ValueError(
                f"user {training_data.simulator.id} may answer the same question in two ways, so what it would say "
                "cannot be looked up ahead; use a user that is deterministic"
            )
        self.network, self.settings = network, settings
        self.looking = copy.deepcopy(network).eval().requires_grad_(False)
        self.modules = {"network": network, "looking": self.looking}
        self.cached_user = CachedUser(training_data.simulator, training_data.gallery)
        self.world = Dialog(training_data.gallery, self.cached_user, turns=settings.turns, device=device)
        self.ahead = Dialog(
            training_data.gallery, self.cached_user, turns=settings.turns + settings.horizon, device=device
        )
        frozen = image_weights(network, self.world.features) if settings.freeze else set()
        learning = [weight for name, weight in network.named_parameters() if name not in frozen]
        self.optimiser = torch.optim.Adam(learning, lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def begin_epoch(self, epoch: int) -> None:
        """Lets the looking network take over what was learned, where that is due."""
        if self.settings.renewal and epoch > 1 and (epoch - 1) % self.settings.renewal == 0:
            self.looking.load_state_dict(self.network.state_dict())

    def update(self, targets: Tensor, generator: torch.Generator) -> UpdateMetrics:
        """Draws first candidates, negatives and what samples the images shown; then learns."""
        images, dialogs = len(self.world.gallery), (self.settings.turns, len(targets))
        first = first_shown(self.world, targets, self.settings.targets, generator)
        negatives = torch.randint(
            images, (self.settings.turns, self.settings.negatives, len(targets)), generator=generator
        )
        uniforms = torch.rand(dialogs, generator=generator)
        device = self.world.device
        return self.learn(targets.to(device), first.to(device), negatives.to(device), uniforms.to(device))

    def learn(self, targets: Tensor, first: Tensor, negatives: Tensor, uniforms: Tensor) -> UpdateMetrics:
        """One update.

        Args:
            targets: (B,) int64.
            first: (B,) int64, the first candidates.
            negatives: (T, E, B) int64, random images.
            uniforms: (T, B) in [0, 1), what decides where an image to show is sampled.
        """
        network, settings, world = self.network.train(), self.settings, self.world
        self.cached_user.forget()
        with torch.no_grad():
            seen_gallery = EmbeddedGallery(self.looking.image(world.features))
            gallery = seen_gallery if settings.freeze else EmbeddedGallery(network.image(world.features))
        look_ahead = LookAhead(self.looking, seen_gallery, self.ahead, settings.ties)
        observation = world.reset(targets, first)
        hidden, memory = network.begin(len(targets)), self.looking.begin(len(targets))
        losses: dict[str, list[Tensor]] = {"choice": [], "regulariser": [], "gain": []}
        target_ranks = []
        for turn in range(settings.turns):
            state, hidden = network(observation.features, observation.feedback, hidden)
            with torch.no_grad():
                seen, memory = self.looking(observation.features, observation.feedback, memory)
            nearest = QueryRanking(seen, seen_gallery).top(settings.nearest)  # (B, K)
            depth = min(settings.horizon, settings.turns - turn) if settings.contrast != "none" else 0
            costs = look_ahead.costs(world.state, memory, nearest, depth)  # (B, K)
            best = costs.argmin(dim=1)
            near, far, target = (self.embed(gallery, images) for images in (nearest, negatives[turn], targets))
            facts = LossInputs(state, near, best, far, target)
            losses["choice"].append(CONTRASTS[settings.contrast](facts, settings))
            losses["regulariser"].append(REGULARISERS[settings.regulariser](facts, settings))
            losses["gain"].append((costs[:, 0] - costs.amin(dim=1)).mean() * 100 / (max(depth, 1) * len(gallery)))
            place = best if settings.show == "chosen" else sample(facts.logits(facts.nearest, settings), uniforms[turn])
            observation, outcome = world.step(QueryRanking(state, gallery), nearest.gather(1, place[:, None])[:, 0])
            target_ranks.append(outcome.target_rank)
        stacked = {name: torch.stack(values) for name, values in losses.items()}
        self.descend((stacked["choice"] + settings.weight * stacked["regulariser"]).sum())
        return UpdateMetrics({name: values.detach() for name, values in stacked.items()}, target_ranks)

    def embed(self, gallery: EmbeddedGallery, images: Tensor) -> Tensor:
        """Embeddings (..., 256) of images (...): read off where they are frozen, computed where they learn."""
        return gallery.embeddings[images] if self.settings.freeze else self.network.image(self.world.features[images])


class PolicyImprovement(BeginsSupervised):
    """The dialog network, taught to show what a look-ahead with the user found best."""

    name = "policy_improvement"
    Settings = PolicyImprovementSettings
    configurations = {  # noqa: RUF012
        "released": {},
        "literal": {**LITERAL, "ties": "strict", "pretraining": LITERAL},
        "paper": {
            "fusion": "concatenation",
            "contrast": "nearest",
            "relative": True,
            "regulariser": "triplet",
            "show": "sampled",
            "tau": 1.0,
            "horizon": 2,
            "weight": 300.0,
            "epochs": 6,
            "statistics": 4,
            "freeze": False,
            "pretraining": PAPER,
        },
    }
    settings: PolicyImprovementSettings

    def learner(self, training_data: TrainingData) -> PolicyImprovementLearner:
        """What turns the weights."""
        return PolicyImprovementLearner(self.network, training_data, self.settings, self.device)
