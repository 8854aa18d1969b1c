"""TD3 by steps from the image shown (`sb3-td3`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3 import TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.td3.policies import MultiInputPolicy

from dialog_env.agents.sb3.agent import SB3Agent
from dialog_env.agents.sb3.off_policy import OffPolicySettings


@dataclass(frozen=True)
class TD3Settings(OffPolicySettings):
    """Settings of TD3."""

    reach: float = 6.0
    """Standard deviations along a direction that the longest step of a query goes."""
    gradient_steps: int = 8
    """Minibatches after each turn of all dialogs."""
    exploration: float = 0.7
    """Standard deviation of the noise that is added to steps while training, in units of their range."""
    weight_decay: float = 1e-3
    """Of Adam; without it the steps go to their bounds, where their gradient vanishes, and stay there."""


class StableTD3(SB3Agent):
    """TD3 that moves a query along the main directions of the gallery."""

    name = "sb3-td3"
    Settings = TD3Settings
    policy_class = MultiInputPolicy

    def algorithm(self, settings: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """TD3 of Stable-Baselines3."""
        count = min(settings.directions, self.dimensions)
        noise = NormalActionNoise(np.zeros(count), np.full(count, settings.exploration))
        return TD3, {**settings.keywords(), "action_noise": noise}

    def policy_settings(self, settings: Any) -> dict[str, Any]:
        """One hidden layer each for the policy and the critics, kept small."""
        return {**super().policy_settings(settings), "optimizer_kwargs": {"weight_decay": settings.weight_decay}}
