"""`python -m tools.belief_ppo`: PPO of Stable-Baselines3, as it comes, chooses among the likeliest images.

It learns on `BeliefCandidates` with the shipped belief and the reward `found`, every setting of PPO its default, and is
compared with the belief that shows the likeliest, in the same dialogs of a gallery that neither has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from stable_baselines3 import PPO
from torch import Tensor

from dialog_env import agents
from dialog_env.agents import Decision
from dialog_env.agents.belief import Belief
from dialog_env.agents.belief.memory import Heard
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.envs.wrappers import BeliefCandidates
from dialog_env.envs.wrappers.candidates import LEAST
from dialog_env.evaluate import metrics, protocol
from dialog_env.evaluate.statistics import paired_difference
from dialog_env.io.commands import run_command
from dialog_env.simulators import make_simulator
from dialog_env.world.state import Observation


class Chooses:
    """The belief, which shows what a policy that was trained on `BeliefCandidates` chooses.

    Args:
        belief: what was said is its business.
        model: of Stable-Baselines3.
        candidates: K, as while training.
    """

    name = "belief, PPO chooses"

    def __init__(self, belief: Belief, model: PPO, candidates: int) -> None:
        self.belief, self.model, self.candidates = belief, model, candidates
        self.features = torch.empty(0)

    def bind(self, gallery: Catalog) -> None:
        """Prepares for a gallery."""
        self.belief.bind(gallery)
        self.features = torch.from_numpy(gallery.features)

    def begin(self, batch: int) -> Heard:
        """Nothing heard."""
        return self.belief.begin(batch)

    def act(self, observation: Observation, memory: Heard) -> Decision:
        """What the policy finds best, without exploration."""
        ranking, memory = self.belief.rank(observation, memory)
        options: Tensor = ranking.top(self.candidates, memory.shown)
        observed = {
            "belief": self.belief.log_belief(memory).gather(1, options).clamp(LEAST, 0).numpy(),
            "image": self.features[options].numpy(),
            "turn": observation.turn.numpy(),
        }
        action, _ = self.model.predict(observed, deterministic=True)
        return Decision(ranking, options.gather(1, torch.as_tensor(action)[:, None])[:, 0], memory)


@dataclass
class Comparison:
    """Trains PPO, and prints how often both have found the target by each turn, with the paired gain and its 95%."""

    training_catalog: str = "synthetic:10000:4"
    """Where it learns."""
    catalog: str = "synthetic:10000:1"
    """Where both are compared."""
    steps: int = 100_000
    """Turns that it learns from."""
    targets: int = 1000
    """Dialogs in which both are compared."""
    candidates: int = 12
    """K."""
    seed: int = 0
    """Of PPO."""

    def __call__(self) -> None:
        """Runs it."""
        env: Any = gymnasium.make(
            "dialog_env:DialogRetrieval-v0", catalog=self.training_catalog, split="train", reward="found"
        )
        belief: Any = agents.load("belief")
        model = PPO("MultiInputPolicy", BeliefCandidates(env, belief, self.candidates), seed=self.seed, device="cpu")
        model.learn(self.steps, progress_bar=False)
        gallery = load_catalog(self.catalog).split("all")
        user = make_simulator("captioner", gallery)
        ours, theirs = (
            metrics.found(protocol.run(each, gallery, user, seed=0, targets=self.targets))
            for each in (Chooses(belief, model, self.candidates), belief)
        )
        print(f"PPO after {model.num_timesteps:,} turns, {self.targets} dialogs in {gallery!r}, found, percent")
        for turn in range(ours.shape[1]):
            gain = paired_difference(*(np.asarray(each[:, turn], np.float64) for each in (ours, theirs)))
            print(
                f"by turn {turn + 1}: {ours[:, turn].mean():.1f}, likely {theirs[:, turn].mean():.1f}, gain {gain:+.1f}"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_command(lambda: tyro.cli(Comparison)())
