"""Self-critical sequence training: a sampled dialog is rewarded for beating its greedy twin (paper, RL-SCST).

The released code has none. `released` is this one with the network, the first training, the optimiser, K and tau of
policy improvement as released; `paper` is the same with those of the paper's figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from dialog_env.agents.base import Lesson
from dialog_env.agents.candidate_selection import check_choice, first_shown, sample, spread, squared_distances
from dialog_env.agents.guo2018.network_agent import NetworkArgs
from dialog_env.agents.guo2018.networks import DialogNetwork
from dialog_env.agents.guo2018.supervised import PAPER, BeginsSupervised, SupervisedArgs
from dialog_env.agents.training.cached_user import AskedOnce
from dialog_env.agents.training.trainer import Learner, Report
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Standing


@dataclass(frozen=True)
class ScstArgs(NetworkArgs):
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
    pretraining: SupervisedArgs = field(default_factory=SupervisedArgs)
    """How the first weights are trained where no initial ones are given; its fusion is that of the agent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nearest < 2:
            raise ValueError(f"nearest is {self.nearest}; give 2 or more, or nothing is there to choose")
        if not self.tau > 0:
            raise ValueError(f"tau is {self.tau}; give a temperature above 0")


class ScstLearner(Learner):
    """Holds every dialog twice, greedily and with sampled images, and reinforces what was sampled by the difference."""

    def __init__(self, network: DialogNetwork, lesson: Lesson, args: ScstArgs, device: str) -> None:
        check_choice(args.nearest, lesson.gallery)
        self.network, self.args = network, args
        self.modules = {"network": network}
        self.asked = AskedOnce(lesson.simulator, lesson.gallery)
        self.world = Dialog(lesson.gallery, self.asked, turns=args.turns, device=device)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=args.learning_rate, weight_decay=args.weight_decay)

    def update(self, targets: Tensor, generator: torch.Generator) -> Report:
        """Draws first candidates and what decides the images sampled; then learns."""
        first = first_shown(targets, len(self.world.gallery), self.args.targets, generator)
        chances = torch.rand(self.args.turns, len(targets), generator=generator)
        device = self.world.device
        return self.learn(targets.to(device), first.to(device), chances.to(device))

    def learn(self, targets: Tensor, first: Tensor, chances: Tensor) -> Report:
        """One update.

        Args:
            targets: (B,) int64.
            first: (B,) int64, the first candidates.
            chances: (T, B) in [0, 1), what decides which images are sampled.
        """
        self.network.train()
        self.asked.forget()
        with torch.no_grad():
            gallery = EmbeddedGallery(self.network.image(self.world.features))
            greedy, _ = self.converse(gallery, targets, first, None)
        sampled, log_probability = self.converse(gallery, targets, first, chances)
        reward = self.returns(sampled) - self.returns(greedy)
        self.descend(-(reward * log_probability).mean())
        return Report({"advantage": 100 * reward[None].mean(dim=1)}, greedy)

    def converse(
        self, gallery: EmbeddedGallery, targets: Tensor, first: Tensor, chances: Tensor | None
    ) -> tuple[list[Standing], Tensor]:
        """A dialog for each target, greedy or sampled by chances (T, B).

        Returns:
            the target's standing at each turn, and the log-probability (B,) of the images shown. The image of the last
            turn changes no ranking any more and does not count.
        """
        world, args = self.world, self.args
        observation = world.reset(targets, first)
        hidden = self.network.begin(len(targets))
        total = torch.zeros(len(targets), device=world.device)
        standings = []
        for turn in range(args.turns):
            state, hidden = self.network(observation.features, observation.feedback, hidden)
            ranking = QueryRanking(state, gallery)
            shown = None
            if chances is not None:
                nearest = ranking.top(args.nearest)  # (B, K)
                images = self.network.image(world.features[nearest])  # (B, K, 256)
                unit = spread(state, images) if args.relative else 1.0
                logits = -squared_distances(state, images) / (args.tau * unit)
                place = sample(logits, chances[turn])[:, None]
                shown = nearest.gather(1, place)[:, 0]
                if turn + 1 < args.turns:
                    total = total + logits.log_softmax(dim=1).gather(1, place)[:, 0]
            observation, outcome = world.step(ranking, shown)
            standings.append(outcome.standing)
        return standings, total

    @staticmethod
    def returns(standings: list[Standing]) -> Tensor:
        """(B,) percentiles summed over the turns."""
        return torch.stack([standing.percentile() for standing in standings]).sum(dim=0)


class Scst(BeginsSupervised):
    """The dialog network, trained by self-critical sequence training."""

    name = "scst"
    Args = ScstArgs
    configurations = {  # noqa: RUF012
        "released": {},
        "paper": {
            "fusion": "concatenation",
            "relative": True,
            "tau": 1.0,
            "epochs": 6,
            "statistics": 4,
            "pretraining": PAPER,
        },
    }
    args: ScstArgs

    def learner(self, lesson: Lesson) -> ScstLearner:
        """What turns the weights."""
        return ScstLearner(self.network, lesson, self.args, self.device)
