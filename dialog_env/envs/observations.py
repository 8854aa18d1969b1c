"""What an environment shows, part by part: the candidate as features or as pixels, the feedback on it, the turn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from torch import Tensor

from dialog_env.io.keywords import told
from dialog_env.registry import Parts
from dialog_env.world.dialog import Dialog
from dialog_env.world.state import Observation
from dialog_env.world.vocabulary import MAX_WORDS


class ObservationPart(Protocol):
    """One entry of an observation; its class is called with the world.

    Attributes:
        key: its name in the observation.
        space: of one dialog.
    """

    key: str
    space: spaces.Space[Any]

    def observe(self, observation: Observation) -> Any:
        """The entry of B dialogs: a fresh tensor or array with B rows of `space`."""
        ...


class FeaturePart:
    """The candidate's pooled features (D,) float32."""

    key = "image"

    def __init__(self, world: Dialog) -> None:
        self.space = feature_space(world.gallery.dimensions, world.feature_bound)

    def observe(self, observation: Observation) -> Tensor:
        """(B, D) float32."""
        return observation.features


class PixelPart:
    """The candidate's picture (H, W, 3) uint8."""

    key = "image"

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


class FeedbackPart:
    """The tokens of the feedback on the candidate, (16,) int64 from 0 to V."""

    key = "feedback"

    def __init__(self, world: Dialog) -> None:
        self.space = feedback_space(len(world.simulator.vocabulary))

    def observe(self, observation: Observation) -> Tensor:
        """(B, 16) int64."""
        return observation.feedback


class TurnPart:
    """The turns taken so far, from 0 to T."""

    key = "turn"

    def __init__(self, world: Dialog) -> None:
        self.space = turn_space(world.turns)

    def observe(self, observation: Observation) -> Tensor:
        """(B,) int64."""
        return observation.turn


OBSERVATIONS = Parts(
    "observation",
    "observations",
    {"features": FeaturePart, "pixels": PixelPart, "feedback": FeedbackPart, "turn": TurnPart},
    required=("observe",),
)
"""Value of the keyword `observation`, or of one of its items, to the part that it means."""

ALWAYS = ("feedback", "turn")
"""Parts that are observed besides those that are asked for, unless one of these has the same key."""


def observation_parts(asked: Any, world: Dialog) -> tuple[ObservationPart, ...]:
    """The parts of an observation.

    Args:
        asked: a part by name, `module:Class`, class or object, or a tuple of those.
        world: the dialogs that are observed.

    Raises:
        ValueError: no part, an unknown one, one that lacks a key or a space, or two with the same key.
    """
    listed = asked if isinstance(asked, tuple | list) else (asked,)
    if not listed:
        raise ValueError(f"observation={told(asked)} has no parts; give one or more of {', '.join(OBSERVATIONS)}")
    parts = [_checked(OBSERVATIONS.make(part, world)) for part in listed]
    keys = [part.key for part in parts]
    if len(set(keys)) < len(keys):
        raise ValueError(f"observation={told(asked)} has two parts of one key among {', '.join(keys)}; leave one out")
    always = (OBSERVATIONS.make(name, world) for name in ALWAYS)
    return (*parts, *(part for part in always if part.key not in keys))


def _checked(part: Any) -> ObservationPart:
    key, space = getattr(part, "key", None), getattr(part, "space", None)
    if not isinstance(key, str) or not isinstance(space, spaces.Space) or isinstance(space, spaces.Dict):
        raise ValueError(
            f"{type(part).__name__!r} is no observation: its key is {told(key)} and its space {told(space)}; "
            "give it a text as key and a plain space of Gymnasium"
        )
    checked: ObservationPart = part
    return checked


def feature_space(dimensions: int, bound: float) -> spaces.Box:
    """Of pooled features (D,) in [-b, b]."""
    return spaces.Box(-bound, bound, (dimensions,), np.float32)


def feedback_space(words: int) -> spaces.Box:
    """Of tokens (16,) of V words."""
    return spaces.Box(0, words, (MAX_WORDS,), np.int64)


def turn_space(turns: int) -> spaces.Discrete:
    """Of the turns 0 to T."""
    return spaces.Discrete(turns + 1)


def default_space(dimensions: int, words: int, turns: int, bound: float = 1.0) -> spaces.Dict:
    """Of the observation of features, feedback and turn, for those who have no world at hand."""
    return spaces.Dict(
        {
            FeaturePart.key: feature_space(dimensions, bound),
            FeedbackPart.key: feedback_space(words),
            TurnPart.key: turn_space(turns),
        }
    )


def space_bytes(space: spaces.Space[Any]) -> int:
    """What a space needs for each of many dialogs: the bounds of its parts, and whether they are bounds at all."""
    if isinstance(space, Mapping):
        return sum(space_bytes(part) for part in space.values())
    return math.prod(space.shape or ()) * (2 * (space.dtype or np.dtype(np.int64)).itemsize + 2)
