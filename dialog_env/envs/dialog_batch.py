"""What the single and the vector environment share: a batch of dialogs behind actions, observations and rewards."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog, load_catalog
from dialog_env.envs.actions import action_type
from dialog_env.envs.observations import flat, flat_space, observation_parts
from dialog_env.envs.presets import PRESETS
from dialog_env.envs.rewards import reward_of
from dialog_env.io.keywords import checked, checked_choice, told
from dialog_env.simulators import make_simulator
from dialog_env.world.dialog import TURNS, Dialog
from dialog_env.world.ranking import QueryRanking, TargetRank
from dialog_env.world.state import DialogState, Situation
from dialog_env.world.user import UserSimulator, checked_user

DEFAULT_CATALOG = "synthetic"
DEFAULT_SIMULATOR = "captioner"
DEFAULT_PRESET = "dialog"


@dataclass(frozen=True)
class EnvironmentSettings:
    """The keywords of the environment; `DialogRetrievalEnv` says what they mean."""

    catalog: str | Path | Catalog = DEFAULT_CATALOG
    split: str = "train"
    simulator: Any = DEFAULT_SIMULATOR
    simulator_settings: dict[str, Any] | None = None
    preset: str = DEFAULT_PRESET
    action: Any = None
    observation: Any = None
    reward: Any = "percentile"
    flatten: bool = False
    turns: int = TURNS
    stop_when_found: bool = False
    reveal_target: bool = False
    device: str | torch.device = "cpu"

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in checked(EnvironmentSettings, **given).items():
            object.__setattr__(self, name, value)
        preset = PRESETS[checked_choice("preset", self.preset, PRESETS)]
        for name in ("action", "observation"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(preset, name))


@dataclass(frozen=True)
class StepResult:
    """The result of one step of B dialogs."""

    situation: Situation
    reward: Tensor
    over: Tensor
    rank: Tensor


class DialogBatch:
    """A world, with what actions mean, how candidates are shown, and what turns are worth.

    It keeps nothing of the dialogs: each step and reset is given a situation, and gives the next.

    Args:
        settings: the keywords of the environment.

    Raises:
        ValueError: an unknown keyword value, catalogue, split or simulator, or a gallery of one image.
    """

    def __init__(self, settings: EnvironmentSettings) -> None:
        self.settings = settings
        self.gallery = open_gallery(settings.catalog, settings.split)
        self.images = len(self.gallery)
        if self.images < 2:
            raise ValueError("the gallery has one image only; a dialog needs at least two")
        self.simulator = open_simulator(settings, self.gallery)
        self.world = Dialog(
            self.gallery,
            self.simulator,
            turns=settings.turns,
            stop_when_found=settings.stop_when_found,
            device=settings.device,
        )
        self.action: Any = action_type(settings.action, self.world)
        self.parts = observation_parts(settings.observation, self.world)
        self.reward = reward_of(settings.reward, stop_when_found=settings.stop_when_found)
        self.parts_space = spaces.Dict({part.key: part.space for part in self.parts})
        self.observation_space = flat_space(self.parts_space) if settings.flatten else self.parts_space
        self.keeps_target_rank = settings.reveal_target or bool(getattr(self.reward, "needs_rank_before", False))
        self.embedded = self.world.embedded

    @property
    def num_starts(self) -> int:
        """In how many ways a dialog can begin."""
        return self.images * (self.images - 1)

    def starting_pair(self, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """(2, ...) targets and first candidates, which differ, for integers (...) below `num_starts`."""
        targets, away = np.divmod(drawn, self.images - 1)
        return np.stack([targets, (targets + 1 + away) % self.images])

    def begin(
        self, targets: Tensor, candidates: Tensor, where: Tensor | None = None, before: Situation | None = None
    ) -> Situation:
        """The dialogs `where` (B,) begun, the others as in the situation before; or all of them begun."""
        state = self.world.begun(targets, candidates, where, None if before is None else before.state)
        if not self.keeps_target_rank:
            return Situation(state, None)
        features = self.world.features.index_select(0, state.candidate)
        target_rank = QueryRanking(features, self.embedded, trusted=True).target_rank(state.target)
        if where is not None and before is not None and before.target_rank is not None:
            target_rank = _merge(where, target_rank, before.target_rank)
        return Situation(state, target_rank)

    def advance(self, before: Situation, actions: Any) -> StepResult:
        """One turn of every dialog.

        Raises:
            ValueError: an action of the wrong batch or shape, outside its space, or NaN.
        """
        known = (self.world.observed(before.state),) if getattr(self.action, "needs_observation", False) else ()
        ranking, candidates = self.action.decide(actions, *known)
        state, outcome = self.world.after(before.state, ranking, candidates)
        situation = Situation(state, outcome.target_rank if self.keeps_target_rank else None)
        reward = self.reward(before, outcome, Situation(state, outcome.target_rank))
        if self.settings.stop_when_found:
            unused = torch.where(outcome.over, self.settings.turns - state.turn, 0)
            reward = reward + self.reward.early_bonus(outcome, unused)
        if not isinstance(reward, Tensor) or reward.shape != outcome.over.shape:
            raise ValueError(
                f"reward {self.settings.reward!r} gave {told(reward)}; give a tensor with one number for each of "
                f"{len(outcome.over)} dialogs"
            )
        return StepResult(situation, reward, outcome.over, outcome.target_rank.rank())

    def observe(self, state: DialogState) -> Any:
        """The parts of an observation, each with B rows, fresh tensors or arrays; or one tensor (B, n) of them."""
        observation = self.world.observed(state)
        parts = {part.key: part.observe(observation) for part in self.parts}
        return flat(parts, self.parts_space, self.observation_space.dtype) if self.settings.flatten else parts

    def inform(self, state: DialogState, rank: Tensor | None) -> dict[str, NDArray[Any]]:
        """What goes into `info`, each an array (B,): the sentence as text, the image shown, and what is revealed."""
        candidate = state.candidate.cpu().numpy()
        sentences = np.empty(len(candidate), dtype=object)
        sentences[:] = self.simulator.vocabulary.decode(state.feedback.cpu().numpy())
        info = {"sentence": sentences, "candidate": candidate.copy(), "id": self.gallery.ids[candidate]}
        if self.settings.reveal_target and rank is not None:
            info["target"] = state.target.cpu().numpy().copy()
            info["rank"] = rank.cpu().numpy().astype(np.float64)
        return info


def _merge(where: Tensor, fresh: TargetRank, old: TargetRank) -> TargetRank:
    closer = torch.where(where, fresh.closer, old.closer)
    return TargetRank(closer, torch.where(where, fresh.equal, old.equal), fresh.images)


def open_gallery(catalog: str | Path | Catalog, split: str) -> Catalog:
    """A split of a catalogue given by name, by file or as it is; opened once for all environments of a process.

    A `Catalog` that is a split or a selection already is the gallery, whatever `split` says.
    """
    if isinstance(catalog, Catalog):
        return catalog.split(split) if catalog.split_name == "all" else catalog
    modified = os.stat(catalog).st_mtime_ns if os.path.isfile(catalog) else 0  # no error for what can be no path
    return _open_gallery(str(catalog), split, modified)


@lru_cache(maxsize=16)
def _open_gallery(catalog: str, split: str, modified: int) -> Catalog:
    return load_catalog(catalog).split(split)


def open_simulator(settings: EnvironmentSettings, gallery: Catalog) -> UserSimulator:
    """The user simulator that the settings name; one for all environments of a process that share the gallery.

    Raises:
        ValueError: an unknown name or setting, or settings for a simulator that is made already.
    """
    keywords = settings.simulator_settings or {}
    if not isinstance(settings.simulator, str | type):
        if keywords:
            raise ValueError(
                f"simulator_settings {', '.join(keywords)} are for a simulator given by name; "
                f"give them to {type(settings.simulator).__name__} itself"
            )
        return checked_user(settings.simulator)
    for key, value in keywords.items():
        try:
            hash(value)
        except TypeError as error:
            raise ValueError(f"simulator setting {key} is {told(value)}; give a number, a text or a tuple") from error
    named = tuple(sorted(((key, value, type(value)) for key, value in keywords.items()), key=str))
    return _open_simulator(settings.simulator, _Same(gallery), str(settings.device), named)


@lru_cache(maxsize=16)
def _open_simulator(
    spec: Any, gallery: _Same, device: str, keywords: tuple[tuple[str, Any, type], ...]
) -> UserSimulator:
    settings = {key: value for key, value, _ in keywords}
    return make_simulator(spec, gallery.catalog, **{"device": device, **settings})


class _Same:
    """A gallery as a key: equal where the fingerprints are."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def __hash__(self) -> int:
        return hash(self.catalog.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.catalog.fingerprint == self.catalog.fingerprint
