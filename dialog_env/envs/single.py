"""DialogRetrieval-v0: the dialog as a Gymnasium environment."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import seeding

from dialog_env.catalog import Catalog
from dialog_env.envs.dialog_batch import (
    DEFAULT_CATALOG,
    DEFAULT_PRESET,
    DEFAULT_SIMULATOR,
    DialogBatch,
    EnvironmentSettings,
    Situation,
)
from dialog_env.envs.vector import as_arrays, row_of
from dialog_env.envs.window import Window
from dialog_env.io.keywords import checked, checked_choice, checked_seed, told
from dialog_env.world.dialog import TURNS
from dialog_env.world.rendering import Shown, as_text, dialog_row
from dialog_env.world.state import DialogState
from dialog_env.world.user import UserSimulator


@dataclass(frozen=True)
class Moment:
    """All that a step or a reset of one dialog changes, but for the generator; replaced at its end, or not at all.

    Args:
        situation: of the dialog, a batch of one.
        shown: the dialog so far, to be rendered.
        running: whether it goes on.
    """

    situation: Situation
    shown: tuple[Shown, ...]
    running: bool


class DialogRetrievalEnv(gymnasium.Env[Any, Any]):
    """Find the image that a person has in mind, from what they say about the images you show.

    ## Description

    A simulated person has one image of a gallery in mind, the target. The environment shows a first candidate, drawn
    at random, with the person's feedback on it: in words, how the target differs from it ("is red and has a higher
    heel"). The agent answers with another candidate, hears the feedback on that one, and so on for five turns.
    The task is that of Guo et al., *Dialog-based Interactive Image Retrieval*, NeurIPS 2018.

    ## Action space

    | `action=` | space | meaning |
    |---|---|---|
    | `"candidate"` | `Discrete(N)` | the gallery position of the image to show |
    | `"query"` | `Box(-1, 1, (D,), float32)` | a point in feature space; the nearest image is shown |
    | `"direction"` | `Box(-1, 1, (16,), float32)` | a step from the image shown along main directions of the gallery |
    | `"move"` | `Discrete(32)` | one such step: back or forth along one main direction |
    | `"score"` | `Box(-1, 1, (N,), float32)` | a score for every image; the highest is shown |

    Every action is a ranking of the gallery: by distance of pooled features to the candidate, to the query or to where
    a step leads, or by score. An action outside the space is refused, and the dialog can go on: clip what a Gaussian
    policy draws. Queries are in units of b (below), so that an image's features divided by b are the query that shows
    it; features use little of the space (in the default catalogue their standard deviation is 0.09), and so should
    exploration. Steps need no such care: 0 is the image shown, and 1 goes 16 standard deviations of the gallery along a
    direction (`action="direction:directions=32,reach=8"` has other numbers). The main directions are the principal axes
    of the catalogue's split `train`, so that what was learned in one split works in another.

    ## Observation space

    A `Dict`:

    | key | space | meaning |
    |---|---|---|
    | `"image"` | `Box(-b, b, (D,), float32)` | the candidate's pooled features, with `observation="features"` |
    | | `Box(0, 255, (H, W, 3), uint8)` | its picture, with `observation="pixels"` |
    | | `Box(-10, 10, (16,), float32)` | its place along the main directions, in deviations, with `"coordinates"` |
    | `"feedback"` | `Box(0, V, (16,), int64)` | tokens of the feedback on it, 0 = padding and end |
    | | `Box(0, 1, (V,), float32)` | which words it holds, with `"words"` |
    | `"turn"` | `Discrete(T + 1)` | turns taken so far |
    | | `Box(0, 1, (T + 1,), float32)` | the same as a vector with one 1, with `"one_hot_turn"` |

    Each is a part of its own: `observation=("features", "mine:Part")` adds one, and one whose key is `"feedback"` or
    `"turn"` takes the place of that. With `flatten=True` an observation is one vector of all parts, which must then be
    a `Box` each. An observation is the latest turn alone; `dialog_env.envs.wrappers.DialogHistory` observes the whole
    dialog.

    N is the number of images in the gallery, D of features of each, V of words, T of turns; b is 1 where all features
    lie in [-1, 1], as in every catalogue built here, else the largest absolute one.

    ## Presets

    | `preset=` | `action` | `observation` | for |
    |---|---|---|---|
    | `"dialog"` | `"candidate"` | `"features"` | people and their own networks |
    | `"vector"` | `"direction"` | `("coordinates", "words", "one_hot_turn")` | PPO, A2C, SAC, TD3 as they come |
    | `"discrete"` | `"move"` | the same | DQN as it comes |

    `action` and `observation`, where given, take the place of what the preset says. Two ids stand for a preset with
    `flatten=True`, for scripts in which nothing but an id can be changed: `DialogRetrieval-vector-v0` and
    `DialogRetrieval-discrete-v0`.

    ## Rewards

    | `reward=` | each turn pays |
    |---|---|
    | `"percentile"` | the target's ranking percentile, in [0, 1]: 1 - rank / N, ties counted half |
    | `"change"` | its rise since the turn before |
    | `"log_rank"` | -log(1 + rank) |
    | `"found"` | 1 if the image shown is the target, else 0 |

    A reward of your own is a function of what a turn began with, what it did and where it led
    (`dialog_env.envs.rewards`).

    ## Starting state

    Target and first candidate are uniform and different. `reset(options={"target": position, "candidate": position})`
    sets either.

    ## Episode end

    The episode terminates after `turns` turns. With `stop_when_found=True` it also terminates when the target is
    shown, and the turns saved are paid as if each had percentile 1, so that finding early never costs return.
    After the last turn nobody is asked: the feedback is empty.

    ## Info

    `sentence` is the feedback as text, `candidate` the gallery position of the image shown and `id` its id. With
    `reveal_target=True` also `target` (position) and `rank` (0-based; at reset under the order by distance to the first
    candidate).

    ## Arguments

    ```python
    >>> import gymnasium as gym
    >>> import dialog_env
    >>> env = gym.make("DialogRetrieval-v0", action="query", turns=3)
    >>> observation, info = env.reset(seed=1)
    >>> env.action_space.shape == observation["image"].shape
    True

    ```

    | argument | default | meaning |
    |---|---|---|
    | `catalog` | `"synthetic"` | a catalogue's name or file, or a `Catalog`; one that is a split is the gallery |
    | `split` | `"train"` | the split that is the gallery; `"all"` for every image |
    | `simulator` | `"captioner"` | the user: a name, `name:argument`, `module:Class`, or a `UserSimulator` |
    | `simulator_settings` | `None` | keywords for a simulator given by name |
    | `preset` | `"dialog"` | what `action` and `observation` are where they are not given |
    | `action`, `observation` | `None` | see above, or one of your own; None for what the preset says |
    | `reward` | `"percentile"` | see above, or one of your own |
    | `flatten` | `False` | observes one vector instead of parts |
    | `turns` | `5` | T |
    | `stop_when_found` | `False` | see above |
    | `reveal_target` | `False` | puts target and rank into `info`, and the target into pictures |
    | `device` | `"cpu"` | where catalogue, simulator and world live |
    | `render_mode` | `None` | see below |

    What is of your own is named `module:Class`, or given as a class or an object.

    ## Rendering

    | `render_mode=` | `render()` gives |
    |---|---|
    | `"rgb_array"` | a picture (H, W, 3) of the dialog so far: the images shown, with the sentences under them |
    | `"human"` | nothing; the picture is shown in a window at each reset and step (needs the extra `human`) |
    | `"ansi"` | the dialog as text |

    ## Version history

    * v0: first version.
    """

    metadata = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": 1,
    }

    def __init__(
        self,
        catalog: str | Path | Catalog = DEFAULT_CATALOG,
        split: str = "train",
        simulator: Any = DEFAULT_SIMULATOR,
        simulator_settings: dict[str, Any] | None = None,
        preset: str = DEFAULT_PRESET,
        action: Any = None,
        observation: Any = None,
        reward: Any = "percentile",
        flatten: bool = False,
        turns: int = TURNS,
        stop_when_found: bool = False,
        reveal_target: bool = False,
        device: str | torch.device = "cpu",
        render_mode: str | None = None,
    ) -> None:
        self._spec: EnvSpec | None = None
        checked(DialogRetrievalEnv, render_mode=render_mode)
        if render_mode is not None:
            checked_choice("render_mode", render_mode, self.metadata["render_modes"])
        self.dialogs = DialogBatch(
            EnvironmentSettings(
                catalog=catalog,
                split=split,
                simulator=simulator,
                simulator_settings=simulator_settings,
                preset=preset,
                action=action,
                observation=observation,
                reward=reward,
                flatten=flatten,
                turns=turns,
                stop_when_found=stop_when_found,
                reveal_target=reveal_target,
                device=device,
            )
        )
        self.action_space = self.dialogs.action.space
        self.observation_space = self.dialogs.observation_space
        self.render_mode = render_mode
        self._window = Window("DialogRetrieval-v0", self.metadata["render_fps"]) if render_mode == "human" else None
        self._moment: Moment | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """How `gymnasium.make` made the environment, in keywords that can be written down where there are such."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            kept = {name: str(value) if isinstance(value, Path) else value for name, value in spec.kwargs.items()}
            spec = replace(spec, kwargs=kept)
        self._spec = spec

    @property
    def gallery(self) -> Catalog:
        """The images that can be shown, with their ids, features and pictures."""
        return self.dialogs.gallery

    @property
    def simulator(self) -> UserSimulator:
        """The user, with its vocabulary."""
        return self.dialogs.simulator

    @property
    def state(self) -> DialogState | None:
        """Where the dialog is, a batch of one, another object after each step and reset; None before the first."""
        return None if self._moment is None else self._moment.situation.state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins a dialog; ValueError, and nothing has changed, for options other than `target` and `candidate`."""
        self._check_options(options)
        if seed is not None or self._np_random is None:
            generator, known = seeding.np_random(None if seed is None else checked_seed(seed))
        else:
            generator, known = copy.deepcopy(self._np_random), self.np_random_seed
        drawn = np.asarray(generator.integers(self.dialogs.num_starts))
        chosen = self._chosen(options or {}, *self.dialogs.starting_pair(drawn).tolist())
        device = self.dialogs.world.device
        target, candidate = (torch.tensor([chosen[name]], device=device) for name in ("target", "candidate"))
        if "candidate" not in (options or {}):
            candidate = self.dialogs.world.first_candidates(target, candidate)
        situation = self.dialogs.begin(target, candidate)
        rank = None if situation.target_rank is None else situation.target_rank.rank()
        info = self._inform(situation.state, rank)
        observation = self._observe(situation.state)
        # Gymnasium's generator is replaced together with the rest, and in one call, so that Ctrl-C falls beside it.
        self._go_on(Moment(situation, (_shown(info),), True), _np_random=generator, _np_random_seed=known)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One turn; ValueError for an action outside the space, RuntimeError before a reset or after the end."""
        before = self._moment
        if before is None or not before.running:
            raise RuntimeError("there is no dialog to go on with; call reset first, and again after each end")
        actions = action[None] if isinstance(action, np.ndarray | torch.Tensor) else [action]
        turn = self.dialogs.advance(before.situation, actions)
        over, reward = bool(turn.over[0]), float(turn.reward[0])
        observation = self._observe(turn.situation.state)
        info = self._inform(turn.situation.state, turn.rank)
        self._go_on(Moment(turn.situation, (*before.shown, _shown(info)), not over))
        return observation, reward, over, False, info

    def _go_on(self, moment: Moment, **also: Any) -> None:
        """Shows the dialog where that is wanted, then replaces the present moment and other attributes at once."""
        if self.render_mode == "human":
            self._render(moment)
        vars(self).update(_moment=moment, **also)

    def render(self) -> Any:
        """The dialog so far: a picture (H, W, 3) uint8, or text; None where it is in a window or not rendered."""
        if self.render_mode is None:
            return None
        if self._moment is None:
            raise RuntimeError("there is nothing to show; call reset before render")
        return self._render(self._moment)

    def _render(self, moment: Moment) -> Any:
        revealed = self.dialogs.settings.reveal_target
        target = int(moment.situation.state.target[0]) if revealed else None
        if self.render_mode == "ansi":
            return as_text(self.gallery, moment.shown, target)
        picture = np.asarray(dialog_row(self.gallery, moment.shown, target, self.dialogs.settings.turns + 1))
        if self._window is None:
            return picture
        self._window.show(picture)
        return None

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._window is not None:
            self._window.close()

    def _check_options(self, options: Any) -> None:
        last = self.dialogs.images - 1
        if (
            not isinstance(options, dict | None)
            or set(options or {}) - {"target", "candidate"}
            or not all(
                isinstance(position, int | np.integer) and not isinstance(position, bool) and 0 <= position <= last
                for position in (options or {}).values()
            )
        ):
            raise ValueError(
                f"options={told(options)} is not understood; give 'target' and 'candidate', from 0 to {last}"
            )
        if options and "target" in options and options["target"] == options.get("candidate"):
            raise ValueError(f"options={told(options)} begins at the target; give a candidate that is another image")

    def _chosen(self, options: dict[str, Any], target: int, candidate: int) -> dict[str, int]:
        """What was drawn, moved to the positions given; target and candidate stay as far apart as they were drawn."""
        images, apart = self.dialogs.images, candidate - target
        given = {name: int(position) for name, position in options.items()}
        if "candidate" in given:
            target = (given["candidate"] - apart) % images
        target = given.get("target", target)
        return {"target": target, "candidate": given.get("candidate", (target + apart) % images)}

    def _observe(self, state: DialogState) -> Any:
        return row_of(as_arrays(self.dialogs.observe(state)), 0)

    def _inform(self, state: DialogState, rank: torch.Tensor | None) -> dict[str, Any]:
        return {key: values[:1].tolist()[0] for key, values in self.dialogs.inform(state, rank).items()}


def _shown(info: dict[str, Any]) -> Shown:
    return Shown(info["candidate"], info["sentence"], info.get("rank"))
