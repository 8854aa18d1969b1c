"""The agent that people talk to, introduced to its gallery; what was said is kept by the dialogs, not here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.agents.base import Agent, Memory
from dialog_env.catalog import Catalog
from dialog_env.evaluate.protocol import introduce
from dialog_env.sessions.certainty import Certainty, certainties
from dialog_env.sessions.rows import apart, in_rows, joined
from dialog_env.world.dialog import features_on
from dialog_env.world.hearing import hearing as hearing_of
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator, checked_user
from dialog_env.world.vocabulary import Vocabulary

Part = TypeVar("Part")

MOST_AT_ONCE = 512
"""Dialogs that an agent hears in one batch."""


@dataclass(frozen=True)
class Moment:
    """All that a dialog is, to the agent, before the next sentence; nothing in it changes.

    Args:
        candidate: gallery position of the image that is shown.
        turn: sentences that were heard so far.
        memory: of the agent, in one row.
    """

    candidate: int
    turn: int
    memory: Memory


@dataclass(frozen=True)
class Reply:
    """What the agent makes of a sentence.

    Args:
        moment: that follows it.
        best: gallery positions of the first images of its ranking.
        certainty: how sure it is.
        standing: how many images stand before the target, and how many level with it, itself included; None where there
            is no target.
    """

    moment: Moment
    best: tuple[int, ...]
    certainty: Certainty
    standing: tuple[int, int] | None

    @property
    def rank(self) -> float | None:
        """0-based rank of the target, level images counting half; None where there is no target."""
        return None if self.standing is None else self.standing[0] + (self.standing[1] - 1) / 2


class Partner:
    """An agent and its gallery, ready to hear people: any number of dialogs at once.

    Args:
        agent: any; it is bound to the gallery here.
        gallery: the images that it can show.
        user: the simulator that the agent was trained with, for an agent that has no words of its own or knows its user
            (`Agent.knows_user`), which then takes the person for somebody who speaks as that simulator does, only not
            always alike.
        vocabulary: the words, where the agent has none and no user is given.
        hearing: how words are heard that the agent does not know: `mended`, `exact`, which passes them all over, or the
            folder of a sentence encoder (`dialog_env.world.hearing`).
        best: images of the ranking that a reply names.

    Attributes:
        positions: id to gallery position.

    Raises:
        ValueError: an agent that does not fit the gallery or the user, that knows its user and was given none, or no
            words anywhere.
    """

    def __init__(
        self,
        agent: Agent,
        gallery: Catalog,
        *,
        user: UserSimulator | None = None,
        vocabulary: Vocabulary | None = None,
        hearing: str = "mended",
        best: int = 5,
    ) -> None:
        self.agent, self.gallery = agent, gallery
        if user is not None:
            introduce(agent, gallery, PersonLike(checked_user(user)))
        elif getattr(agent, "knows_user", False):
            raise ValueError(f"agent {agent.name} hears a person as it would its user; give that user, user=")
        else:
            agent.bind(gallery.apart(attributes=agent.reads_attributes))
        words = getattr(agent, "vocabulary", None) or (user.vocabulary if user is not None else vocabulary)
        if words is None:
            raise ValueError(f"agent {agent.name} has no vocabulary; give vocabulary= or the user it was trained with")
        self.vocabulary: Vocabulary = words
        self.hearing = hearing_of(hearing, words)
        self.positions = {str(name): position for position, name in enumerate(gallery.ids)}
        self.best = min(best, len(gallery))
        self.device = torch.device(agent.device)
        self._features = features_on(gallery, self.device)
        self._joins = in_rows(agent.begin(2), 2)

    def begin(self, candidate: int) -> Moment:
        """A dialog in which an image is shown and nothing was said yet."""
        return Moment(candidate, 0, self.agent.begin(1))

    def hear(self, moments: Sequence[Moment], tokens: Sequence[NDArray[Any]], targets: Sequence[int]) -> list[Reply]:
        """What the agent makes of B sentences, each in its dialog; those that took as many turns are one batch.

        Neither the batch nor its order changes a reply.

        Args:
            moments: of the dialogs.
            tokens: B rows of 16, the words understood.
            targets: gallery position of the image in mind, -1 where it is not known; the agent is told nothing of it.

        Raises:
            ValueError: costs of the agent that are not finite, or a memory that is not in rows.
        """
        replies: dict[int, Reply] = {}
        for rows in self._batches(moments):
            heard = self._hear(_at(moments, rows), _at(tokens, rows), _at(targets, rows))
            replies.update(zip(rows, heard, strict=True))
        return [replies[row] for row in range(len(moments))]

    def _batches(self, moments: Sequence[Moment]) -> Iterator[list[int]]:
        """Rows of dialogs that can be heard together."""
        if not self._joins:
            yield from ([row] for row in range(len(moments)))
            return
        alike: dict[int, list[int]] = {}
        for row, moment in enumerate(moments):
            alike.setdefault(moment.turn, []).append(row)
        for rows in alike.values():
            yield from (rows[start : start + MOST_AT_ONCE] for start in range(0, len(rows), MOST_AT_ONCE))

    @torch.no_grad()
    def _hear(self, moments: list[Moment], tokens: list[NDArray[Any]], targets: list[int]) -> list[Reply]:
        batch, turn = len(moments), moments[0].turn
        candidate = torch.tensor([moment.candidate for moment in moments], device=self.device)
        observation = Observation(
            candidate,
            self._features[candidate],
            torch.stack([torch.from_numpy(row) for row in tokens]).to(self.device),
            torch.full_like(candidate, turn),
        )
        decision = self.agent.act(observation, joined([moment.memory for moment in moments]))
        if batch > 1 and not in_rows(decision.memory, batch):
            raise ValueError(f"the memory of agent {self.agent.name} has not one row for each of {batch} dialogs")
        target = torch.tensor(targets, device=self.device)
        stands = decision.ranking.target_rank(target.clamp(min=0))
        return [
            Reply(Moment(shown, turn + 1, memory), tuple(best), certainty, None if where < 0 else (closer, equal))
            for shown, memory, best, certainty, closer, equal, where in zip(
                decision.candidates.tolist(),
                apart(decision.memory, batch),
                decision.ranking.top(self.best).tolist(),
                certainties(self.agent, decision.ranking, decision.memory),
                stands.closer.tolist(),
                stands.equal.tolist(),
                targets,
                strict=True,
            )
        ]


def _at(parts: Sequence[Part], rows: list[int]) -> list[Part]:
    return [parts[row] for row in rows]


class PersonLike:
    """A person, to an agent that knows its user: speaks as a simulator does, but not always alike.

    Args:
        user: the simulator.

    Attributes:
        deterministic: False, so that no image is ruled out because the simulator would have chosen other words.
    """

    deterministic = False

    def __init__(self, user: UserSimulator) -> None:
        self._user = user
        self.id = f"person like {user.id}"
        self.vocabulary = user.vocabulary
        self.gallery_fingerprint = user.gallery_fingerprint
        self.device = getattr(user, "device", "cpu")
        self.uses_previous = getattr(user, "uses_previous", True)
        if hasattr(user, "log_likelihood"):
            self.log_likelihood = user.log_likelihood

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """What the simulator would say."""
        return self._user.feedback(targets, candidates, previous)
