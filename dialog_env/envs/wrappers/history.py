"""The dialog so far as the observation, for agents that have no memory of their own."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from dialog_env.envs.observations import space_bytes
from dialog_env.envs.wrappers.following import Follower
from dialog_env.io.device import require_memory
from dialog_env.io.keywords import checked

REMEMBERED = ("image", "feedback")
"""The parts of an observation that are kept for every turn."""


def history_space(space: spaces.Space[Any], *, flat: bool = False) -> spaces.Dict:
    """The space of dialogs so far, from the space of one turn.

    Args:
        space: of `DialogRetrieval-v0`.
        flat: each part as one vector.

    Raises:
        ValueError: a space without the parts `image`, `feedback` and `turn`, or with more turns than memory holds.
    """
    checked(history_space, flat=flat)
    if not isinstance(space, spaces.Dict) or set(space.spaces) != {*REMEMBERED, "turn"}:
        raise ValueError(
            f"a dialog history needs observations of image, feedback and turn, not {space}; wrap DialogRetrieval-v0"
        )
    turn = cast(spaces.Discrete, space["turn"])
    slots = int(turn.n)
    room = "wrap an environment of fewer turns"
    require_memory(slots * space_bytes(space), torch.device("cpu"), f"the spaces of {slots} turns", room)
    parts: dict[str, spaces.Space[Any]] = {}
    for name in REMEMBERED:
        part = cast(spaces.Box, space[name])
        low, high = (np.broadcast_to(bound, (slots, *part.shape)) for bound in (part.low, part.high))
        if flat:
            low, high = low.reshape(-1), high.reshape(-1)
        parts[name] = spaces.Box(np.minimum(low, 0), np.maximum(high, 0), dtype=cast(Any, part.dtype))
    return spaces.Dict({**parts, "mask": spaces.MultiBinary(slots), "turn": turn})


class History:
    """The turns of B dialogs so far; arrays or tensors, whatever it is made from.

    Slot t holds what was observed at turn t; later slots are 0. A dialog that lasts longer than there are slots
    forgets its first turns.

    Args:
        image: (B, S, …) the candidates.
        feedback: (B, S, L) the tokens of the feedback on them.
        mask: (B, S) int8, 1 where a slot is filled.
    """

    def __init__(self, image: Any, feedback: Any, mask: Any) -> None:
        self.image, self.feedback, self.mask = image, feedback, mask

    @classmethod
    def empty(cls, image: Any, feedback: Any, slots: int) -> History:
        """No turns yet, in S slots, for parts that look like `image` (B, …) and `feedback` (B, L)."""

        def blank(like: Any) -> Any:
            shape = (len(like), slots, *like.shape[1:])
            return like.new_zeros(shape) if isinstance(like, torch.Tensor) else np.zeros(shape, like.dtype)

        mask_shape = (len(image), slots)
        if isinstance(image, torch.Tensor):
            return cls(blank(image), blank(feedback), image.new_zeros(mask_shape, dtype=torch.int8))
        return cls(blank(image), blank(feedback), np.zeros(mask_shape, np.int8))

    def then(self, image: Any, feedback: Any, turn: Any) -> History:
        """The history with one more observation of each dialog; turn 0 begins a dialog anew. This one stays as it is.

        Args:
            image: (B, …).
            feedback: (B, L).
            turn: (B,) integers.
        """
        grown = History(*(_copy(part) for part in (self.image, self.feedback, self.mask)))
        last = self.mask.shape[1] - 1
        begun, full = turn == 0, turn > last
        tensors = isinstance(turn, torch.Tensor)
        rows = torch.arange(len(turn), device=turn.device) if tensors else np.arange(len(turn))
        slot = turn.clamp(max=last) if tensors else np.minimum(turn, last)
        for own, new in ((grown.image, image), (grown.feedback, feedback), (grown.mask, 1)):
            own[begun] = 0
            if bool(full.any()):
                own[full, :-1] = _copy(own[full, 1:])
            own[rows, slot] = new
        return grown

    def observation(self, turn: Any, *, flat: bool = False) -> dict[str, Any]:
        """The observation of `history_space`, a copy, with B rows."""
        parts = {"image": _copy(self.image), "feedback": _copy(self.feedback)}
        if flat:
            parts = {name: part.reshape(len(part), -1) for name, part in parts.items()}
        return {**parts, "mask": _copy(self.mask), "turn": turn}


def _copy(part: Any) -> Any:
    return part.clone() if isinstance(part, torch.Tensor) else part.copy()


class DialogHistory(
    gymnasium.ObservationWrapper[dict[str, Any], Any, dict[str, Any]], gymnasium.utils.RecordConstructorArgs
):
    """Observes the dialog so far, in the T + 1 slots of turns 0 to T.

    | key | space | meaning |
    |---|---|---|
    | `"image"` | `Box((T + 1, D))` or `Box((T + 1, H, W, 3))` | the candidates, 0 where none was shown yet |
    | `"feedback"` | `Box(0, V, (T + 1, 16), int64)` | tokens of the feedback on each |
    | `"mask"` | `MultiBinary(T + 1)` | 1 for the slots in use |
    | `"turn"` | `Discrete(T + 1)` | turns taken so far: the last slot in use |

    A step that is refused or interrupted leaves the history as it was; one that was made without this wrapper is
    noticed at the next, with a RuntimeError.

    Args:
        env: `DialogRetrieval-v0`.
        flat: `image` and `feedback` as one vector each, the only shape that Stable-Baselines3's `check_env` likes.

    Raises:
        ValueError: another environment.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], flat: bool = False) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, flat=flat)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.flat = flat
        self.observation_space = history_space(env.observation_space, flat=flat)
        self._history: History | None = None
        self._follower = Follower(env)

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """One turn."""
        self._follower.check()
        return super().step(action)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The dialog so far, of which `observation` is the latest turn."""
        image, feedback = (np.asarray(observation[name])[None] for name in REMEMBERED)
        turn = np.asarray(observation["turn"])[None]
        slots = int(cast(spaces.Discrete, self.observation_space["turn"]).n)  # type: ignore[index]
        history = (self._history or History.empty(image, feedback, slots)).then(image, feedback, turn)
        whole = history.observation(turn, flat=self.flat)
        vars(self).update(_history=history, _follower=self._follower.seen())
        return {**{name: part[0] for name, part in whole.items()}, "turn": observation["turn"]}


class DialogHistoryVector(gymnasium.vector.VectorWrapper):
    """`DialogHistory` for many dialogs at once, with arrays or tensors, in every autoreset mode.

    `info["final_obs"]` holds dialogs so far as well.

    Args:
        env: a vector environment of `DialogRetrieval-v0`, native or Gymnasium's.
        flat: as in `DialogHistory`.

    Raises:
        ValueError: another environment.
    """

    def __init__(self, env: gymnasium.vector.VectorEnv[Any, Any, Any], flat: bool = False) -> None:
        super().__init__(env)
        self.flat = flat
        self.single_observation_space = history_space(env.single_observation_space, flat=flat)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._history: History | None = None
        self._follower = Follower(env)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins dialogs, as the wrapped environment does."""
        if options:
            self._follower.check(begun=False)
        observation, info = self.env.reset(seed=seed, options=options)
        return self._remember(observation), info

    def step(self, actions: Any) -> tuple[dict[str, Any], Any, Any, Any, dict[str, Any]]:
        """One turn of every dialog."""
        self._follower.check()
        observation, reward, terminated, truncated, info = self.env.step(actions)
        if "final_obs" in info:
            info = {**info, "final_obs": self._final(info["final_obs"], info["_final_obs"])}
        return self._remember(observation), reward, terminated, truncated, info

    def _remember(self, observation: dict[str, Any]) -> dict[str, Any]:
        image, feedback, turn = (observation[name] for name in (*REMEMBERED, "turn"))
        slots = int(cast(spaces.Discrete, self.single_observation_space["turn"]).n)  # type: ignore[index]
        history = (self._history or History.empty(image, feedback, slots)).then(image, feedback, turn)
        whole = history.observation(turn, flat=self.flat)
        vars(self).update(_history=history, _follower=self._follower.seen())
        return whole

    def _final(self, last: Any, ended: Any) -> Any:
        """The finished dialogs, in the layout of `last`: whole batches of tensors, or an object for each dialog."""
        assert self._history is not None
        if isinstance(last, dict):
            whole = self._history.then(*(last[name] for name in (*REMEMBERED, "turn")))
            return whole.observation(last["turn"], flat=self.flat)
        rows = np.flatnonzero(ended)
        finished = History(*(part[rows] for part in (self._history.image, self._history.feedback, self._history.mask)))
        image, feedback, turn = (np.stack([last[row][name] for row in rows]) for name in (*REMEMBERED, "turn"))
        parts = finished.then(image, feedback, turn).observation(turn, flat=self.flat)
        final = np.full(len(last), None, dtype=object)
        for position, row in enumerate(rows):
            final[row] = {name: part[position] for name, part in parts.items()}
        return final
