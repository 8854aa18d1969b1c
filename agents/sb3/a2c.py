"""A2C on candidate actions (`sb3-a2c`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm

from dialog_env.agents.sb3.agent import SB3Agent, SB3Args
from dialog_env.agents.sb3.candidate_policies import CandidateActorCritic


@dataclass(frozen=True)
class A2CArgs(SB3Args):
    """Settings of A2C."""

    dialogs: int = 64
    """Dialogs held at once."""
    rollout: int = 5
    """Turns of each dialog between two updates."""
    entropy: float = 0.0
    """Weight of the entropy."""
    sharpness: float = 0.2
    """First weight of a squared coordinate in the logits; the higher, the less is explored."""


class StableA2C(SB3Agent):
    """A2C that chooses an image of the gallery."""

    name = "sb3-a2c"
    Args = A2CArgs
    action = "candidate"
    policy_class = CandidateActorCritic

    def algorithm(self, args: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """A2C of Stable-Baselines3, with Adam and advantages of one size."""
        return A2C, {
            "n_steps": args.rollout,
            "ent_coef": args.entropy,
            "use_rms_prop": False,
            "normalize_advantage": True,
        }

    def policy_settings(self, args: Any) -> dict[str, Any]:
        """One hidden layer for the policy and one for the critic, and the first exploration."""
        return {"net_arch": [args.hidden], "sharpness": args.sharpness}
