"""DQN on candidate actions (`sb3-dqn`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm

from dialog_env.agents.sb3.agent import SB3Agent
from dialog_env.agents.sb3.candidate_policies import CandidateDQN
from dialog_env.agents.sb3.off_policy import OffPolicySettings


@dataclass(frozen=True)
class DQNSettings(OffPolicySettings):
    """Settings of DQN."""

    exploration_fraction: float = 0.5
    """Share of the training over which random images become rare."""
    exploration_final_eps: float = 0.1
    """Share of random images from then on."""
    sharpness: float = 0.01
    """First weight of a squared coordinate in the action values."""


class StableDQN(SB3Agent):
    """DQN that chooses an image of the gallery."""

    name = "sb3-dqn"
    Settings = DQNSettings
    action = "candidate"
    policy_class = CandidateDQN

    def algorithm(self, settings: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """DQN of Stable-Baselines3."""
        return DQN, {
            **settings.keywords(),
            "exploration_fraction": settings.exploration_fraction,
            "exploration_final_eps": settings.exploration_final_eps,
            "target_update_interval": 20 * settings.n_envs,
        }

    def policy_settings(self, settings: Any) -> dict[str, Any]:
        """One hidden layer."""
        return {"net_arch": [settings.hidden], "sharpness": settings.sharpness}
