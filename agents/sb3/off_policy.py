"""What DQN, SAC and TD3 share: they learn from a memory of turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dialog_env.agents.sb3.agent import SB3Args


@dataclass(frozen=True)
class OffPolicyArgs(SB3Args):
    """Settings of an algorithm that learns from a memory of turns."""

    steps: int = 100_000
    """Turns to train for, counted over all dialogs."""
    memory: int = 100_000
    """Turns that it can learn from, the latest."""
    warm_up: int = 5_000
    """Turns before it begins to learn; the first of them are random."""
    batch: int = 512
    """Turns in a minibatch."""
    updates: int = 4
    """Minibatches after each turn of all dialogs."""

    def keywords(self) -> dict[str, Any]:
        """The same in the words of Stable-Baselines3."""
        return {
            "buffer_size": self.memory,
            "learning_starts": self.warm_up,
            "batch_size": self.batch,
            "train_freq": 1,
            "gradient_steps": self.updates,
        }
