"""What an agent is: from an observation to a ranking of the gallery, for a batch of dialogs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.dialog import Observation
from dialog_env.ranking import Ranking
from dialog_env.user_simulator import UserSimulator

Memory = Any
"""What an agent carries from turn to turn: a tensor of B rows, or None."""


@dataclass(frozen=True)
class Decision:
    """What an agent answers with.

    Args:
        ranking: its order of the gallery, judged by the protocol.
        candidates: (B,) int64, the images to show.
        memory: what it wants back at the next turn.
    """

    ranking: Ranking
    candidates: Tensor
    memory: Memory


@dataclass(frozen=True)
class Lesson:
    """What an agent trains on: galleries with their users, to learn from and to choose the best epoch by."""

    gallery: Catalog
    simulator: UserSimulator
    validation_gallery: Catalog
    validation_simulator: UserSimulator


class Agent(ABC):
    """From an observation to scores over the gallery, batched (DESIGN 3).

    Use: `bind` a gallery, `begin` a batch of dialogs, then `act` once a turn with the memory of the turn before.
    Nothing of the target reaches an agent outside `train`.
    """

    name: ClassVar[str]
    trainable: ClassVar[bool] = False

    @abstractmethod
    def bind(self, gallery: Catalog) -> None:
        """Prepares for a gallery; ValueError where the agent does not fit it."""

    @abstractmethod
    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """The order of the bound gallery for each of B dialogs, and what to remember."""

    def begin(self, batch: int) -> Memory:
        """Memory of B dialogs that have not begun."""
        return None

    def act(self, observation: Observation, memory: Memory) -> Decision:
        """Ranks the gallery and chooses the first image of it to be shown."""
        ranking, memory = self.rank(observation, memory)
        return Decision(ranking, ranking.top(1)[:, 0], memory)

    def train(self, lesson: Lesson, folder: Path, *, progress: bool = True) -> dict[str, Any]:
        """Learns, keeping checkpoints in `folder`, going on from one that lies there; gives a summary for the records."""
        return {}

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Writes what `agents.load` needs, atomically."""
