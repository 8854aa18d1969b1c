"""A choice among the images that an agent believes in, as an environment for anyone's reinforcement learning."""

from __future__ import annotations

from typing import Any, Protocol, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.envs.wrappers.following import Follower
from dialog_env.io.keywords import checked_count, told
from dialog_env.world.ranking import Ranking
from dialog_env.world.state import Observation

LEAST = -50.0
"""No log-probability is told to be lower, in nats."""


class Believer(Protocol):
    """What the wrapper needs of an agent; `dialog_env.agents` says what each does."""

    def bind(self, gallery: Catalog) -> None:
        """Prepares for a gallery."""

    def begin(self, batch: int) -> Any:
        """Memory of B dialogs that have not begun."""

    def rank(self, observation: Observation, memory: Any) -> tuple[Ranking, Any]:
        """The order of the gallery, and what to remember."""

    def log_belief(self, memory: Any) -> Tensor:
        """(B, N) log-probability that each image is the target."""


class BeliefCandidates(
    gymnasium.Wrapper[dict[str, Any], Any, dict[str, Any], Any], gymnasium.utils.RecordConstructorArgs
):
    """Observes the K likeliest images not shown yet, by the belief of an agent; the action is which of them to show.

    What was said is the agent's business: what is left is the choice, which is the reinforcement learning problem. An
    action of 0 always is what the agent would do by itself.

    | key | space | meaning |
    |---|---|---|
    | `"belief"` | `Box(-50, 0, (K,))` | log-probability of each, in nats, the likeliest first |
    | `"image"` | `Box((K, D))` | their pooled features |
    | `"turn"` | `Discrete(T + 1)` | turns taken so far |

    `info["options"]` holds their gallery positions (K,). The reward is that of the environment; with
    `reward="percentile"` it is that of the ranking around the image shown, so that `found` and `log_rank` say more.

    A step that is refused or interrupted leaves the belief as it was; one that was made without this wrapper is noticed
    at the next, with a RuntimeError.

    Args:
        env: `DialogRetrieval-v0` with `action="candidate"`.
        agent: with `log_belief`, say `dialog_env.agents.load("belief")`; it is bound to the gallery here.
        candidates: K.

    Raises:
        ValueError: another environment, an agent without a belief, or fewer images than K more than a dialog shows.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], agent: Believer, candidates: int = 12) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, agent=agent, candidates=candidates)
        gymnasium.Wrapper.__init__(self, env)
        dialogs = getattr(env.unwrapped, "dialogs", None)
        space = env.action_space
        if dialogs is None or not isinstance(space, spaces.Discrete) or space.n != dialogs.images:
            raise ValueError(f"{env} has no dialogs or no candidate actions; wrap DialogRetrieval-v0, action=candidate")
        lacking = [name for name in ("bind", "begin", "rank", "log_belief") if not callable(getattr(agent, name, None))]
        if lacking:
            raise ValueError(f"{type(agent).__name__} has no {lacking[0]} and so no belief; give one such as 'belief'")
        turns = int(dialogs.settings.turns)
        self.candidates = checked_count("candidates", candidates)
        if self.candidates + turns >= dialogs.images:
            raise ValueError(
                f"candidates is {candidates} and a dialog of {turns} turns in a gallery of {dialogs.images} images "
                f"leaves fewer; give at most {dialogs.images - turns - 1}"
            )
        self.agent, self._dialogs = agent, dialogs
        agent.bind(dialogs.gallery.apart(attributes=False))
        bound, shape = dialogs.world.feature_bound, (self.candidates, dialogs.gallery.dimensions)
        self.observation_space = spaces.Dict(
            {
                "belief": spaces.Box(LEAST, 0.0, (self.candidates,), np.float32),
                "image": spaces.Box(-bound, bound, shape, np.float32),
                "turn": spaces.Discrete(turns + 1),
            }
        )
        self.action_space = spaces.Discrete(self.candidates)
        self._follower = Follower(env)
        self._memory: Any = None
        self._shown = torch.zeros(1, 0, dtype=torch.int64)
        self._options: NDArray[np.int64] = np.zeros(0, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a dialog."""
        _, info = self.env.reset(seed=seed, options=options)
        none = torch.zeros(1, 0, dtype=torch.int64, device=self._dialogs.world.device)
        return self._hear(info, self.agent.begin(1), none)

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """One turn: shows the image of that place among the options."""
        self._follower.check()
        if not self.action_space.contains(action):
            raise ValueError(f"action {told(action)} is no place among {self.candidates} images; give 0 for the first")
        _, reward, terminated, truncated, info = self.env.step(int(self._options[int(action)]))
        observation, info = self._hear(info, self._memory, self._shown)
        return observation, reward, terminated, truncated, info

    @torch.no_grad()
    def _hear(self, info: dict[str, Any], memory: Any, shown: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
        state = cast(Any, self.env.unwrapped).state
        ranking, memory = self.agent.rank(self._dialogs.world.observed(state), memory)
        shown = torch.cat([shown, state.candidate[:, None]], dim=1)
        options = ranking.top(self.candidates, shown)[0]
        observation = {
            "belief": self.agent.log_belief(memory)[0, options].clamp(LEAST, 0).float().cpu().numpy(),
            "image": self._dialogs.world.features[options].cpu().numpy(),
            "turn": np.int64(state.turn[0].item()),
        }
        positions = options.cpu().numpy()
        vars(self).update(_memory=memory, _shown=shown, _options=positions, _follower=self._follower.seen())
        return observation, {**info, "options": positions.copy()}
