"""What the belief remembers of dialogs, and what those who learn from its dialogs need of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from dialog_env.agents.base import Decision
from dialog_env.agents.belief.learned_asking import AskingNetwork
from dialog_env.agents.belief.settings import BeliefSettings
from dialog_env.catalog import Catalog
from dialog_env.world.state import Observation


@dataclass(frozen=True)
class Heard:
    """What the belief remembers of B dialogs.

    Args:
        query: (B, E) the evidence of all turns, added up.
        shown: (B, S) int64 positions shown.
    """

    query: Tensor
    shown: Tensor

    def rows(self, index: Tensor) -> Heard:
        """That of the dialogs at `index` (M,), in that order, repeated where it repeats."""
        return Heard(self.query[index], self.shown[index])


class Hearing(Protocol):
    """The belief, as its dialogs are held; `dialog_env.agents.belief.agent.Belief` says what each does."""

    settings: BeliefSettings
    seed: int
    device: str

    def bind(self, gallery: Catalog) -> None:
        """Embeds the images of a gallery."""

    def embeddings(self) -> Tensor:
        """(N, E) of the images of the bound gallery."""

    def begin(self, batch: int) -> Heard:
        """Nothing heard, nothing shown."""

    def hear(self, observation: Observation, memory: Heard) -> Heard:
        """What is remembered after a turn."""

    def log_belief(self, memory: Heard) -> Tensor:
        """(B, N) log-probability that each image is the target."""

    def scored(self, memory: Heard, shown: Tensor, turn: Tensor, network: AskingNetwork) -> tuple[Tensor, Tensor]:
        """Scores (B, K) as what to show, and positions (B, K), of the likeliest images not shown."""

    def act(self, observation: Observation, memory: Heard) -> Decision:
        """What is shown next."""
