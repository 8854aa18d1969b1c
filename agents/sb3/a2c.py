"""A2C on candidate actions (`sb3-a2c`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm

from dialog_env.agents.sb3.agent import SB3Agent, SB3Settings
from dialog_env.agents.sb3.candidate_policies import CandidateActorCritic


@dataclass(frozen=True)
class A2CSettings(SB3Settings):
    """Settings of A2C."""

    n_envs: int = 64
    """Dialogs held at once."""
    n_steps: int = 5
    """Turns of each dialog between two updates."""
    ent_coef: float = 0.0
    """Weight of the entropy."""
    sharpness: float = 0.2
    """First weight of a squared coordinate in the logits; the higher, the less is explored."""


class StableA2C(SB3Agent):
    """A2C that chooses an image of the gallery."""

    name = "sb3-a2c"
    Settings = A2CSettings
    action = "candidate"
    policy_class = CandidateActorCritic

    def algorithm(self, settings: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """A2C of Stable-Baselines3, with Adam and advantages of one size."""
        return A2C, {
            "n_steps": settings.n_steps,
            "ent_coef": settings.ent_coef,
            "use_rms_prop": False,
            "normalize_advantage": True,
        }

    def policy_settings(self, settings: Any) -> dict[str, Any]:
        """One hidden layer for the policy and one for the critic, and the first exploration."""
        return {"net_arch": [settings.hidden], "sharpness": settings.sharpness}
