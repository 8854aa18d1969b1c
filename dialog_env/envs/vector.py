"""Many dialogs at once as a Gymnasium vector environment: one batched world, not many environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.envs.dialog_batch import DialogBatch, EnvironmentSettings, Situation
from dialog_env.envs.draws import Draws
from dialog_env.envs.observations import FeedbackPart, space_bytes
from dialog_env.envs.window import Window
from dialog_env.io.device import require_memory
from dialog_env.io.keywords import checked, checked_choice, checked_count, checked_seed, told
from dialog_env.world.rendering import Shown, as_text, dialog_row, grid
from dialog_env.world.state import DialogState
from dialog_env.world.user import UserSimulator

OUTPUTS = ("numpy", "torch")


@dataclass(frozen=True)
class Moment:
    """All that a step or a reset of many dialogs changes; replaced at its end, at once, or not at all.

    Args:
        situation: of the dialogs.
        draws: of the dialogs to come.
        ended: (B,) bool, dialogs that ended with the step before.
        shown: the B dialogs so far, where they are rendered.
    """

    situation: Situation
    draws: Draws
    ended: Tensor
    shown: tuple[tuple[Shown, ...], ...] = ()


class DialogRetrievalVectorEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """`DialogRetrieval-v0`, `num_envs` dialogs in one batch.

    The same seeds and actions give what `num_envs` single environments give; dialog i is seeded with `seed + i`, or
    with `seed[i]`. Made by `gym.make_vec("DialogRetrieval-v0", num_envs=…)`. Options of `reset` are `reset_mask` alone.
    `dialog_env.envs.wrappers` has the dialog so far as the observation, and returns and lengths of dialogs as tensors.

    Args:
        num_envs: B, dialogs at once.
        autoreset_mode: "NextStep" (the step after the end of a dialog takes no action and gives the first observation
            of the next, with a reward of 0), "SameStep" (a dialog that ends begins anew at once, its last observation
            and info stand in `info["final_obs"]` and `info["final_info"]`) or "Disabled" (finished dialogs are begun
            with `reset(options={"reset_mask": …})`), as in Gymnasium. It stands in `metadata["autoreset_mode"]`.
        output: "numpy" (rewards are float64), or "torch" for tensors that stay on the device (float32). Then nothing
            is turned into text: `info` holds `candidate` (and `target` and `rank` where asked for) without Gymnasium's
            masks, `final_obs` and `final_info` hold whole batches with the mask `_final_obs`, and
            `sentences(observation)` gives the feedback as text.
        max_episode_steps: truncates dialogs after so many turns.
        render_mode: "rgb_array" for a tuple of pictures, one (H, W, 3) for each dialog so far, "ansi" for a tuple of
            texts, "grid" for one picture of all dialogs, "human" for a window with that picture, changed at each reset
            and step.
        **keywords: those of `DialogRetrievalEnv`.

    Raises:
        ValueError: num_envs below 1, an unknown mode, output or keyword value.
        TypeError: an unknown keyword.
    """

    metadata = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": ["human", "rgb_array", "ansi", "grid"],
        "render_fps": 1,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        output: str = "numpy",
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        given = checked(
            DialogRetrievalVectorEnv,
            num_envs=num_envs,
            autoreset_mode=autoreset_mode,
            output=output,
            max_episode_steps=max_episode_steps,
            render_mode=render_mode,
        )
        self.num_envs = checked_count("num_envs", given["num_envs"])
        self.max_episode_steps: int | None = given["max_episode_steps"]
        if self.max_episode_steps is not None:
            checked_count("max_episode_steps", self.max_episode_steps)
        self.output = checked_choice("output", given["output"], OUTPUTS)
        if render_mode is not None:
            checked_choice("render_mode", render_mode, self.metadata["render_modes"])
        if not isinstance(autoreset_mode, AutoresetMode):
            checked_choice("autoreset_mode", given["autoreset_mode"], [mode.value for mode in AutoresetMode])
        settings = [setting.name for setting in fields(EnvironmentSettings)]
        unknown = [keyword for keyword in keywords if keyword not in settings]
        if unknown:
            known = ", ".join(["autoreset_mode", "output", "max_episode_steps", "render_mode", *settings])
            raise TypeError(f"there is no keyword {', '.join(unknown)}; known are {known}")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self._window = Window("DialogRetrieval-v0", self.metadata["render_fps"]) if render_mode == "human" else None
        self.dialogs = DialogBatch(EnvironmentSettings(**keywords))
        self.single_action_space = self.dialogs.action.space
        self.single_observation_space = self.dialogs.observation_space
        needed = self.num_envs * (space_bytes(self.single_action_space) + space_bytes(self.single_observation_space))
        what = f"the spaces of {self.num_envs} dialogs"
        require_memory(needed, torch.device("cpu"), what, "give a smaller num_envs")
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._moment: Moment | None = None

    @property
    def gallery(self) -> Catalog:
        """The images that can be shown, with their ids, features and pictures."""
        return self.dialogs.gallery

    @property
    def simulator(self) -> UserSimulator:
        """The user, with its vocabulary."""
        return self.dialogs.simulator

    def sentences(self, observation: Any) -> list[str]:
        """The feedback of an observation (B) as text; ValueError where it is not observed as tokens."""
        if self.dialogs.settings.flatten or not any(isinstance(part, FeedbackPart) for part in self.dialogs.parts):
            raise ValueError("these observations hold no tokens; read info['sentence'], or observe 'feedback'")
        tokens = observation[FeedbackPart.key]
        return self.simulator.vocabulary.decode(tokens.cpu().numpy() if isinstance(tokens, Tensor) else tokens)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins all dialogs, or those of a boolean array `options["reset_mask"]` (B,).

        Raises:
            ValueError: seeds or a mask of another batch, a mask before the first reset, or unknown options; nothing
                has changed then.
        """
        before = self._moment
        mask = self._mask_of(options)
        rows = mask.nonzero()[0]
        seeds = self._seeds_of(seed)
        draws = Draws(self.num_envs, self.dialogs.num_starts) if before is None else before.draws
        draws = draws.seeded(rows, [seeds[row] for row in rows])
        where = None if mask.all() else torch.from_numpy(mask).to(self.dialogs.world.device)
        situation, draws = self._begun(where, draws, None if before is None else before.situation)
        ended = torch.zeros(self.num_envs, dtype=torch.bool, device=self.dialogs.world.device)
        if before is not None and where is not None:
            ended = before.ended & ~where
        rank = None if situation.target_rank is None else situation.target_rank.rank()
        observed, told = self._observe(situation.state), self._inform(situation.state, rank, mask)
        self._go_on(Moment(situation, draws, ended, self._shown(situation.state, rank, mask, mask)))
        return observed, told

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One turn of every dialog.

        Raises:
            ValueError: actions of the wrong batch or shape, outside the space, or NaN; nothing has changed then.
            RuntimeError: before the first reset, or a finished dialog with autoreset_mode "Disabled".
        """
        before = self._moment
        if before is None:
            raise RuntimeError("there are no dialogs to go on with; call reset first")
        listed = hasattr(actions, "__len__") and not isinstance(actions, str | bytes | dict)
        listed = listed and getattr(actions, "ndim", 1) > 0
        if not listed or len(actions) != self.num_envs:
            given = f"{len(actions)} actions were" if listed else f"{told(actions)} was"
            raise ValueError(f"{given} given for {self.num_envs} dialogs; give an array with an action for each")
        waiting = before.ended
        some_wait = self.autoreset_mode != AutoresetMode.SAME_STEP and bool(waiting.any())
        if some_wait and self.autoreset_mode == AutoresetMode.DISABLED:
            raise RuntimeError(
                f"dialog {int(waiting.nonzero()[0, 0])} has ended; begin it anew with "
                'reset(options={"reset_mask": …}) before the next step'
            )
        turn = self.dialogs.advance(before.situation, actions)
        situation, draws = turn.situation, before.draws
        reward, rank, terminated = turn.reward, turn.rank, turn.over
        truncated = torch.zeros_like(terminated)
        if self.max_episode_steps is not None:
            truncated = situation.state.turn >= self.max_episode_steps
        fresh = np.zeros(self.num_envs, dtype=bool)
        if some_wait:
            fresh = waiting.cpu().numpy()
            situation, draws = self._begun(waiting, draws, situation)
            rank = rank if situation.target_rank is None else torch.where(waiting, situation.target_rank.rank(), rank)
            reward, terminated, truncated = (
                values.masked_fill(waiting, 0) for values in (reward, terminated, truncated)
            )
        ended = terminated | truncated
        info: dict[str, Any] = {}
        everyone = np.ones(self.num_envs, dtype=bool)
        if self.autoreset_mode == AutoresetMode.SAME_STEP and bool(ended.any()):
            info = self._final(situation.state, rank, ended)
            fresh = ended.cpu().numpy()
            situation, draws = self._begun(ended, draws, situation)
            if situation.target_rank is not None:
                rank = torch.where(ended, situation.target_rank.rank(), rank)
        info |= self._inform(situation.state, rank, everyone)
        result = self._observe(situation.state), *self._out(reward, terminated, truncated), info
        self._go_on(Moment(situation, draws, ended, self._shown(situation.state, rank, fresh, everyone)))
        return result

    def render(self) -> Any:
        """The dialogs so far, as the render mode says; None where they are in a window or not rendered."""
        if self.render_mode is None:
            return None
        if self._moment is None:
            raise RuntimeError("there is nothing to show; call reset before render")
        picture = self._render(self._moment)
        if self._window is None:
            return picture
        self._window.show(picture)
        return None

    def close_extras(self, **keywords: Any) -> None:
        """Closes the window, if there is one."""
        if self._window is not None:
            self._window.close()

    @property
    def state(self) -> DialogState | None:
        """Where the dialogs are, another object after each step and reset; None before the first."""
        return None if self._moment is None else self._moment.situation.state

    def _go_on(self, moment: Moment) -> None:
        """Shows the dialogs where that is wanted, then replaces the present moment."""
        if self._window is not None:
            self._window.show(self._render(moment))
        self._moment = moment

    def _render(self, moment: Moment) -> Any:
        revealed = self.dialogs.settings.reveal_target
        targets = moment.situation.state.target.tolist() if revealed else [None] * self.num_envs
        dialogs = list(zip(moment.shown, targets, strict=True))
        if self.render_mode == "ansi":
            return tuple(as_text(self.gallery, shown, target) for shown, target in dialogs)
        places = self.dialogs.settings.turns + 1
        pictures = [dialog_row(self.gallery, shown, target, places) for shown, target in dialogs]
        if self.render_mode == "rgb_array":
            return tuple(np.asarray(picture) for picture in pictures)
        return np.asarray(grid(pictures))

    def _shown(
        self, state: DialogState, rank: Tensor | None, fresh: NDArray[np.bool_], told: NDArray[np.bool_]
    ) -> tuple[tuple[Shown, ...], ...]:
        """The dialogs so far (B), for rendering: those `told` (B,) have one image more, those `fresh` (B,) it alone."""
        if self.render_mode is None:
            return ()
        info = self.dialogs.inform(state, rank)
        ranks = info.get("rank", np.full(self.num_envs, None))
        latest = map(Shown, info["candidate"].tolist(), info["sentence"], ranks.tolist())
        before = ((),) * self.num_envs if self._moment is None else self._moment.shown
        return tuple(
            earlier if not more else (entry,) if begun else (*earlier, entry)
            for earlier, entry, begun, more in zip(before, latest, fresh, told, strict=True)
        )

    def _begun(self, where: Tensor | None, draws: Draws, before: Situation | None) -> tuple[Situation, Draws]:
        rows = np.arange(self.num_envs) if where is None else where.cpu().numpy().nonzero()[0]
        positions = np.zeros((2, self.num_envs), dtype=np.int64)
        drawn, draws = draws.of(rows)
        begun = torch.from_numpy(self.dialogs.starting_pair(drawn))
        begun[1] = self.dialogs.world.first_candidates(begun[0], begun[1])
        positions[:, rows] = begun.numpy()
        targets, candidates = torch.from_numpy(positions).to(self.dialogs.world.device)
        return self.dialogs.begin(targets, candidates, where, before), draws

    def _seeds_of(self, seed: Any) -> list[int | None]:
        given = [None] * self.num_envs if seed is None else seed
        if isinstance(given, int | np.integer):
            first = checked_seed(given)
            given = [first + dialog for dialog in range(self.num_envs)]
        if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str) or getattr(given, "ndim", 1) != 1:
            raise ValueError(f"seed={told(seed)} is no seed; give an integer, or one for each dialog")
        if len(given) != self.num_envs:
            raise ValueError(f"{len(given)} seeds were given for {self.num_envs} dialogs; give one for each")
        return [None if each is None else checked_seed(each) for each in given]

    def _mask_of(self, options: Any) -> NDArray[np.bool_]:
        if not isinstance(options, dict | None) or set(options or {}) - {"reset_mask"}:
            raise ValueError(f"options={told(options)} is not understood; the vector environment takes 'reset_mask'")
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, dtype=bool)
        try:
            mask = np.array(mask.cpu().numpy() if isinstance(mask, Tensor) else mask)
        except ValueError:  # lists of unequal lengths
            mask = np.zeros(0, dtype=bool)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset_mask must be {self.num_envs} booleans, at least one of them True")
        if self._moment is None and not mask.all():
            raise ValueError("some dialogs have not begun; reset all of them before using a reset_mask")
        return mask

    def _observe(self, state: DialogState) -> Any:
        observed = self.dialogs.observe(state)
        if self.output == "numpy":
            return as_arrays(observed)
        device = self.dialogs.world.device
        if isinstance(observed, dict):
            return {key: torch.as_tensor(value, device=device) for key, value in observed.items()}
        return observed.to(device)

    def _inform(self, state: DialogState, rank: Tensor | None, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """Info in Gymnasium's layout for vectors: for each key an array (B,), and `_key`, where it holds."""
        if self.output == "torch":
            info: dict[str, Any] = {"candidate": state.candidate.clone()}
            if self.dialogs.settings.reveal_target:
                info |= {"target": state.target.clone(), "rank": rank}
            return info
        info = {}
        for key, values in self.dialogs.inform(state, rank).items():
            if mask.all():
                info[key] = values
            else:
                info[key] = np.full(len(mask), None, dtype=object) if values.dtype == object else np.zeros_like(values)
                info[key][mask] = values[mask]
            info[f"_{key}"] = mask.copy()
        return info

    def _final(self, state: DialogState, rank: Tensor, ended: Tensor) -> dict[str, Any]:
        whole = self._observe(state)
        finished = ended.cpu().numpy()
        info = self._inform(state, rank, finished)
        if self.output == "torch":
            return {"final_obs": whole, "_final_obs": ended.clone(), "final_info": info}
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(finished):
            final[row] = row_of(whole, int(row))
        return {
            "final_obs": final,
            "_final_obs": finished.copy(),
            "final_info": info,
            "_final_info": finished.copy(),
        }

    def _out(self, reward: Tensor, terminated: Tensor, truncated: Tensor) -> tuple[Any, Any, Any]:
        if self.output == "torch":
            return reward, terminated, truncated
        return reward.cpu().numpy().astype(np.float64), as_numpy(terminated), as_numpy(truncated)


def as_arrays(observed: Any) -> Any:
    """Copies of the parts of an observation (B), or of its one vector, as numpy."""
    return {key: as_numpy(part) for key, part in observed.items()} if isinstance(observed, dict) else as_numpy(observed)


def row_of(observed: Any, row: int) -> Any:
    """One dialog's observation, of arrays of many."""
    return {key: part[row] for key, part in observed.items()} if isinstance(observed, dict) else observed[row]


def as_numpy(values: Any) -> NDArray[Any]:
    """A copy as numpy."""
    return np.array(values.cpu().numpy() if isinstance(values, Tensor) else values)
