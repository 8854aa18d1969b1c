"""Where to go from the image shown: queries as steps along the main directions of a gallery.

A step is given along the K directions in which the images differ most, in units of their spread, from the image shown
last: 0 is "more like this one". For on-policy algorithms its reach is far beyond the gallery's edge on purpose. A query
out there ranks images by how far they lie in its direction, so a percentile changes smoothly with the query, and noise
that explores many directions at once still tells which of them were good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from torch import Tensor

from dialog_env.envs.wrappers.following import Follower


@dataclass(frozen=True)
class Directions:
    """The main directions of a gallery.

    Args:
        mean: (D,) mean of the pooled features.
        axes: (K, D) orthonormal directions, the one with the largest spread first.
        spread: (K,) standard deviation of the features along each.
    """

    mean: Tensor
    axes: Tensor
    spread: Tensor

    @classmethod
    def of(cls, features: Tensor, count: int) -> Directions:
        """Those of pooled features (N, D); as many as there can be where `count` is more than D."""
        mean = features.mean(dim=0)
        _, spread, axes = torch.linalg.svd((features - mean).double(), full_matrices=False)
        spread = spread / max(len(features) - 1, 1) ** 0.5
        signs = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()  # the sign of an axis is arbitrary
        axes, spread = (axes * signs)[:count].float(), spread[:count].float()
        return cls(mean, *_padded(axes, spread, min(count, features.shape[1])))

    @classmethod
    def unknown(cls, dimensions: int, count: int) -> Directions:
        """Stand-ins for a gallery not yet seen."""
        count = min(count, dimensions)
        return cls(torch.zeros(dimensions), torch.eye(dimensions)[:count], torch.full((count,), dimensions**-0.5))

    def coordinates(self, features: Tensor) -> Tensor:
        """(…, K) coordinates of pooled features (…, D), in standard deviations from the mean."""
        return (features - self.mean) @ self.axes.T / self.spread

    def query(self, features: Tensor, steps: Tensor, reach: float) -> Tensor:
        """(B, D) queries: from candidates (B, D) by steps (B, K) in [-1, 1], 1 being `reach` standard deviations."""
        return features + (steps * reach * self.spread) @ self.axes


def _padded(axes: Tensor, spread: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """A gallery with fewer images than directions gets directions of no spread in the place of the missing ones."""
    missing = count - len(axes)
    if missing:
        axes = torch.cat([axes, axes.new_zeros(missing, axes.shape[1])])
        spread = torch.cat([spread, spread.new_zeros(missing)])
    return axes, spread.clamp(min=1e-6)


class StepQueries(gymnasium.vector.VectorWrapper):
    """Takes steps (B, K) along main directions in the place of queries (B, D).

    Args:
        env: a vector environment with `action="query"`, `observation="features"` and `output="torch"`.
        directions: on the environment's device.
        reach: standard deviations that a step of 1 goes.
        bound: the environment's unit of queries, `Dialog.feature_bound`.
    """

    def __init__(
        self, env: gymnasium.vector.VectorEnv[Any, Any, Any], directions: Directions, reach: float, bound: float
    ) -> None:
        super().__init__(env)
        self.directions = directions
        self.reach, self.bound = reach, bound
        self.single_action_space = spaces.Box(-1.0, 1.0, (len(directions.spread),), np.float32)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self._candidate: Tensor | None = None
        self._follower = Follower(env)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins dialogs, as the wrapped environment does."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._go_on(observation)
        return observation, info

    def step(self, actions: Tensor) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One turn of every dialog."""
        self._follower.check()
        assert self._candidate is not None
        query = self.directions.query(self._candidate, actions.to(self._candidate).clamp(-1, 1), self.reach)
        observation, *rest = self.env.step(query.div(self.bound).clamp(-1, 1))
        self._go_on(observation)
        return observation, *rest

    def _go_on(self, observation: dict[str, Tensor]) -> None:
        """Remembers from where the next steps go."""
        vars(self).update(_candidate=observation["image"].clone(), _follower=self._follower.seen())
