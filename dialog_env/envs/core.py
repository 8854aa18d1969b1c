"""What the single and the vector environment share: a batch of dialogs behind actions, observations and rewards."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env import catalogs
from dialog_env.catalog import Catalog
from dialog_env.dialog import TURNS, Dialog, Observation
from dialog_env.envs.actions import ACTIONS
from dialog_env.envs.observations import OBSERVATIONS, observation_space
from dialog_env.envs.rewards import REWARDS
from dialog_env.ranking import QueryRanking, Standing
from dialog_env.user_simulator import UserSimulator, make_simulator

DEFAULT_CATALOG = "synthetic"
DEFAULT_SIMULATOR = "captioner"


@dataclass(frozen=True)
class Settings:
    """The keywords of the environment; `DialogRetrievalEnv` says what they mean."""

    catalog: str | Path | Catalog = DEFAULT_CATALOG
    split: str = "train"
    simulator: str | UserSimulator = DEFAULT_SIMULATOR
    simulator_settings: dict[str, Any] | None = None
    action: str = "candidate"
    observation: str = "features"
    reward: str = "percentile"
    turns: int = TURNS
    stop_when_found: bool = False
    reveal_target: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not isinstance(self.simulator_settings, dict | None):
            raise ValueError(f"simulator_settings={self.simulator_settings!r} is no dictionary; give keywords in one")
        for keyword, known in (("action", ACTIONS), ("observation", OBSERVATIONS), ("reward", REWARDS)):
            if getattr(self, keyword) not in known:
                raise ValueError(f"{keyword}={getattr(self, keyword)!r} is not known; choose one of {', '.join(known)}")


@dataclass(frozen=True)
class Turn:
    """The result of one step of B dialogs."""

    observation: Observation
    reward: Tensor
    over: Tensor
    rank: Tensor


class Core:
    """A world, with what actions mean, how candidates are shown, and what turns are worth.

    Args:
        settings: the keywords of the environment.

    Raises:
        ValueError: an unknown keyword value, catalogue, split or simulator, or a gallery of one image.
    """

    def __init__(self, settings: Settings) -> None:
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
        self.action = ACTIONS[settings.action](self.world)
        self.image = OBSERVATIONS[settings.observation](self.world)
        self.reward = REWARDS[settings.reward]()
        self.observation_space = observation_space(self.image, len(self.simulator.vocabulary), settings.turns)
        self.keeps_standing = self.reward.needs_last or settings.reveal_target
        self.embedded = self.world.embedded
        self.last: Standing | None = None

    @property
    def beginnings(self) -> int:
        """In how many ways a dialog can begin."""
        return self.images * (self.images - 1)

    def beginning(self, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """(2, ...) targets and first candidates, which differ, for integers (...) below `beginnings`."""
        targets, away = np.divmod(drawn, self.images - 1)
        return np.stack([targets, (targets + 1 + away) % self.images])

    def begin(self, targets: Tensor, candidates: Tensor, where: Tensor | None = None) -> Observation:
        """Begins the dialogs `where` (B,), or all."""
        observation = self.world.reset(targets, candidates, where)
        if self.keeps_standing:
            fresh = QueryRanking(observation.features, self.embedded).standing(self.world.state.target)
            self.last = fresh if where is None or self.last is None else _merge(where, fresh, self.last)
        return observation

    def advance(self, actions: Any) -> Turn:
        """One turn of every dialog.

        Raises:
            ValueError: an action of the wrong batch or shape, outside its space, or NaN; nothing has changed then.
        """
        ranking, candidates = self.action.decide(actions)
        observation, outcome = self.world.step(ranking, candidates)
        reward = self.reward.turn(outcome.standing, self.last, outcome.found)
        if self.settings.stop_when_found:
            unused = torch.where(outcome.over, self.settings.turns - observation.turn, 0)
            reward = reward + self.reward.saved(outcome.standing, unused)
        if self.keeps_standing:
            self.last = outcome.standing
        return Turn(observation, reward, outcome.over, outcome.standing.rank())

    def observe(self, observation: Observation) -> dict[str, Any]:
        """The parts of an observation, each with B rows, tensors or arrays."""
        return {
            "image": self.image.observe(observation),
            "feedback": observation.feedback,
            "turn": observation.turn,
        }

    def inform(self, observation: Observation, rank: Tensor | None) -> dict[str, NDArray[Any]]:
        """What goes into `info`, each an array (B,): the sentence as text, the image shown, and what is revealed."""
        candidate = observation.candidate.cpu().numpy()
        sentences = np.empty(len(candidate), dtype=object)
        sentences[:] = self.simulator.vocabulary.decode(observation.feedback.cpu().numpy())
        info = {"sentence": sentences, "candidate": candidate.copy(), "id": self.gallery.ids[candidate]}
        if self.settings.reveal_target and rank is not None:
            info["target"] = self.world.state.target.cpu().numpy().copy()
            info["rank"] = rank.cpu().numpy().astype(np.float64)
        return info


def _merge(where: Tensor, fresh: Standing, old: Standing) -> Standing:
    closer = torch.where(where, fresh.closer, old.closer)
    return Standing(closer, torch.where(where, fresh.equal, old.equal), fresh.images)


def open_gallery(catalog: str | Path | Catalog, split: str) -> Catalog:
    """A split of a catalogue given by name, by file or as it is; opened once for all environments of a process.

    A `Catalog` that is a split or a selection already is the gallery, whatever `split` says.
    """
    if isinstance(catalog, Catalog):
        return catalog.split(split) if catalog.split_name == "all" else catalog
    path = Path(catalog)
    return _open_gallery(str(catalog), split, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=16)
def _open_gallery(catalog: str, split: str, modified: int) -> Catalog:
    return catalogs.load(catalog).split(split)


def open_simulator(settings: Settings, gallery: Catalog) -> UserSimulator:
    """The user simulator that the settings name; one for all environments of a process that share the gallery.

    Raises:
        ValueError: an unknown name or setting, or settings for a simulator that is made already.
    """
    keywords = settings.simulator_settings or {}
    if not isinstance(settings.simulator, str):
        if keywords:
            raise ValueError(
                f"simulator_settings {', '.join(keywords)} are for a simulator given by name; "
                f"give them to {type(settings.simulator).__name__} itself"
            )
        return settings.simulator
    for key, value in keywords.items():
        try:
            hash(value)
        except TypeError as error:
            raise ValueError(f"simulator setting {key} is {value!r}; give a number, a text or a tuple") from error
    named = tuple(sorted(keywords.items(), key=str))
    return _open_simulator(settings.simulator, _Same(gallery), settings.device, named)


@lru_cache(maxsize=16)
def _open_simulator(spec: str, gallery: _Same, device: str, keywords: tuple[tuple[str, Any], ...]) -> UserSimulator:
    return make_simulator(spec, gallery.catalog, **{"device": device, **dict(keywords)})


class _Same:
    """A gallery as a key: equal where the fingerprints are."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def __hash__(self) -> int:
        return hash(self.catalog.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.catalog.fingerprint == self.catalog.fingerprint
