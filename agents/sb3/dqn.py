"""DQN on candidate actions (`sb3-dqn`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm

from dialog_env.agents.sb3.agent import SB3Agent
from dialog_env.agents.sb3.candidate_policies import CandidateDQN
from dialog_env.agents.sb3.off_policy import OffPolicyArgs


@dataclass(frozen=True)
class DQNArgs(OffPolicyArgs):
    """Settings of DQN."""

    explored: float = 0.5
    """Share of the training over which random images become rare."""
    explored_last: float = 0.1
    """Share of random images from then on."""
    sharpness: float = 0.01
    """First weight of a squared coordinate in the action values."""


class StableDQN(SB3Agent):
    """DQN that chooses an image of the gallery."""

    name = "sb3-dqn"
    Args = DQNArgs
    action = "candidate"
    policy_class = CandidateDQN

    def algorithm(self, args: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """DQN of Stable-Baselines3."""
        return DQN, {
            **args.keywords(),
            "exploration_fraction": args.explored,
            "exploration_final_eps": args.explored_last,
            "target_update_interval": 20 * args.dialogs,
        }

    def policy_settings(self, args: Any) -> dict[str, Any]:
        """One hidden layer."""
        return {"net_arch": [args.hidden], "sharpness": args.sharpness}
