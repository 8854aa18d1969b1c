"""What of a session is recorded, once the person has agreed."""

from __future__ import annotations

import secrets

from dialog_env.evaluate.records import Back, Begin, End, RecordFile, Role, Turn
from dialog_env.sessions.answer import Event
from dialog_env.sessions.session import Session

CONSENT = (
    "What you type, the images you see, how long you take and how it ends would be written to a file on this computer, "
    "under a number drawn at random, for research on such dialogs. Neither your name nor your address is written."
)


def new_id() -> str:
    """A number that tells nothing of whose it is."""
    return secrets.token_hex(8)


class Recording:
    """The record of one session, which follows it: call `follow` after whatever was said or taken back.

    Args:
        file: to append to.
        session: that has just begun.
        seed: by which its images were drawn.
        role: of the person.

    Attributes:
        failed: whether writing has failed, and nothing more is written of this session.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, file: RecordFile, session: Session, *, seed: int | None, role: Role = "find") -> None:
        self.id = new_id()
        self.failed = False
        self._file, self._session = file, session
        self._written: list[Event] = []
        partner, target = session.partner, session.target
        self._append(
            Begin(
                dialog=self.id,
                role=role,
                agent=partner.agent.name,
                user="person",
                gallery=partner.gallery.fingerprint,
                images=len(partner.gallery),
                first=session.shown[0].id,
                target=None if target is None else target.id,
                seed=seed,
            )
        )

    def follow(self, milliseconds: int | None = None) -> None:
        """Writes what was said since, and what was taken back; likes show in what the next sentence speaks of.

        Args:
            milliseconds: that the person took for the latest sentence.

        Raises:
            OSError: the file cannot be written; the session goes on without being recorded.
        """
        shown = self._session.shown
        spoken = [
            (event, shown[number].id) for number, event in enumerate(self._session.events) if event.answer is not None
        ]
        same = 0
        while same < min(len(spoken), len(self._written)) and spoken[same][0] is self._written[same]:
            same += 1
        lines: list[Back | Turn] = [Back(self.id, same)] if same < len(self._written) else []
        for number, (event, candidate) in enumerate(spoken[same:], same + 1):
            answer = event.answer
            assert answer is not None
            lines.append(
                Turn(
                    dialog=self.id,
                    turn=number,
                    candidate=candidate,
                    said=answer.heard.sentence,
                    shown=answer.candidate.id,
                    best=tuple(image.id for image in answer.best),
                    rank=answer.rank,
                    milliseconds=milliseconds if number == len(spoken) else None,
                )
            )
        if lines:
            self._append(*lines)
        self._written = [event for event, _ in spoken]

    def end(self, *, found: bool | None = None, rating: int | None = None) -> None:
        """Writes how it ended.

        Args:
            found: whether the person has found the image in mind; as the session says where None.
            rating: 1 to 5.

        Raises:
            OSError: the file cannot be written.
        """
        found = self._session.found if found is None else found
        self._append(End(self.id, found=found, gave_up=not found, rating=rating))

    def _append(self, *lines: Begin | Turn | Back | End) -> None:
        if self.failed:
            return
        try:
            self._file.append(*lines)
        except OSError:
            self.failed = True
            raise
