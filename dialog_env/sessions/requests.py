"""What a front end sends to the service, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from dialog_env.io.reading import EXACT


@dataclass(frozen=True)
class NewSession:
    """What a session begins with.

    Args:
        first: id of the image that is shown first; drawn where left out.
        target: id of the image in mind, where it is known; answers then say where it stands. "drawn" for a random one.
        seed: of what is drawn; another each time where left out.
        record: whether the person was asked, and agreed, that the dialog is recorded.
    """

    __pydantic_config__ = EXACT

    first: str | None = None
    target: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    record: bool = False


@dataclass(frozen=True)
class Said:
    """A sentence on how the image in mind differs from the candidate.

    Args:
        sentence: of at most 1,000 characters.
        events: how many events the session had when it was typed: with another number nothing is done, so that what is
            sent twice counts once.
    """

    __pydantic_config__ = EXACT

    sentence: str
    events: int | None = None


@dataclass(frozen=True)
class Liked:
    """An image to speak of instead of the candidate.

    Args:
        image: its id.
        events: as for a sentence.
    """

    __pydantic_config__ = EXACT

    image: str
    events: int | None = None


@dataclass(frozen=True)
class Undone:
    """Takes back the latest event.

    Args:
        events: as for a sentence.
    """

    __pydantic_config__ = EXACT

    events: int | None = None


@dataclass(frozen=True)
class Forgotten:
    """Takes back one event, or all.

    Args:
        event: its number from 0; all where left out.
        events: as for a sentence.
    """

    __pydantic_config__ = EXACT

    event: int | None = None
    events: int | None = None


@dataclass(frozen=True)
class Ended:
    """How it ended.

    Args:
        found: whether the person has found the image; as the session knows where left out.
        rating: 1 to 5.
    """

    __pydantic_config__ = EXACT

    found: bool | None = None
    rating: Annotated[int, Field(ge=1, le=5)] | None = None


SUMMARIES = {
    ("/gallery", "GET"): ("What can be shown and understood", None),
    ("/image/{image}", "GET"): ("The picture of an image, as PNG", None),
    ("/sessions", "POST"): ("Begin a session", NewSession),
    ("/sessions/{session}", "GET"): ("A session as it is", None),
    ("/sessions/{session}", "DELETE"): ("Forget a session", None),
    ("/sessions/{session}/say", "POST"): ("Say how the image in mind differs from the candidate", Said),
    ("/sessions/{session}/like", "POST"): ("Speak of another image instead", Liked),
    ("/sessions/{session}/undo", "POST"): ("Take back the latest event", Undone),
    ("/sessions/{session}/forget", "POST"): ("Take back one event, or all", Forgotten),
    ("/sessions/{session}/end", "POST"): ("End a session, and write how it ended", Ended),
}
"""Path and method to what is done there, and what the body holds."""
