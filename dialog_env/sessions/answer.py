"""What a dialog of a person is made of: images, what came of sentences, and the steps of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dialog_env.sessions.certainty import Certainty
from dialog_env.sessions.partner import Moment
from dialog_env.sessions.words import Heard


@dataclass(frozen=True)
class Image:
    """An image of the gallery.

    Args:
        position: in the gallery.
        id: in the catalogue.
    """

    position: int
    id: str


@dataclass(frozen=True)
class Answer:
    """What came of a sentence.

    Args:
        heard: the sentence, with the words understood and those that were not.
        candidate: the image to talk about next; the one of before where no word was understood.
        best: the first images of the agent's ranking, best first; empty where nothing was ever understood.
        certainty: how sure the agent is; None where nothing was ever understood.
        rank: 0-based rank of the target, None where there is none.
    """

    heard: Heard
    candidate: Image
    best: tuple[Image, ...] = ()
    certainty: Certainty | None = None
    rank: float | None = None

    @property
    def understood(self) -> bool:
        """Whether the agent heard anything; if not, the dialog is where it was."""
        return bool(self.heard.understood)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        heard, sure = self.heard, self.certainty
        return {
            "sentence": heard.sentence,
            "understood": list(heard.understood),
            "unknown": list(heard.unknown),
            "unheard": list(heard.unheard),
            "meant": dict(heard.meant),
            "candidate": self.candidate.id,
            "best": [image.id for image in self.best],
            "certainty": None if sure is None else {**asdict(sure), "told": sure.told()},
            "rank": self.rank,
        }


@dataclass(frozen=True)
class Event:
    """A step of a dialog: a sentence with its answer, or an image that the person liked better than the candidate.

    Args:
        moment: that followed; its candidate is the image shown next, or the one liked.
        answer: to the sentence; None for an image liked.
    """

    moment: Moment
    answer: Answer | None = None
