"""Returns and lengths of dialogs whose rewards are tensors, which Gymnasium's own wrapper cannot add up."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from dialog_env.envs.wrappers.following import Follower


class TensorEpisodeStatistics(gymnasium.vector.VectorWrapper):
    """What `gymnasium.wrappers.vector.RecordEpisodeStatistics` records, for `output="torch"`, on the device.

    Every step's `info["episode"]` holds `r`, the sum of rewards (B,) float32, and `l`, the turns (B,) int64, of the
    dialogs that end with the step and 0 for the others; `info["_episode"]` (B,) tells which end. They are there at
    every step, so that nobody has to wait for the device to learn whether there are any.

    Args:
        env: a vector environment of `DialogRetrieval-v0` with `output="torch"`.

    Raises:
        ValueError: another environment.
    """

    def __init__(self, env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        if getattr(env.unwrapped, "output", None) != "torch":
            raise ValueError(
                f"{env} gives no tensors; make it with output='torch', or use Gymnasium's RecordEpisodeStatistics"
            )
        self._same_step = env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        self.returns = torch.zeros(env.num_envs)
        self.lengths = torch.zeros(env.num_envs, dtype=torch.int64)
        self._ended = torch.zeros(env.num_envs, dtype=torch.bool)
        self._follower = Follower(env)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins dialogs, as the wrapped environment does."""
        if options:
            self._follower.check(begun=False)
        observation, info = self.env.reset(seed=seed, options=options)
        device = next(iter(observation.values())).device if isinstance(observation, dict) else observation.device
        mask = (options or {}).get("reset_mask")
        begun = torch.as_tensor([True] * self.num_envs if mask is None else mask, device=device)
        returns, lengths, ended = (
            part.to(device).masked_fill(begun, 0) for part in (self.returns, self.lengths, self._ended)
        )
        self._go_on(returns, lengths, ended)
        return observation, info

    def step(self, actions: Any) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Any]]:
        """One turn of every dialog."""
        self._follower.check()
        observation, reward, terminated, truncated, info = self.env.step(actions)
        # In the mode "NextStep" the step after an end begins the dialog anew, and is no turn of it.
        returns = self.returns.masked_fill(self._ended, 0) + reward
        lengths = self.lengths.masked_fill(self._ended, 0) + (1 if self._same_step else (~self._ended).long())
        ended = terminated | truncated
        info = {
            **info,
            "episode": {"r": returns.masked_fill(~ended, 0), "l": lengths.masked_fill(~ended, 0)},
            "_episode": ended.clone(),
        }
        self._go_on(returns, lengths, ended)
        return observation, reward, terminated, truncated, info

    def _go_on(self, returns: Tensor, lengths: Tensor, ended: Tensor) -> None:
        """Replaces everything at once."""
        vars(self).update(returns=returns, lengths=lengths, _ended=ended, _follower=self._follower.seen())
