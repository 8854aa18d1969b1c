"""What DQN, SAC and TD3 share: they learn from a memory of turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dialog_env.agents.sb3.agent import SB3Settings


@dataclass(frozen=True)
class OffPolicySettings(SB3Settings):
    """Settings of an algorithm that learns from a memory of turns."""

    total_timesteps: int = 100_000
    """Turns to train for, counted over all dialogs."""
    buffer_size: int = 100_000
    """Turns that it can learn from, the latest."""
    learning_starts: int = 5_000
    """Turns before it begins to learn; the first of them are random."""
    batch_size: int = 512
    """Turns in a minibatch."""
    gradient_steps: int = 4
    """Minibatches after each turn of all dialogs."""

    def keywords(self) -> dict[str, Any]:
        """The same in the words of Stable-Baselines3."""
        return {
            "buffer_size": self.buffer_size,
            "learning_starts": self.learning_starts,
            "batch_size": self.batch_size,
            "train_freq": 1,
            "gradient_steps": self.gradient_steps,
        }
