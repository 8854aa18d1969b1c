"""PPO by steps from the image shown (`sb3-ppo`) and on candidate actions (`sb3-ppo-candidate`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy, MultiInputActorCriticPolicy

from dialog_env.agents.sb3.agent import SB3Agent, SB3Settings
from dialog_env.agents.sb3.candidate_policies import CandidateActorCritic


@dataclass(frozen=True)
class PPOSettings(SB3Settings):
    """Settings of PPO."""

    total_timesteps: int = 250_000
    """Turns to train for, counted over all dialogs."""
    history: bool = True
    """Whether the whole dialog so far is observed, rather than its latest turn."""
    n_steps: int = 20
    """Turns of each dialog between two rounds of learning."""
    batch_size: int = 512
    """Turns in a minibatch."""
    n_epochs: int = 6
    """Times that each turn is learned from."""
    ent_coef: float = 0.0
    """Weight of the entropy."""


@dataclass(frozen=True)
class PPOQuerySettings(PPOSettings):
    """Settings of PPO by steps from the image shown."""

    directions: int = 32
    """Main directions of the gallery along which images are seen and queries move."""
    reach: float = 16.0
    """Standard deviations along a direction that the longest step of a query goes."""
    exploration: float = 0.5
    """First standard deviation of the steps, in units of their range."""


@dataclass(frozen=True)
class PPOCandidateSettings(PPOSettings):
    """Settings of PPO on candidate actions."""

    sharpness: float = 0.2
    """First weight of a squared coordinate in the logits; the higher, the less is explored."""


class StablePPO(SB3Agent):
    """PPO that moves a query along the main directions of the gallery."""

    name = "sb3-ppo"
    Settings: ClassVar[type[PPOSettings]] = PPOQuerySettings
    policy_class: ClassVar[type[BasePolicy]] = MultiInputActorCriticPolicy

    def algorithm(self, settings: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """PPO of Stable-Baselines3."""
        return PPO, {
            "n_steps": settings.n_steps,
            "batch_size": settings.batch_size,
            "n_epochs": settings.n_epochs,
            "ent_coef": settings.ent_coef,
        }

    def policy_settings(self, settings: Any) -> dict[str, Any]:
        """One hidden layer for the policy and one for the critic, and the first exploration."""
        return {"net_arch": [settings.hidden], "log_std_init": math.log(settings.exploration)}


class StablePPOCandidate(StablePPO):
    """PPO that chooses an image of the gallery."""

    name = "sb3-ppo-candidate"
    Settings = PPOCandidateSettings
    action = "candidate"
    policy_class = CandidateActorCritic

    def policy_settings(self, settings: Any) -> dict[str, Any]:
        """One hidden layer for the policy and one for the critic, and the first exploration."""
        return {"net_arch": [settings.hidden], "sharpness": settings.sharpness}
