"""The dialog so far as the observation, for agents that have no memory of their own."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from dialog_env.envs.observations import TurnPart, space_bytes
from dialog_env.envs.wrappers.following import Follower
from dialog_env.io.device import require_memory
from dialog_env.io.keywords import checked, told

TURN = TurnPart.key


def history_space(space: spaces.Space[Any], *, flat: bool = False) -> spaces.Dict:
    """The space of dialogs so far, from the space of one turn.

    Args:
        space: of `DialogRetrieval-v0`.
        flat: each part as one vector.

    Raises:
        ValueError: a space without a turn, one with parts that are no `Box`, or with more turns than memory holds.
    """
    checked(history_space, flat=flat)
    others = {} if not isinstance(space, spaces.Dict) else {name: space[name] for name in space if name != TURN}
    if not isinstance(space, spaces.Dict) or not isinstance(space.get(TURN), spaces.Discrete) or not others:
        raise ValueError(
            f"a dialog history needs observations with a turn that is a number, not {told(space)}; wrap "
            "DialogRetrieval-v0 with preset='dialog', or stack vectors with FrameStackObservation"
        )
    boxes = {name: part for name, part in others.items() if isinstance(part, spaces.Box)}
    for name in others.keys() - boxes.keys():
        raise ValueError(
            f"a dialog history keeps parts that are a Box, and {name!r} is {others[name]}; observe it as one"
        )
    turn = cast(spaces.Discrete, space[TURN])
    slots = int(turn.n)
    room = "wrap an environment of fewer turns"
    require_memory(slots * space_bytes(space), torch.device("cpu"), f"the spaces of {slots} turns", room)
    parts: dict[str, spaces.Space[Any]] = {}
    for name, part in boxes.items():
        low, high = (np.broadcast_to(bound, (slots, *part.shape)) for bound in (part.low, part.high))
        if flat:
            low, high = low.reshape(-1), high.reshape(-1)
        parts[name] = spaces.Box(np.minimum(low, 0), np.maximum(high, 0), dtype=cast(Any, part.dtype))
    return spaces.Dict({**parts, "mask": spaces.MultiBinary(slots), TURN: turn})


class History:
    """The turns of B dialogs so far; arrays or tensors, whatever it is made from.

    Slot t holds what was observed at turn t; later slots are 0. A dialog that lasts longer than there are slots
    forgets its first turns.

    Args:
        parts: key to what was observed, (B, S, …).
        mask: (B, S) int8, 1 where a slot is filled.
    """

    def __init__(self, parts: dict[str, Any], mask: Any) -> None:
        self.parts, self.mask = parts, mask

    @classmethod
    def empty(cls, parts: dict[str, Any], slots: int) -> History:
        """No turns yet, in S slots, for parts that look like `parts`, each (B, …)."""

        def blank(like: Any) -> Any:
            shape = (len(like), slots, *like.shape[1:])
            return like.new_zeros(shape) if isinstance(like, torch.Tensor) else np.zeros(shape, like.dtype)

        some = next(iter(parts.values()))
        shape = (len(some), slots)
        tensors = isinstance(some, torch.Tensor)
        mask = some.new_zeros(shape, dtype=torch.int8) if tensors else np.zeros(shape, np.int8)
        return cls({name: blank(part) for name, part in parts.items()}, mask)

    def then(self, parts: dict[str, Any], turn: Any) -> History:
        """The history with one more observation of each dialog; turn 0 begins a dialog anew. This one stays as it is.

        Args:
            parts: key to what is observed, each (B, …).
            turn: (B,) integers.
        """
        grown = History({name: _copy(part) for name, part in self.parts.items()}, _copy(self.mask))
        last = self.mask.shape[1] - 1
        begun, full = turn == 0, turn > last
        tensors = isinstance(turn, torch.Tensor)
        rows = torch.arange(len(turn), device=turn.device) if tensors else np.arange(len(turn))
        slot = turn.clamp(max=last) if tensors else np.minimum(turn, last)
        for own, new in (*((grown.parts[name], parts[name]) for name in grown.parts), (grown.mask, 1)):
            own[begun] = 0
            if bool(full.any()):
                own[full, :-1] = _copy(own[full, 1:])
            own[rows, slot] = new
        return grown

    def observation(self, turn: Any, *, flat: bool = False) -> dict[str, Any]:
        """The observation of `history_space`, a copy, with B rows."""
        parts = {name: _copy(part) for name, part in self.parts.items()}
        if flat:
            parts = {name: part.reshape(len(part), -1) for name, part in parts.items()}
        return {**parts, "mask": _copy(self.mask), TURN: turn}

    def rows(self, rows: Any) -> History:
        """The histories of some of the dialogs."""
        return History({name: part[rows] for name, part in self.parts.items()}, self.mask[rows])


def _without_turn(observation: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in observation.items() if name != TURN}


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

    Parts of your own that are a `Box` are kept in the same way.

    A step that is refused or interrupted leaves the history as it was; one that was made without this wrapper is
    noticed at the next, with a RuntimeError.

    Args:
        env: `DialogRetrieval-v0`.
        flat: every part as one vector, the only shape that Stable-Baselines3's `check_env` likes.

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
        parts = {name: np.asarray(part)[None] for name, part in _without_turn(observation).items()}
        turn = np.asarray(observation[TURN])[None]
        slots = int(cast(spaces.Discrete, self.observation_space[TURN]).n)  # type: ignore[index]
        history = (self._history or History.empty(parts, slots)).then(parts, turn)
        whole = history.observation(turn, flat=self.flat)
        vars(self).update(_history=history, _follower=self._follower.seen())
        return {**{name: part[0] for name, part in whole.items()}, TURN: observation[TURN]}


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
        parts, turn = _without_turn(observation), observation[TURN]
        slots = int(cast(spaces.Discrete, self.single_observation_space[TURN]).n)  # type: ignore[index]
        history = (self._history or History.empty(parts, slots)).then(parts, turn)
        whole = history.observation(turn, flat=self.flat)
        vars(self).update(_history=history, _follower=self._follower.seen())
        return whole

    def _final(self, last: Any, ended: Any) -> Any:
        """The finished dialogs, in the layout of `last`: whole batches of tensors, or an object for each dialog."""
        assert self._history is not None
        if isinstance(last, dict):
            return self._history.then(_without_turn(last), last[TURN]).observation(last[TURN], flat=self.flat)
        rows = np.flatnonzero(ended)
        stacked = {name: np.stack([last[row][name] for row in rows]) for name in (*self._history.parts, TURN)}
        finished = self._history.rows(rows).then(_without_turn(stacked), stacked[TURN])
        parts = finished.observation(stacked[TURN], flat=self.flat)
        final = np.full(len(last), None, dtype=object)
        for position, row in enumerate(rows):
            final[row] = {name: part[position] for name, part in parts.items()}
        return final
