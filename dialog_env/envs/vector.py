"""Many dialogs at once as a Gymnasium vector environment: one batched world, not many environments."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.dialog import Observation
from dialog_env.envs.core import Core, Settings
from dialog_env.envs.draws import Draws
from dialog_env.user_simulator import UserSimulator

OUTPUTS = ("numpy", "torch")


class DialogRetrievalVectorEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """`DialogRetrieval-v0`, `num_envs` dialogs in one batch.

    The same seeds and actions give what `num_envs` single environments give; dialog i is seeded with `seed + i`, or
    with `seed[i]`. Made by `gym.make_vec("DialogRetrieval-v0", num_envs=…)`. Options of `reset` are `reset_mask` alone.
    `dialog_env.wrappers` has the dialog so far as the observation, and returns and lengths of dialogs as tensors.

    Args:
        num_envs: B, dialogs at once.
        autoreset_mode: "SameStep" (a dialog that ends begins anew at once, its last observation and info stand in
            `info["final_obs"]` and `info["final_info"]`), "NextStep" or "Disabled" (finished dialogs are begun with
            `reset(options={"reset_mask": …})`), as in Gymnasium.
        output: "numpy" (rewards are float64), or "torch" for tensors that stay on the device (float32). Then nothing
            is turned into text: `info` holds `candidate` (and `target` and `rank` where asked for) without Gymnasium's
            masks, `final_obs` and `final_info` hold whole batches with the mask `_final_obs`, and
            `sentences(observation)` gives the feedback as text.
        max_episode_steps: truncates dialogs after so many turns.
        render_mode: not available for many dialogs.
        **keywords: those of `DialogRetrievalEnv`.

    Raises:
        ValueError: num_envs below 1, an unknown mode, output or keyword value.
        TypeError: an unknown keyword.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        output: str = "numpy",
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        for name, number in (("num_envs", num_envs), ("max_episode_steps", max_episode_steps)):
            if name == "num_envs" or number is not None:
                require_count(name, number)
        if output not in OUTPUTS:
            raise ValueError(f"output={output!r} is not known; choose one of {', '.join(OUTPUTS)}")
        if render_mode is not None:
            raise ValueError(f"render_mode={render_mode!r} is for single environments; leave it out here")
        modes = [mode.value for mode in AutoresetMode]
        if autoreset_mode not in (*AutoresetMode, *modes):
            raise ValueError(f"autoreset_mode={autoreset_mode!r} is not known; choose one of {', '.join(modes)}")
        settings = [setting.name for setting in fields(Settings)]
        unknown = [keyword for keyword in keywords if keyword not in settings]
        if unknown:
            known = ", ".join(["autoreset_mode", "output", "max_episode_steps", *settings])
            raise TypeError(f"there is no keyword {', '.join(unknown)}; known are {known}")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.num_envs = int(num_envs)
        self.output = output
        self.max_episode_steps = max_episode_steps
        self.core = Core(Settings(**keywords))
        self.single_action_space = self.core.action.space
        self.single_observation_space = self.core.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._draws = Draws(self.num_envs, self.core.beginnings)
        self._ended = torch.ones(num_envs, dtype=torch.bool, device=self.core.world.device)
        self._begun = False

    @property
    def gallery(self) -> Catalog:
        """The images that can be shown, with their ids, features and pictures."""
        return self.core.gallery

    @property
    def simulator(self) -> UserSimulator:
        """The user, with its vocabulary."""
        return self.core.simulator

    def sentences(self, observation: dict[str, Any]) -> list[str]:
        """The feedback of an observation (B) as text."""
        tokens = observation["feedback"]
        return self.simulator.vocabulary.decode(tokens.cpu().numpy() if isinstance(tokens, Tensor) else tokens)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins all dialogs, or those of a boolean array `options["reset_mask"]` (B,).

        Raises:
            ValueError: seeds or a mask of another batch, a mask before the first reset, or unknown options.
        """
        mask = self._mask_of(dict(options or {}))
        seeds = self._seeds_of(seed)
        for dialog in mask.nonzero()[0]:
            self._draws.seed(int(dialog), seeds[dialog])
        where = None if mask.all() else torch.from_numpy(mask).to(self.core.world.device)
        observation = self._begin(where)
        self._begun = True
        self._ended = torch.zeros_like(self._ended) if where is None else self._ended & ~where
        rank = None if self.core.last is None else self.core.last.rank()
        return self._observe(observation), self._inform(observation, rank, mask)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One turn of every dialog.

        Raises:
            ValueError: actions of the wrong batch or shape, outside the space, or NaN; nothing has changed then.
            RuntimeError: before the first reset, or a finished dialog with autoreset_mode "Disabled".
        """
        if not self._begun:
            raise RuntimeError("there are no dialogs to go on with; call reset first")
        listed = hasattr(actions, "__len__") and not isinstance(actions, str | bytes | dict)
        listed = listed and getattr(actions, "ndim", 1) > 0
        if not listed or len(actions) != self.num_envs:
            given = f"{len(actions)} actions were" if listed else f"{reprlib.repr(actions)} was"
            raise ValueError(f"{given} given for {self.num_envs} dialogs; give an array with an action for each")
        waiting = self._ended
        some_wait = self.autoreset_mode != AutoresetMode.SAME_STEP and bool(waiting.any())
        if some_wait and self.autoreset_mode == AutoresetMode.DISABLED:
            raise RuntimeError(
                f"dialog {int(waiting.nonzero()[0, 0])} has ended; begin it anew with "
                'reset(options={"reset_mask": …}) before the next step'
            )
        turn = self.core.advance(actions)
        observation, reward, rank, terminated = turn.observation, turn.reward, turn.rank, turn.over
        truncated = torch.zeros_like(terminated)
        if self.max_episode_steps is not None:
            truncated = observation.turn >= self.max_episode_steps
        if some_wait:
            observation = self._begin(waiting)
            rank = rank if self.core.last is None else torch.where(waiting, self.core.last.rank(), rank)
            reward, terminated, truncated = (
                values.masked_fill(waiting, 0) for values in (reward, terminated, truncated)
            )
        ended = terminated | truncated
        self._ended = ended
        info: dict[str, Any] = {}
        everyone = np.ones(self.num_envs, dtype=bool)
        if self.autoreset_mode == AutoresetMode.SAME_STEP and bool(ended.any()):
            finished = ended.cpu().numpy()
            info = self._final(observation, rank, finished)
            observation = self._begin(ended)
            if self.core.last is not None:
                rank = torch.where(ended, self.core.last.rank(), rank)
        info |= self._inform(observation, rank, everyone)
        return self._observe(observation), *self._out(reward, terminated, truncated), info

    def _begin(self, where: Tensor | None) -> Observation:
        rows = np.arange(self.num_envs) if where is None else where.cpu().numpy().nonzero()[0]
        positions = np.zeros((2, self.num_envs), dtype=np.int64)
        positions[:, rows] = self.core.beginning(self._draws.of(rows))
        targets, candidates = torch.from_numpy(positions).to(self.core.world.device)
        return self.core.begin(targets, candidates, where)

    def _seeds_of(self, seed: Any) -> list[int | None]:
        given = [None] * self.num_envs if seed is None else seed
        if isinstance(given, int | np.integer):
            given = [int(given) + dialog for dialog in range(self.num_envs)]
        if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str) or getattr(given, "ndim", 1) != 1:
            raise ValueError(f"seed={seed!r} is no seed; give an integer, or one for each dialog")
        if len(given) != self.num_envs:
            raise ValueError(f"{len(given)} seeds were given for {self.num_envs} dialogs; give one for each")
        wrong = [each for each in given if each is not None and not (isinstance(each, int | np.integer) and each >= 0)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no seed; give integers from 0 up, or None")
        return [None if each is None else int(each) for each in given]

    def _mask_of(self, options: dict[str, Any]) -> NDArray[np.bool_]:
        mask = options.pop("reset_mask", None)
        if options:
            raise ValueError(
                f"options {', '.join(options)} are not understood; the vector environment takes 'reset_mask'"
            )
        if mask is None:
            return np.ones(self.num_envs, dtype=bool)
        mask = np.array(mask.cpu().numpy() if isinstance(mask, Tensor) else mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset_mask must be {self.num_envs} booleans, at least one of them True")
        if not self._begun and not mask.all():
            raise ValueError("some dialogs have not begun; reset all of them before using a reset_mask")
        return mask

    def _observe(self, observation: Observation) -> dict[str, Any]:
        parts = self.core.observe(observation)
        if self.output == "torch":
            device = self.core.world.device
            return {key: torch.as_tensor(value, device=device).clone() for key, value in parts.items()}
        return {key: as_numpy(value) for key, value in parts.items()}

    def _inform(self, observation: Observation, rank: Tensor | None, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """Info in Gymnasium's layout for vectors: for each key an array (B,), and `_key`, where it holds."""
        if self.output == "torch":
            info: dict[str, Any] = {"candidate": observation.candidate.clone()}
            if self.core.settings.reveal_target:
                info |= {"target": self.core.world.state.target.clone(), "rank": rank}
            return info
        info = {}
        for key, values in self.core.inform(observation, rank).items():
            if mask.all():
                info[key] = values
            else:
                info[key] = np.full(len(mask), None, dtype=object) if values.dtype == object else np.zeros_like(values)
                info[key][mask] = values[mask]
            info[f"_{key}"] = mask.copy()
        return info

    def _final(self, observation: Observation, rank: Tensor, ended: NDArray[np.bool_]) -> dict[str, Any]:
        whole = self._observe(observation)
        if self.output == "torch":
            return {
                "final_obs": whole,
                "_final_obs": self._ended.clone(),
                "final_info": self._inform(observation, rank, ended),
            }
        final = np.full(self.num_envs, None, dtype=object)
        image, feedback, turn = (whole[key][ended] for key in ("image", "feedback", "turn"))
        final[ended] = [{"image": image[row], "feedback": feedback[row], "turn": turn[row]} for row in range(len(turn))]
        info = self._inform(observation, rank, ended)
        return {"final_obs": final, "_final_obs": ended.copy(), "final_info": info, "_final_info": ended.copy()}

    def _out(self, reward: Tensor, terminated: Tensor, truncated: Tensor) -> tuple[Any, Any, Any]:
        if self.output == "torch":
            return reward, terminated, truncated
        return reward.cpu().numpy().astype(np.float64), as_numpy(terminated), as_numpy(truncated)


def require_count(name: str, number: Any) -> None:
    """ValueError, naming it, unless a number is whole and 1 or more."""
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{name} is {number!r}; give a whole number, 1 or more")


def as_numpy(values: Any) -> NDArray[Any]:
    """A copy as numpy."""
    return np.array(values.cpu().numpy() if isinstance(values, Tensor) else values)
