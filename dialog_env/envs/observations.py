"""What an environment shows: the candidate as features or as pixels, the feedback on it, the turn."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from torch import Tensor

from dialog_env.world.dialog import Dialog
from dialog_env.world.state import Observation
from dialog_env.world.vocabulary import MAX_WORDS


class ImageObservation(Protocol):
    """How the candidate is shown."""

    @property
    def space(self) -> spaces.Box:
        """One candidate."""

    def observe(self, observation: Observation) -> Any:
        """The candidates of B dialogs, a fresh tensor or array with B rows of `space`."""
        ...


class FeatureObservation:
    """The candidate's pooled features (D,) float32."""

    def __init__(self, world: Dialog) -> None:
        bound = world.feature_bound
        self.space = spaces.Box(-bound, bound, (world.gallery.dimensions,), np.float32)

    def observe(self, observation: Observation) -> Tensor:
        """(B, D) float32."""
        return observation.features


class PixelObservation:
    """The candidate's picture (H, W, 3) uint8."""

    def __init__(self, world: Dialog) -> None:
        self.gallery = world.gallery
        if self.gallery.image_size is None:
            raise ValueError(
                f"catalogue {self.gallery.name!r} has no pictures; build it from images, or observe its features"
            )
        self.space = spaces.Box(0, 255, (*self.gallery.image_size, 3), np.uint8)

    def observe(self, observation: Observation) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """(B, H, W, 3) uint8."""
        return self.gallery.images(observation.candidate.cpu().numpy())


OBSERVATIONS: dict[str, type[FeatureObservation] | type[PixelObservation]] = {
    "features": FeatureObservation,
    "pixels": PixelObservation,
}
"""Value of the keyword `observation` to how the candidate is shown."""


def observation_space(image: ImageObservation, words: int, turns: int) -> spaces.Dict:
    """The candidate, the tokens of the feedback on it (L,) from 0 to V, and the turn from 0 to T."""
    return spaces.Dict(
        {
            "image": image.space,
            "feedback": spaces.Box(0, words, (MAX_WORDS,), np.int64),
            "turn": spaces.Discrete(turns + 1),
        }
    )


def space_bytes(space: spaces.Space[Any]) -> int:
    """What a space needs for each of many dialogs: the bounds of its parts, and whether they are bounds at all."""
    if isinstance(space, spaces.Dict):
        return sum(space_bytes(part) for part in space.values())
    return math.prod(space.shape or ()) * (2 * (space.dtype or np.dtype(np.int64)).itemsize + 2)
