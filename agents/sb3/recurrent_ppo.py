"""RecurrentPPO of sb3-contrib by steps from the image shown (`sb3-recurrent-ppo`): it has a memory of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.ppo_recurrent.policies import MultiInputLstmPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from dialog_env.agents.base import Memory
from dialog_env.agents.sb3.ppo import PPOQuerySettings, StablePPO
from dialog_env.world.state import Observation


@dataclass(frozen=True)
class RecurrentPPOSettings(PPOQuerySettings):
    """Settings of RecurrentPPO."""

    history: bool = False
    """Not for this agent, which has a memory of its own."""
    lstm_hidden_size: int = 128
    """Units of the LSTM."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.history:
            raise ValueError("history=True is of no use to an agent with a memory of its own; leave it out")


class StableRecurrentPPO(StablePPO):
    """PPO with an LSTM that moves a query along the main directions of the gallery."""

    name = "sb3-recurrent-ppo"
    Settings = RecurrentPPOSettings
    policy_class = MultiInputLstmPolicy

    def algorithm(self, settings: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """RecurrentPPO of sb3-contrib, with the settings of PPO."""
        return RecurrentPPO, super().algorithm(settings)[1]

    def policy_settings(self, settings: Any) -> dict[str, Any]:
        """Those of PPO, and the size of the memory."""
        return {**super().policy_settings(settings), "lstm_hidden_size": settings.lstm_hidden_size}

    def begin(self, batch: int) -> Memory:
        """Hidden and cell states of the LSTM (1, B, memory_size)."""
        empty = torch.zeros(1, batch, self.settings.lstm_hidden_size, device=self.device)
        return empty, empty

    def observe(self, observation: Observation, memory: Memory) -> tuple[dict[str, Tensor], Memory]:
        """The latest turn; the memory changes with the steps taken on it."""
        return super().observe(observation, None)[0], memory

    def steps(self, observed: dict[str, Tensor], memory: Memory) -> tuple[Tensor, Memory]:
        """(B, K) the policy's best guess, without exploration, and the LSTM's states after it."""
        begun = (observed["turn"] == 0).float()
        policy = cast(MultiInputLstmPolicy, self.policy)
        return policy._predict(cast(Any, observed), memory, begun, deterministic=True)
