"""What an environment shows, part by part: the candidate, the feedback on it, the turn, as they are or as vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional

from dialog_env.envs.actions import DIRECTIONS
from dialog_env.io.keywords import checked, checked_count, told
from dialog_env.registry import Parts
from dialog_env.world.dialog import Dialog
from dialog_env.world.state import Observation
from dialog_env.world.vocabulary import MAX_WORDS

MOST_DEVIATIONS = 10.0
"""How far from the mean a coordinate is told to be; so all galleries of a catalogue have one space."""


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


class CoordinatePart:
    """Where the candidate lies along the main directions of the gallery, (K,) float32 in standard deviations, up to 10.

    Args:
        world: the dialogs.
        directions: K, how many, at most D.
    """

    key = "image"

    def __init__(self, world: Dialog, directions: int = DIRECTIONS) -> None:
        checked(CoordinatePart, directions=directions)
        kept = world.directions.first(checked_count("directions", directions))
        self.coordinates = kept.coordinates(world.features).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)  # (N, K)
        self.space = spaces.Box(-MOST_DEVIATIONS, MOST_DEVIATIONS, self.coordinates.shape[1:], np.float32)

    def observe(self, observation: Observation) -> Tensor:
        """(B, K) float32."""
        return self.coordinates[observation.candidate]


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


class WordsPart:
    """Which words the feedback on the candidate holds, (V,) float32: 1 for each of them, 0 for the others."""

    key = "feedback"

    def __init__(self, world: Dialog) -> None:
        self.words = len(world.simulator.vocabulary)
        self.space = spaces.Box(0.0, 1.0, (self.words,), np.float32)

    def observe(self, observation: Observation) -> Tensor:
        """(B, V) float32."""
        tokens = observation.feedback
        said = torch.zeros(len(tokens), self.words + 1, device=tokens.device).scatter_(1, tokens, 1.0)
        return said[:, 1:].contiguous()  # without the padding


class TurnPart:
    """The turns taken so far, from 0 to T."""

    key = "turn"

    def __init__(self, world: Dialog) -> None:
        self.space = turn_space(world.turns)

    def observe(self, observation: Observation) -> Tensor:
        """(B,) int64."""
        return observation.turn


class OneHotTurnPart:
    """The turns taken so far, (T + 1,) float32: 1 in that place, 0 elsewhere."""

    key = "turn"

    def __init__(self, world: Dialog) -> None:
        self.slots = world.turns + 1
        self.space = spaces.Box(0.0, 1.0, (self.slots,), np.float32)

    def observe(self, observation: Observation) -> Tensor:
        """(B, T + 1) float32."""
        return functional.one_hot(observation.turn, self.slots).float()


OBSERVATIONS = Parts(
    "observation",
    "observations",
    {
        "features": FeaturePart,
        "coordinates": CoordinatePart,
        "pixels": PixelPart,
        "feedback": FeedbackPart,
        "words": WordsPart,
        "turn": TurnPart,
        "one_hot_turn": OneHotTurnPart,
    },
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


def flat_space(space: spaces.Dict) -> spaces.Box:
    """One vector in the place of an observation's parts, which stand in it one after the other.

    Raises:
        ValueError: a part that is no `Box`.
    """
    for key, part in space.items():
        if not isinstance(part, spaces.Box):
            raise ValueError(
                f"flatten=True makes one vector of parts that are a Box, and {key!r} is {part}; observe it as one, or "
                "give preset='vector'"
            )
    return cast(spaces.Box, spaces.flatten_space(space))


def flat(parts: Mapping[str, Any], space: spaces.Dict, dtype: Any) -> Tensor:
    """The parts (B, …) of an observation as one vector (B, n) each, in the order of their space."""
    rows = [torch.as_tensor(parts[key]).flatten(1) for key in space]
    return torch.cat(rows, dim=1).to(getattr(torch, np.dtype(dtype).name))


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
