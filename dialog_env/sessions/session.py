"""A dialog of a person with an agent, and many of them at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch

from dialog_env.agents.base import Agent
from dialog_env.catalog import Catalog
from dialog_env.io.keywords import checked_seed, told
from dialog_env.io.reading import EXACT, parse_json
from dialog_env.sessions.answer import Answer, Event, Image
from dialog_env.sessions.partner import Moment, Partner, Reply
from dialog_env.sessions.words import Heard, hear
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import Vocabulary

MOST_TURNS = 1_000
"""Sentences and likes of a dialog."""


@dataclass(frozen=True)
class Step:
    """An event as JSON has it."""

    __pydantic_config__ = EXACT

    say: str | None = None
    like: str | None = None

    def __post_init__(self) -> None:
        if (self.say is None) == (self.like is None):
            raise ValueError('an event is {"say": sentence} or {"like": image}')


@dataclass(frozen=True)
class Saved:
    """A session as JSON has it."""

    __pydantic_config__ = EXACT

    agent: str
    gallery: str
    vocabulary: str
    first: str
    target: str | None
    events: tuple[Step, ...]


class Session:
    """A dialog of one person with one agent.

    The person sees `candidate` and says how the image in mind differs from it; the agent ranks its gallery and shows
    the next one. A sentence of which no word is understood changes nothing, and neither does an error.

        session = Session(agent, gallery)
        answer = session.say("has a higher heel and is red")
        answer.best, answer.heard.unknown, answer.certainty

    Args:
        agent: any agent, or a `Partner` that other sessions share.
        gallery: the images; not with a `Partner`, which has them.
        user, vocabulary: see `Partner`.
        first: the image shown first, by id or gallery position; drawn by `seed` where None, never the target.
        target: the image in mind, where it is known: answers then say where it stands. The agent is not told.
        seed: of the first image.

    Raises:
        ValueError: what a `Partner` refuses, or an image that is not in the gallery.
    """

    def __init__(
        self,
        agent: Agent | Partner,
        gallery: Catalog | None = None,
        *,
        user: UserSimulator | None = None,
        vocabulary: Vocabulary | None = None,
        first: str | int | None = None,
        target: str | int | None = None,
        seed: int = 0,
    ) -> None:
        self.partner = _partner(agent, gallery, user, vocabulary)
        self.target = None if target is None else self.image(target)
        if first is None:
            self._first = self._drawn(torch.Generator().manual_seed(checked_seed(seed)))
        else:
            self._first = self.image(first)
        self._begun = self.partner.begin(self._first.position)
        self._events: list[Event] = []

    def __repr__(self) -> str:
        return f"Session({self.partner.agent.name!r}, {self.partner.gallery!r}, turns={self.turns})"

    @property
    def events(self) -> tuple[Event, ...]:
        """What was said and liked so far, one after the other."""
        return tuple(self._events)

    @property
    def turns(self) -> int:
        """Sentences heard so far."""
        return self.moment.turn

    @property
    def moment(self) -> Moment:
        """Where the dialog is, to the agent."""
        return self._events[-1].moment if self._events else self._begun

    @property
    def candidate(self) -> Image:
        """The image that is shown, of which the next sentence speaks."""
        return self.image(self.moment.candidate)

    @property
    def shown(self) -> tuple[Image, ...]:
        """The images shown one after the other, the candidate last; images liked are among them."""
        return (self._first, *(self.image(event.moment.candidate) for event in self._events))

    @property
    def answer(self) -> Answer | None:
        """The latest answer, None before the first."""
        return next((event.answer for event in reversed(self._events) if event.answer is not None), None)

    @property
    def found(self) -> bool:
        """Whether the target is the candidate."""
        return self.target is not None and self.target == self.candidate

    def image(self, which: str | int) -> Image:
        """The image of an id or a gallery position; ValueError for one that is not in the gallery."""
        gallery = self.partner.gallery
        if isinstance(which, str):
            position = self.partner.positions.get(which)
        else:
            position = which if type(which) is int and 0 <= which < len(gallery) else None
        if position is None:
            raise ValueError(f"no image {told(which)} in this gallery of {len(gallery)}; give an id that was shown")
        return Image(position, str(gallery.ids[position]))

    def say(self, sentence: str) -> Answer:
        """Tells the agent how the image in mind differs from the candidate.

        Raises:
            ValueError: no text, one of more than 1,000 characters, or an agent that gives no order; nothing changed.
        """
        return say_together([self], [sentence])[0]

    def like(self, which: str | int) -> Image:
        """Shows another image instead of the candidate: one that is closer to what the person has in mind.

        It is no feedback: the agent hears of the image with the next sentence, which speaks of it.

        Args:
            which: id or gallery position.

        Raises:
            ValueError: an image that is not in the gallery.
        """
        image, before = self.image(which), self.moment
        self._require_room()
        self._events.append(Event(Moment(image.position, before.turn, before.memory)))
        return image

    def undo(self) -> Image:
        """Takes back what was said or liked last; ValueError where nothing was. Gives the candidate."""
        if not self._events:
            raise ValueError("nothing was said yet, so nothing can be taken back; say how the image differs")
        self._events.pop()
        return self.candidate

    def forget(self, event: int | None = None) -> Image:
        """Takes back one sentence or like, or all. Gives the candidate.

        What came after it is said again, each sentence of the image of which it was said.

        Args:
            event: its number, the first being 0; all where None.

        Raises:
            ValueError: there is no such event.
        """
        if event is not None and not 0 <= event < len(self._events):
            raise ValueError(f"there is no event {told(event)}; {len(self._events)} are numbered from 0")
        kept = [] if event is None else self._events[:event]
        after = [] if event is None else self._events[event + 1 :]
        spoken_of = [] if event is None else [each.position for each in self.shown][event + 1 :]
        before, self._events = self._events, kept
        try:
            for later, candidate in zip(after, spoken_of, strict=False):
                if later.answer is None:
                    self.like(later.moment.candidate)
                    continue
                if candidate != self.candidate.position:
                    self.like(candidate)
                self.say(later.answer.heard.sentence)
        except BaseException:
            self._events = before
            raise
        return self.candidate

    def as_dict(self) -> dict[str, Any]:
        """All that there is to show, for JSON; `Session.from_json` makes the session of its key "session" again."""
        return {
            "session": self._saved(),
            "turns": self.turns,
            "candidate": self.candidate.id,
            "shown": [image.id for image in self.shown],
            "answer": None if self.answer is None else self.answer.as_dict(),
            "found": self.found,
        }

    def to_json(self) -> str:
        """The session itself, without what can be computed."""
        return json.dumps(self._saved(), ensure_ascii=False)

    def _saved(self) -> dict[str, Any]:
        return {
            **_identity(self.partner),
            "first": self._first.id,
            "target": None if self.target is None else self.target.id,
            "events": [
                {"say": event.answer.heard.sentence}
                if event.answer
                else {"like": self.image(event.moment.candidate).id}
                for event in self._events
            ],
        }

    @classmethod
    def from_json(
        cls,
        text: str | bytes,
        agent: Agent | Partner,
        gallery: Catalog | None = None,
        *,
        user: UserSimulator | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> Session:
        """The session that `to_json` told of; all is said again, to the same answers.

        Raises:
            ValueError: a text that is no session, or one of another agent, gallery or vocabulary.
        """
        remedy = "give what Session.to_json wrote"
        saved = parse_json(text, Saved, "the text", "session", remedy)
        partner = _partner(agent, gallery, user, vocabulary)
        for key, own in _identity(partner).items():
            if getattr(saved, key) != own:
                raise ValueError(f"the session is of {key} {getattr(saved, key)!r} and not of {own!r}; give that one")
        session = cls(partner, first=saved.first, target=saved.target)
        for step in saved.events:
            if step.say is not None:
                session.say(step.say)
            elif step.like is not None:
                session.like(step.like)
        return session

    def _drawn(self, generator: torch.Generator) -> Image:
        """A uniform image that is not the target."""
        images = len(self.partner.gallery)
        if self.target is None or images == 1:
            return self.image(int(torch.randint(images, (), generator=generator)))
        away = int(torch.randint(1, images, (), generator=generator))
        return self.image((self.target.position + away) % images)

    def _require_room(self) -> None:
        if len(self._events) >= MOST_TURNS:
            raise ValueError(f"the dialog has {MOST_TURNS:,} turns, which is as many as are kept; begin another")

    def _take(self, heard: Heard, reply: Reply) -> Answer:
        answer = Answer(
            heard,
            self.image(reply.moment.candidate),
            tuple(self.image(position) for position in reply.best),
            reply.certainty,
            reply.rank,
        )
        self._events.append(Event(reply.moment, answer))
        return answer

    def _unchanged(self, heard: Heard) -> Answer:
        last = self.answer
        if last is None:
            return Answer(heard, self.candidate)
        return Answer(heard, self.candidate, last.best, last.certainty, last.rank)


class Sessions(Sequence[Session]):
    """Dialogs of many people with one agent, which hears all who speak at a time as one batch.

    Args:
        agent, gallery, user, vocabulary: as for `Session`.
        count: how many.
        seed: draws the first images.
    """

    def __init__(
        self,
        agent: Agent | Partner,
        gallery: Catalog | None = None,
        *,
        count: int,
        user: UserSimulator | None = None,
        vocabulary: Vocabulary | None = None,
        seed: int = 0,
    ) -> None:
        partner = _partner(agent, gallery, user, vocabulary)
        generator = torch.Generator().manual_seed(checked_seed(seed))
        firsts = torch.randint(len(partner.gallery), (count,), generator=generator).tolist()
        self._sessions = [Session(partner, first=first) for first in firsts]

    def __len__(self) -> int:
        return len(self._sessions)

    @overload
    def __getitem__(self, index: int) -> Session: ...

    @overload
    def __getitem__(self, index: slice) -> list[Session]: ...

    def __getitem__(self, index: int | slice) -> Session | list[Session]:
        return self._sessions[index]

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions)

    def say(self, sentences: Sequence[str | None]) -> list[Answer | None]:
        """The answers to the sentences of all, None for those who say nothing.

        Raises:
            ValueError: as for `Session.say`, or another number of sentences; then nobody was heard.
        """
        if len(sentences) != len(self):
            raise ValueError(f"{len(sentences)} sentences were given for {len(self)} sessions; give one or None each")
        speaking = [(each, said) for each, said in zip(self, sentences, strict=True) if said is not None]
        answers = iter(say_together([each for each, _ in speaking], [said for _, said in speaking]))
        return [None if said is None else next(answers) for said in sentences]


def say_together(sessions: Sequence[Session], sentences: Sequence[str]) -> list[Answer]:
    """The answers to one sentence in each of several different sessions with one `Partner`, heard as one batch.

    Raises:
        ValueError: as for `Session.say`; then nobody was heard.
    """
    if not sessions:
        return []
    partner = sessions[0].partner
    if len(set(map(id, sessions))) < len(sessions) or any(each.partner is not partner for each in sessions):
        raise ValueError("these sessions are not different ones with one partner; say it to each by itself")
    heard = [hear(sentence, partner.hearing) for sentence in sentences]
    spoken = [row for row, each in enumerate(heard) if each.understood]
    for row in spoken:
        sessions[row]._require_room()
    replies = partner.hear(
        [sessions[row].moment for row in spoken],
        [heard[row].tokens(partner.vocabulary) for row in spoken],
        [-1 if (target := sessions[row].target) is None else target.position for row in spoken],
    )
    by_row = dict(zip(spoken, replies, strict=True))
    return [
        session._take(each, by_row[row]) if row in by_row else session._unchanged(each)
        for row, (session, each) in enumerate(zip(sessions, heard, strict=True))
    ]


def _partner(
    agent: Agent | Partner, gallery: Catalog | None, user: UserSimulator | None, vocabulary: Vocabulary | None
) -> Partner:
    if not isinstance(agent, Partner):
        if gallery is None:
            raise ValueError(f"agent {agent.name} has no gallery to show from; give gallery=")
        return Partner(agent, gallery, user=user, vocabulary=vocabulary)
    if any(given is not None for given in (gallery, user, vocabulary)):
        raise ValueError("a partner has its gallery, user and vocabulary already; leave them out")
    return agent


def _identity(partner: Partner) -> dict[str, str]:
    """What a session has to find again."""
    return {
        "agent": partner.agent.name,
        "gallery": partner.gallery.fingerprint,
        "vocabulary": partner.vocabulary.fingerprint,
    }
