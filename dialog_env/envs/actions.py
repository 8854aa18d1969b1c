"""What an environment's action means: an image, a query, a step from the image shown, or a score for every image."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from dialog_env.io.keywords import checked, checked_count, told
from dialog_env.registry import Parts
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import QueryRanking, Ranking, ScoreRanking
from dialog_env.world.state import Observation

DIRECTIONS = 16
"""Main directions of the gallery along which steps go and images are seen."""
REACH = 16.0
"""Standard deviations along a direction that the longest step goes."""
MOST_REACH = 1e6


class ActionType(Protocol):
    """Turns a batch of actions into rankings of the gallery and images to show; its class is called with the world.

    Attributes:
        space: of one dialog.
        needs_observation: may be left out; True asks for what an agent may know of the dialogs, an
            `dialog_env.world.state.Observation`, as a second argument of `decide`.
    """

    space: spaces.Space[Any]

    def decide(self, actions: Any) -> tuple[Ranking, Tensor | None]:
        """The rankings of B actions, and the images to show, or None for the first of each ranking.

        Raises:
            ValueError: an action of the wrong shape, outside the space, or NaN.
        """
        ...


class CandidateAction:
    """The image to show, by gallery position. The gallery is ranked by distance of pooled features to it."""

    def __init__(self, world: Dialog) -> None:
        self.images = len(world.gallery)
        self.space = spaces.Discrete(self.images)
        self.embedded = world.embedded

    def decide(self, actions: Any) -> tuple[Ranking, Tensor | None]:
        """Rankings around the chosen images, and those images."""
        chosen = check_positions(actions, self.images, "candidate", "the gallery", self.embedded.embeddings.device)
        queries = self.embedded.embeddings.index_select(0, chosen)
        return QueryRanking(queries, self.embedded, trusted=True), chosen


class QueryAction:
    """A point in the space of the pooled features; the nearest image is shown.

    An action is in units of `scale`, the world's `feature_bound`: 1 for catalogues built here, so that
    `gallery.features[i]` is the action that shows image i.
    """

    def __init__(self, world: Dialog) -> None:
        self.embedded = world.embedded
        self.scale = world.feature_bound
        self.space = spaces.Box(-1.0, 1.0, (world.gallery.dimensions,), np.float32)

    def decide(self, actions: Any) -> tuple[Ranking, Tensor | None]:
        """Rankings by distance to the queries."""
        queries = check_box(actions, self.space, "query", self.embedded.embeddings.device)
        return QueryRanking(queries * self.scale, self.embedded, trusted=True), None


class DirectionAction:
    """A step from the image shown along the main directions of the gallery; the image nearest to its end is shown.

    An action of 0 asks for more like this one. The steps that a Gaussian policy of deviation 1 draws are of the right
    size as they are.

    Args:
        world: the dialogs.
        directions: K, how many, at most D.
        reach: standard deviations of the gallery that a step of 1 goes; see `dialog_env.world.directions`.
    """

    needs_observation = True

    def __init__(self, world: Dialog, directions: int = DIRECTIONS, reach: float = REACH) -> None:
        checked(DirectionAction, directions=directions, reach=reach)
        if not 0 < reach <= MOST_REACH:
            raise ValueError(f"reach is {told(reach)}; give a number above 0, at most {MOST_REACH:g}")
        self.directions = world.directions.first(checked_count("directions", directions))
        self.embedded, self.bound, self.reach = world.embedded, world.feature_bound, reach
        self.space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (len(self.directions.spread),), np.float32)

    def decide(self, actions: Any, observation: Observation) -> tuple[Ranking, Tensor | None]:
        """Rankings by distance to where the steps lead."""
        steps = check_box(actions, cast(spaces.Box, self.space), "direction", self.embedded.embeddings.device)
        return self._led(observation, steps), None

    def _led(self, observation: Observation, steps: Tensor) -> Ranking:
        check_batch(steps, observation)
        queries = self.directions.query(observation.features, steps, self.reach, self.bound)
        return QueryRanking(queries, self.embedded, trusted=True)


class MoveAction(DirectionAction):
    """One of 2 K steps from the image shown: action 2 k goes back along main direction k, 2 k + 1 forth.

    Args:
        world: the dialogs.
        directions: K, as for `DirectionAction`.
        reach: standard deviations of the gallery that it goes.
    """

    def __init__(self, world: Dialog, directions: int = DIRECTIONS, reach: float = REACH) -> None:
        super().__init__(world, directions, reach)
        kept = len(self.directions.spread)
        self.steps = torch.eye(kept, device=world.device).repeat_interleave(2, dim=0)  # (2 K, K)
        self.steps[::2] *= -1
        self.space = spaces.Discrete(2 * kept)

    def decide(self, actions: Any, observation: Observation) -> tuple[Ranking, Tensor | None]:
        """Rankings by distance to where the moves lead."""
        moves = check_positions(actions, len(self.steps), "move", "the moves", self.steps.device)
        return self._led(observation, self.steps[moves]), None


class ScoreAction:
    """A score for every image of the gallery, higher first; the image with the highest score is shown."""

    def __init__(self, world: Dialog) -> None:
        self.device = world.device
        self.space = spaces.Box(-1.0, 1.0, (len(world.gallery),), np.float32)

    def decide(self, actions: Any) -> tuple[Ranking, Tensor | None]:
        """Rankings by score."""
        return ScoreRanking(check_box(actions, self.space, "score", self.device), trusted=True), None


def numbers(actions: Any, what: str, device: torch.device) -> Tensor:
    """Actions as a tensor of real numbers on the device; ValueError where they are anything else."""
    try:
        values = actions.detach() if isinstance(actions, Tensor) else torch.as_tensor(np.asarray(actions))
        if values.is_complex() or _has_truth_values(actions) or values.layout != torch.strided:
            raise TypeError(f"{values.dtype}, {values.layout}")
        return values.to(device)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(
            f"a {what} action is made of numbers, not {told(actions)}; give one of the action space"
        ) from error


def _has_truth_values(actions: Any) -> bool:
    """Whether there are any, which would count as 0 and 1 among numbers."""
    if isinstance(actions, list | tuple):
        return any(map(_has_truth_values, actions))
    return isinstance(actions, bool) or getattr(actions, "dtype", None) in (np.bool_, torch.bool)


def check_positions(actions: Any, count: int, what: str, among: str, device: torch.device) -> Tensor:
    """Actions (B,) as int64 on the device; ValueError where they are no whole numbers from 0 to `count` - 1."""
    chosen = numbers(actions, what, device)
    if chosen.ndim != 1 or chosen.is_floating_point():
        raise ValueError(
            f"a {what} action is one integer for each dialog, not an array of shape {tuple(chosen.shape[1:])} "
            f"and type {chosen.dtype}; give a position from 0 to {count - 1}"
        )
    chosen = chosen.to(torch.int64)
    if not bool(((chosen >= 0) & (chosen < count)).all()):
        wrong = int(chosen[(chosen < 0) | (chosen >= count)][0])
        raise ValueError(f"{what} {wrong} is not in {among}; give a position from 0 to {count - 1}")
    return chosen


def check_batch(values: Tensor, observation: Observation) -> None:
    """ValueError where there is not one action for each dialog."""
    if len(values) != len(observation):
        raise ValueError(f"{len(values)} actions were given for {len(observation)} dialogs; give one for each")


def check_box(actions: Any, space: spaces.Box, what: str, device: torch.device) -> Tensor:
    """Actions (B, n) as float32 on the device; ValueError where the shape is wrong or a value is outside [-1, 1]."""
    values = numbers(actions, what, device)
    if tuple(values.shape[1:]) != space.shape:
        raise ValueError(
            f"each {what} action has shape {space.shape}, and {tuple(values.shape[1:])} was given; give one of the "
            "action space"
        )
    values = values.to(torch.float32)
    if not bool((values.abs() <= 1).all()):
        wrong = values[~(values.abs() <= 1)][0].item()
        raise ValueError(f"a {what} action contains {wrong}; give finite numbers from -1 to 1 (scale or clip them)")
    return values


ACTIONS = Parts(
    "action",
    "actions",
    {
        "candidate": CandidateAction,
        "query": QueryAction,
        "direction": DirectionAction,
        "move": MoveAction,
        "score": ScoreAction,
    },
    required=("decide",),
)
"""Value of the keyword `action` to its meaning."""


def action_type(asked: Any, world: Dialog) -> ActionType:
    """What actions mean: by name, `module:Class`, class or object; ValueError for what is none or has no space."""
    action: ActionType = ACTIONS.make(asked, world)
    if not isinstance(getattr(action, "space", None), spaces.Space):
        raise ValueError(f"{type(action).__name__!r} is no action: it has no space of Gymnasium; give it one")
    return action
