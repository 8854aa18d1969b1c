"""The evaluation protocol: every target of a gallery once, the same first candidates for every agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dialog_env.catalog import Catalog
from dialog_env.dialog import TURNS, Dialog, Observation, embedded, first_candidates
from dialog_env.ranking import QueryRanking, Ranking, Standing
from dialog_env.user_simulator import UserSimulator


class Decision(Protocol):
    """What a policy answers with: `ranking` of the gallery, `candidates` (B,) to show, `memory` to get back."""

    @property
    def ranking(self) -> Ranking:
        """Its order of the gallery."""

    @property
    def candidates(self) -> Tensor:
        """(B,) int64 images to show."""

    @property
    def memory(self) -> Any:
        """What it wants back at the next turn."""


class Policy(Protocol):
    """What the protocol needs of an agent."""

    def bind(self, gallery: Catalog) -> None:
        """Prepares for a gallery."""

    def begin(self, batch: int) -> Any:
        """Memory of B dialogs that have not begun."""

    def act(self, observation: Observation, memory: Any) -> Decision:
        """One turn of B dialogs."""


@dataclass(frozen=True)
class Record:
    """What happened in M dialogs of T turns over N images; every metric is computed from this alone.

    Args:
        target: (M,) int64 gallery positions.
        shown: (M, T + 1) int64, the first candidate and the image shown at each turn.
        closer: (M, T + 1) int64, images strictly before the target: first under the order by distance of pooled
            features to the first candidate, which is the same for all agents, then under the agent's ranking.
        equal: (M, T + 1) int64, images level with the target, itself included.
        images: N.
        ties: "half" or "strict" (as released: level images count as behind).
    """

    target: NDArray[np.int64]
    shown: NDArray[np.int64]
    closer: NDArray[np.int64]
    equal: NDArray[np.int64]
    images: int
    ties: str = "half"

    @property
    def turns(self) -> int:
        """T."""
        return self.shown.shape[1] - 1

    @property
    def rank(self) -> NDArray[np.float64]:
        """(M, T) 0-based rank of the target at each turn."""
        return self._rank()[:, 1:]

    @property
    def initial_rank(self) -> NDArray[np.float64]:
        """(M,) 0-based rank of the target before any feedback."""
        return self._rank()[:, 0]

    def _rank(self) -> NDArray[np.float64]:
        level = 0 if self.ties == "strict" else (self.equal - 1) / 2
        return (self.closer + level).astype(np.float64)


def run(
    policy: Policy,
    gallery: Catalog,
    simulator: UserSimulator,
    *,
    seed: int,
    turns: int = TURNS,
    batch: int = 512,
    ties: str = "half",
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Record:
    """Holds one dialog for every image of the gallery; a dialog that has found its target goes on.

    Args:
        policy: the agent; it is bound to the gallery here.
        gallery: all of whose images are targets, and can be shown.
        simulator: the user, built for this gallery.
        seed: draws the first candidates, the same for every policy.
        turns: T.
        batch: dialogs at once; the record does not depend on it.
        ties: see `Record`.
        device: where the dialogs live.
        progress: shows a progress bar.

    Raises:
        ValueError: a gallery of one image, or a user whose words the policy does not know.
    """
    images = len(gallery)
    if images < 2:
        raise ValueError("the gallery has one image only; a dialog needs at least two")
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(images)
    firsts = first_candidates(targets, images, generator)
    world = Dialog(gallery, simulator, turns=turns, device=device)
    features = embedded(gallery, device)
    check_user = getattr(policy, "check_user", None)
    if check_user is not None:
        check_user(simulator)
    policy.bind(gallery)
    shown, standings = [], []
    with torch.no_grad(), tqdm(total=images, desc="dialogs", disable=not progress) as bar:
        for start in range(0, images, batch):
            target = targets[start : start + batch].to(world.device)
            observation = world.reset(target, firsts[start : start + batch].to(world.device))
            images_shown = [observation.candidate]
            standing = [QueryRanking(observation.features, features).standing(target)]
            memory = policy.begin(len(target))
            for _ in range(turns):
                decision = policy.act(observation, memory)
                memory = decision.memory
                observation, outcome = world.step(decision.ranking, decision.candidates)
                images_shown.append(observation.candidate)
                standing.append(outcome.standing)
            shown.append(torch.stack(images_shown, dim=1).cpu())
            standings.append(_stack(standing))
            bar.update(len(target))
    return Record(
        target=targets.numpy(),
        shown=torch.cat(shown).numpy(),
        closer=torch.cat([closer for closer, _ in standings]).numpy(),
        equal=torch.cat([equal for _, equal in standings]).numpy(),
        images=images,
        ties=ties,
    )


def _stack(standings: list[Standing]) -> tuple[Tensor, Tensor]:
    closer = torch.stack([standing.closer for standing in standings], dim=1)
    equal = torch.stack([standing.equal for standing in standings], dim=1)
    return closer.cpu(), equal.cpu()
