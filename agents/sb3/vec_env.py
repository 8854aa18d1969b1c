"""A Gymnasium vector environment as Stable-Baselines3 wants it."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn


class DialogVecEnv(VecEnv):
    """The dialogs of a vector environment as a Stable-Baselines3 `VecEnv`.

    Observations are arrays. The info of a dialog that ended holds its last observation as `terminal_observation`, and
    `TimeLimit.truncated`, as Stable-Baselines3 needs them; an environment that gives arrays has the rest of its info
    passed on, one dictionary for each dialog.

    Args:
        env: made by `gym.make_vec("DialogRetrieval-v0", …)`, with wrappers or not, with arrays or tensors.

    Raises:
        ValueError: an environment whose finished dialogs do not begin anew in the same step.
    """

    def __init__(self, env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"Stable-Baselines3 needs dialogs that begin anew in the same step, and this environment has {mode}; "
                'make it with autoreset_mode="SameStep"'
            )
        self.env = env
        self.tensors = getattr(env.unwrapped, "output", "numpy") == "torch"
        self._actions: Any = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Begins all dialogs, with the seeds given to `seed`, if any."""
        seeded = any(seed is not None for seed in self._seeds)
        observation, info = self.env.reset(seed=cast(Any, self._seeds if seeded else None))
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = self._infos(info)
        return _arrays(observation)

    def step_async(self, actions: np.ndarray[Any, Any]) -> None:
        """Keeps the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """One turn of every dialog."""
        actions = torch.from_numpy(self._actions) if self.tensors else self._actions
        observation, reward, terminated, truncated, info = self.env.step(actions)
        terminated, truncated = _arrays(terminated), _arrays(truncated)
        ended = terminated | truncated
        infos = self._infos(info)
        if ended.any():
            last = _arrays(info["final_obs"])
            final_infos = self._infos(info["final_info"]) if not self.tensors else infos
            for dialog in np.flatnonzero(ended):
                own = {name: part[dialog] for name, part in last.items()} if self.tensors else last[dialog]
                infos[dialog] = {
                    **infos[dialog],
                    **final_infos[dialog],
                    "terminal_observation": own,
                    "TimeLimit.truncated": bool(truncated[dialog] and not terminated[dialog]),
                }
        return _arrays(observation), _arrays(reward).astype(np.float32), ended, infos

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of the outermost wrapper that has it, the same for every dialog asked for."""
        layers = [layer for layer in _layers(self.env) if hasattr(layer, attr_name)]
        if not layers:
            raise AttributeError(f"{self.env} has no attribute {attr_name!r}")
        return [getattr(layers[0], attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets an attribute, for all dialogs at once; ValueError for some of them."""
        if len(set(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"{attr_name} is one for all dialogs; set it without indices")
        setattr(self.env.unwrapped, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **keywords: Any) -> list[Any]:
        """Calls a method once for each dialog asked for."""
        methods = self.get_attr(method_name, indices)
        return [method(*args, **keywords) for method in methods]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Whether the vector environment is in such a wrapper, the same for every dialog."""
        found = any(isinstance(layer, wrapper_class) for layer in _layers(self.env))
        return [found] * len(list(self._get_indices(indices)))

    def _infos(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        """One dictionary for each dialog, of what an environment with arrays tells about it."""
        if self.tensors:
            return [{} for _ in range(self.num_envs)]
        return _rows(
            {name: part for name, part in info.items() if name not in ("final_obs", "final_info")}, self.num_envs
        )


def _rows(info: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Gymnasium's info of a vector environment, where `_name` says which rows of `name` count, dialog by dialog."""
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, values in info.items():
        if name.startswith("_"):
            continue
        values = _rows(values, count) if isinstance(values, dict) else values
        for dialog in np.flatnonzero(info.get(f"_{name}", np.ones(count))):
            rows[dialog][name] = values[dialog]
    return rows


def _layers(env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> list[gymnasium.vector.VectorEnv[Any, Any, Any]]:
    """The environment and all that it wraps, outermost first."""
    layers = [env]
    while isinstance(layers[-1], gymnasium.vector.VectorWrapper):
        layers.append(layers[-1].env)
    return layers


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _arrays(part) for name, part in value.items()}
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value
