"""Any agent, but never an image that the dialog has shown already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dialog_env.agents.base import AGENT_FILE, Agent, Decision, Memory, TrainingData
from dialog_env.agents.candidate_selection import first_unseen
from dialog_env.agents.settings import settings_from
from dialog_env.catalog import Catalog
from dialog_env.io import checkpoint
from dialog_env.io.atomic import locked
from dialog_env.io.checkpoint import Saved
from dialog_env.world.ranking import Ranking
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import Vocabulary

INNER = "inner"


@dataclass(frozen=True)
class UnseenSettings:
    """Settings of the agent that shows no image twice."""

    inner: str = "supervised"
    """Name of the agent that ranks, or name@configuration."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of that agent."""


class Unseen(Agent):
    """Ranks as another agent does, and shows the first image of its ranking that the dialog has not shown yet.

    The ranking itself, by which the agent is judged, is left as it is. The memory is (positions shown (B, S), memory
    of the other agent).

    Args:
        inner: the agent that ranks.
        settings: what it was made with, for the records.
    """

    name = "unseen"
    Settings = UnseenSettings

    def __init__(self, inner: Agent, settings: UnseenSettings | None = None) -> None:
        super().__init__(settings or UnseenSettings(inner=inner.name), vocabulary=inner.vocabulary)
        self.inner = inner
        self.trainable = inner.trainable  # type: ignore[misc]
        self.reads_attributes, self.knows_user = inner.reads_attributes, inner.knows_user  # type: ignore[misc]

    @classmethod
    def create(
        cls, settings: Any, *, dimensions: int | None, vocabulary: Vocabulary | None, seed: int, device: str
    ) -> Unseen:
        """A new inner agent, wrapped."""
        from dialog_env.agents import create

        name, _, configuration = settings.inner.partition("@")
        inner = create(
            name,
            dimensions=dimensions,
            vocabulary=vocabulary,
            seed=seed,
            device=device,
            configuration=configuration or "released",
            **settings.settings,
        )
        return cls(inner, settings)

    @classmethod
    def restore(cls, saved: Saved, folder: Path, device: str, network: type[Any] | None = None) -> Unseen:
        """The inner agent from its own folder, with `network` where that is given, wrapped."""
        from dialog_env.agents import load

        return cls(
            load(folder / INNER, device, network=network), settings_from(UnseenSettings, saved.facts["settings"])
        )

    def bind(self, gallery: Catalog) -> None:
        """Binds the agent that ranks."""
        self.inner.bind(gallery)

    def bind_user(self, simulator: UserSimulator) -> None:
        """Passes the user on."""
        self.inner.bind_user(simulator)

    def begin(self, batch: int) -> Memory:
        """Nothing shown, and the other agent's memory."""
        return None, self.inner.begin(batch)

    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """The ranking of the other agent."""
        shown, within = memory
        ranking, within = self.inner.rank(observation, within)
        candidate = observation.candidate[:, None]
        return ranking, (candidate if shown is None else torch.cat([shown, candidate], dim=1), within)

    @property
    def log_belief(self) -> Callable[[Memory], Tensor]:
        """That of the other agent; AttributeError where it has none."""
        inner: Any = self.inner
        believed: Callable[[Memory], Tensor] = inner.log_belief
        return lambda memory: believed(memory[1])

    def act(self, observation: Observation, memory: Memory) -> Decision:
        """Chooses the first image of the ranking not shown yet; once all have been, simply the first."""
        ranking, memory = self.rank(observation, memory)
        return Decision(ranking, first_unseen(ranking, memory[0]), memory)

    def begins_from(self, training_data: TrainingData) -> Path | None:
        """What the agent that ranks begins from."""
        return self.inner.begins_from(training_data)

    def pretrain(self, training_data: TrainingData, *, progress: bool = True) -> None:
        """Trains that."""
        self.inner.pretrain(training_data, progress=progress)

    def train(self, training_data: TrainingData, folder: Path, *, progress: bool = True) -> dict[str, Any]:
        """Trains the agent that ranks, in a folder within."""
        with locked(folder):
            summary = self.inner.train(training_data, Path(folder, INNER), progress=progress)
            self.save(folder)
        return summary

    def save(self, folder: str | Path) -> None:
        """Writes the agent that ranks, and that it is wrapped."""
        self.inner.save(Path(folder, INNER))
        checkpoint.write(Path(folder, AGENT_FILE), {}, {"agent": self.name, "settings": asdict(self.settings)})
