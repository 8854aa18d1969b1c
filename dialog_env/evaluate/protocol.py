"""The evaluation protocol: every target of a gallery once, the same first candidates for every agent.

Nothing that a policy is handed tells the target, but for what the user says and chooses to begin with: dialogs are held
in an order of their own, observations are tensors of their own, the gallery is a copy, and rankings are judged from
their numbers alone. This keeps honest mistakes and easy gains out. It is no wall around a program: one that draws the
order anew from a seed that it knows, or searches the memory of the process, finds the targets all the same, and its
source shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dialog_env.catalog import Catalog
from dialog_env.io.keywords import checked, checked_choice, checked_count
from dialog_env.world.dialog import TURNS, Dialog, features_on, first_candidates
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking, ScoreRanking, TargetRank, UnrankableError
from dialog_env.world.sharded import ShardedGallery, ShardedRanking, Shards
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator, facts_of

TIES = ("half", "strict")

BATCH, LEAST_BATCH = 512, 128
"""Dialogs at once, and the fewest that are taken where so many are too many for their costs to be kept."""


class PolicyAnswer(Protocol):
    """What a policy answers with: `ranking` of the gallery, `candidates` (B,) to show, `memory` to get back."""

    @property
    def ranking(self) -> Ranking:
        """Its order of the gallery: a `ScoreRanking` or a `QueryRanking`."""

    @property
    def candidates(self) -> Tensor:
        """(B,) int64 images to show."""

    @property
    def memory(self) -> Any:
        """What it wants back at the next turn."""


class Policy(Protocol):
    """What the protocol needs of an agent.

    Attributes:
        name: may be left out; what messages call it.
        reads_attributes: may be left out; True asks for the attributes of the gallery, and tables say so.
        knows_user: may be left out; True asks for the user in person, by `bind_user(simulator)`, and tables say so.
        remark: may be left out; what else tables shall say of it.

    A method `check_user(facts)`, if there is one, is given the user's id and vocabulary, and may refuse them.
    """

    def bind(self, gallery: Catalog) -> None:
        """Prepares for a gallery."""

    def begin(self, batch: int) -> Any:
        """Memory of B dialogs that have not begun."""

    def act(self, observation: Observation, memory: Any) -> PolicyAnswer:
        """One turn of B dialogs."""


@dataclass(frozen=True)
class Record:
    """What happened in M dialogs of T turns over N images; every metric is computed from this alone.

    Args:
        target: (M,) int64 gallery positions, in the order in which the dialogs were held.
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
    batch: int | None = None,
    ties: str = "half",
    targets: int | None = None,
    pairs: tuple[Tensor, Tensor] | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    shards: Shards | None = None,
) -> Record:
    """Holds one dialog for every image of the gallery; a dialog that has found its target goes on.

    Args:
        policy: the agent; it is bound to the gallery here.
        gallery: all of whose images are targets, and can be shown.
        simulator: the user, built for this gallery.
        seed: draws a first candidate for every target, of which the user may make another, then the order of the
            dialogs; the same for every policy.
        turns: T.
        batch: dialogs at once; the record does not depend on it. As many as are quick for the gallery where None.
        ties: see `Record`.
        targets: M, a sample of so many images as targets, the first in that order; all where None. Use at least 2,000
            in a gallery that is larger than that.
        pairs: targets (M,) and first candidates (M,) int64 to hold dialogs on, in place of those that the seed draws.
        device: where the dialogs live.
        progress: shows a progress bar.
        shards: how the gallery is divided among processes, each of which holds the same dialogs and gives the same
            record; the policy is told of the part of this process alone, and ranks with the others as
            `dialog_env.agents.sharded.Sharded` does.

    Raises:
        ConnectionError: a process that holds another part has gone.
        ValueError: an argument that cannot be used, a gallery of one image, a user whose words the policy does not
            know, or a decision of the policy that cannot be judged: rankings of types of its own, costs that are not
            finite, images that are not in the gallery.
    """
    given = checked(
        run, seed=seed, turns=turns, batch=batch, ties=ties, targets=targets, device=device, progress=progress
    )
    images = len(gallery)
    if images < 2:
        raise ValueError("the gallery has one image only; a dialog needs at least two")
    dialogs = images if targets is None else checked_count("targets", given["targets"], most=images)
    batch = None if batch is None else checked_count("batch", given["batch"])
    checked_choice("ties", ties, TIES)
    generator = torch.Generator().manual_seed(checked_count("seed", given["seed"], least=0, most=2**63 - 1))
    world = Dialog(gallery, simulator, turns=turns, device=device)
    if pairs is None:
        everything = torch.arange(images)
        firsts = world.first_candidates(everything, first_candidates(everything, images, generator))
        order = torch.randperm(images, generator=generator)[:dialogs]
        pairs = order, firsts[order]
    order, firsts = (part.cpu() for part in pairs)
    own = gallery if shards is None else gallery.part(shards.start, shards.stop)
    known, judged = _Judged(shards), _Judged(shards)
    features = features_on(own, world.device)
    share = images if shards is None else -(-images // shards.count)  # the same in all processes
    batch = batch or quick_batch(share, known.gallery(features).kept)
    introduce(policy, own, simulator)
    shown, target_ranks = [], []
    with torch.no_grad(), tqdm(total=len(order), desc="dialogs", disable=not progress) as bar:
        for target, first in zip(order.split(batch), firsts.split(batch), strict=True):
            observation = world.reset(target.to(world.device), first.to(world.device))
            images_shown = [world.state.candidate]
            target_rank = [known.ranking(observation.features, features).target_rank(world.state.target)]
            memory = policy.begin(len(target))
            for turn in range(1, world.turns + 1):
                with _named(policy, turn, UnrankableError):
                    decision = policy.act(observation, memory)
                memory = decision.memory
                with _named(policy, turn, ValueError):
                    ranking, candidates = _plain_ranking(decision.ranking, judged), decision.candidates
                    _require_plain(candidates)
                    world.check(world.state, ranking, candidates)
                observation, outcome = world.step(ranking, candidates)
                images_shown.append(world.state.candidate)
                target_rank.append(outcome.target_rank)
            shown.append(torch.stack(images_shown, dim=1).cpu())
            target_ranks.append(_stack(target_rank))
            bar.update(len(target))
    return Record(
        target=order.numpy(),
        shown=torch.cat(shown).numpy(),
        closer=torch.cat([closer for closer, _ in target_ranks]).numpy(),
        equal=torch.cat([equal for _, equal in target_ranks]).numpy(),
        images=images,
        ties=ties,
    )


def quick_batch(images: int, kept: int) -> int:
    """Dialogs at once: so many that their costs are kept between two questions about them, if these are not too few.

    Args:
        images: N.
        kept: so many costs are.
    """
    fitting = kept // images // 64 * 64
    return min(BATCH, fitting) if fitting >= LEAST_BATCH else BATCH


def introduce(policy: Policy, gallery: Catalog, simulator: UserSimulator) -> None:
    """Tells a policy of the gallery and the user what it may know of them, which is more where it declares so.

    Raises:
        ValueError: a user whose words the policy does not know, or a policy that declares to know the user and does not
            take it.
    """
    check_user = getattr(policy, "check_user", None)
    if check_user is not None:
        check_user(facts_of(simulator))
    policy.bind(gallery.apart(attributes=_declares(policy, "reads_attributes")))
    if _declares(policy, "knows_user"):
        bind_user = getattr(policy, "bind_user", None)
        if bind_user is None:
            raise ValueError(f"agent {_name(policy)} declares knows_user and has no bind_user(simulator); give it one")
        bind_user(simulator)


def declared(policy: Policy) -> str:
    """What a policy knows beside pictures, features and what it is told, as a note for tables; mostly nothing.

    Its own `remark` stands at the end.
    """
    notes = {"reads_attributes": "reads attributes", "knows_user": "knows the user"}
    told = [note for name, note in notes.items() if _declares(policy, name)]
    return ", ".join([*told, *filter(None, [getattr(policy, "remark", "")])])


def _declares(policy: Policy, name: str) -> bool:
    return bool(getattr(policy, name, False))


def _name(policy: Policy) -> str:
    return str(getattr(policy, "name", type(policy).__name__))


@contextmanager
def _named(policy: Policy, turn: int, kind: type[ValueError]) -> Iterator[None]:
    """Says of errors of a kind whose they are, and at which turn."""
    try:
        yield
    except kind as error:
        raise ValueError(f"agent {_name(policy)}, turn {turn}: {error}") from error


class _Judged:
    """The gallery that rankings are judged in, made anew whenever their embeddings are others or were written to.

    Args:
        shards: how it is divided among processes, where it is.
    """

    def __init__(self, shards: Shards | None = None) -> None:
        self.shards = shards
        self._facts: Any = None
        self._gallery: EmbeddedGallery | ShardedGallery | None = None

    def ranking(self, queries: Tensor, embeddings: Tensor) -> Ranking:
        """By queries (B, D), of plain embeddings (N, D), or (n, D) of this process."""
        gallery = self.gallery(embeddings)
        if isinstance(gallery, ShardedGallery):
            return ShardedRanking(queries, gallery)
        return QueryRanking(queries, gallery)

    def gallery(self, embeddings: Tensor) -> EmbeddedGallery | ShardedGallery:
        """Of such embeddings."""
        if embeddings.is_inference():  # nobody counts what is written into those
            return self._anew(embeddings)
        facts = (embeddings.data_ptr(), embeddings.shape, embeddings.stride(), embeddings.dtype, embeddings._version)
        if self._gallery is None or facts != self._facts:
            self._facts, self._gallery = facts, self._anew(embeddings)
        return self._gallery

    def _anew(self, embeddings: Tensor) -> EmbeddedGallery | ShardedGallery:
        return EmbeddedGallery(embeddings) if self.shards is None else ShardedGallery(embeddings, self.shards)


def _plain_ranking(ranking: Any, judged: _Judged) -> Ranking:
    """The ranking made anew from its numbers, so that no method and nothing kept by the policy has a say in judging it.

    Raises:
        ValueError: a ranking of another type, or of tensors of another type.
        UnrankableError: numbers that are not finite.
    """
    if judged.shards is not None and type(ranking) is not ShardedRanking:
        raise ValueError(
            f"a ranking of type {type(ranking).__name__} is not one of a gallery in parts; wrap the agent in "
            "dialog_env.agents.sharded.Sharded"
        )
    if type(ranking) is ScoreRanking:
        _require_plain(ranking.scores)
        return ScoreRanking(ranking.scores)
    if type(ranking) is not (QueryRanking if judged.shards is None else ShardedRanking):
        raise ValueError(
            f"a ranking of type {type(ranking).__name__} cannot be judged; give a ScoreRanking or a QueryRanking "
            "itself, not a class derived from it"
        )
    embeddings = ranking.gallery.embeddings
    _require_plain(ranking.queries, embeddings)
    return judged.ranking(ranking.queries, embeddings)


def _require_plain(*tensors: Any) -> None:
    """ValueError for tensors of a class of their own, whose methods would be told what they are compared with."""
    for tensor in tensors:
        if type(tensor) is not Tensor:
            raise ValueError(
                f"a {type(tensor).__name__} was given where scores, queries, embeddings and candidates are plain "
                "tensors; give a torch.Tensor"
            )


def _stack(target_ranks: list[TargetRank]) -> tuple[Tensor, Tensor]:
    closer = torch.stack([target_rank.closer for target_rank in target_ranks], dim=1)
    equal = torch.stack([target_rank.equal for target_rank in target_ranks], dim=1)
    return closer.cpu(), equal.cpu()
