"""SAC by steps from the image shown (`sb3-sac`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.sac.policies import MultiInputPolicy

from dialog_env.agents.sb3.agent import SB3Agent
from dialog_env.agents.sb3.off_policy import OffPolicySettings


@dataclass(frozen=True)
class SACSettings(OffPolicySettings):
    """Settings of SAC."""

    learning_rate: float = 5e-4
    """Of Adam; it falls to a tenth by the end of the training."""
    ent_coef: float = 0.003
    """Weight of the entropy."""


class StableSAC(SB3Agent):
    """SAC that moves a query along the main directions of the gallery."""

    name = "sb3-sac"
    Settings = SACSettings
    policy_class = MultiInputPolicy

    def algorithm(self, settings: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """SAC of Stable-Baselines3."""
        target = -float(min(settings.directions, self.dimensions))
        return SAC, {**settings.keywords(), "ent_coef": settings.ent_coef, "target_entropy": target}
