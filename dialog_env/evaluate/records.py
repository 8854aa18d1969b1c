"""Records of dialogs, of people and of simulators, as JSON Lines: an event a line, appended as it happens.

    {"event": "begin", "dialog": "4f1c…", "role": "find", "agent": "ceiling", "user": "person", "gallery": "5fad…",
     "images": 1000, "first": "shoe-7", "target": "shoe-12", "seed": 5, …}
    {"event": "turn", "dialog": "4f1c…", "turn": 1, "candidate": "shoe-7", "said": "is red", "shown": "shoe-9",
     "best": ["shoe-9", …], "rank": 31.0, "milliseconds": 8214, …}
    {"event": "back", "dialog": "4f1c…", "turns": 0}
    {"event": "end", "dialog": "4f1c…", "found": true, "gave_up": false, "rating": 4}

Each line carries its digest, as those of a dialog log do. Dialogs may lie between each other, be of any length, and
have no target or no end. A last line without its line break is of a turn that was not finished, and is passed over.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal

from pydantic import Field

from dialog_env.evaluate.logs import DialogLog, read_log
from dialog_env.io.atomic import locked, replacing, signed
from dialog_env.io.reading import EXACT, parse_signed, regular_file

WHAT = "record of dialogs"
REMEDY = "give a file that was recorded"
LINE_BYTES = 1 << 20
"""Longest line that is read."""

Role = Literal["find", "guess", "judge", "simulated"]
"""What the person did: look for an image, play the agent, or write a difference; "simulated" where there was none."""


@dataclass(frozen=True)
class Begin:
    """The line that begins a dialog.

    Args:
        dialog: its id, drawn at random: it tells nothing of the person.
        role: what the person did.
        agent, user: who showed and who spoke; "person" for a person.
        gallery: its fingerprint.
        images: N.
        first: id of the first image shown.
        target: id of the image in mind, None where it is not known.
        seed: of what was drawn; None where nothing was.
        rank: 0-based rank of the target before anything was said.
    """

    __pydantic_config__ = EXACT

    dialog: str
    role: Role
    agent: str
    user: str
    gallery: str
    images: Annotated[int, Field(ge=1)]
    first: str
    target: str | None = None
    seed: int | None = None
    rank: Annotated[float, Field(ge=0)] | None = None
    event: Literal["begin"] = "begin"


@dataclass(frozen=True)
class Turn:
    """The line of a turn.

    Args:
        dialog: its id.
        turn: its number, from 1.
        candidate: id of the image of which was spoken.
        said: of it, as it was typed.
        shown: id of the image shown next; None where nothing is.
        best: ids of the first images of the agent's ranking.
        rank: 0-based rank of the target.
        milliseconds: from when the candidate was seen to when the person had answered.
        options: ids of the images that a person who plays the agent chose from.
        other: what the simulator says of the same two images, where the person judges it.
        verdict: whose sentence says more, in the person's judgement.
    """

    __pydantic_config__ = EXACT

    dialog: str
    turn: Annotated[int, Field(ge=1)]
    candidate: str
    said: str
    shown: str | None = None
    best: tuple[str, ...] = ()
    rank: Annotated[float, Field(ge=0)] | None = None
    milliseconds: Annotated[int, Field(ge=0)] | None = None
    options: tuple[str, ...] = ()
    other: str | None = None
    verdict: Literal["person", "simulator", "same"] | None = None
    event: Literal["turn"] = "turn"


@dataclass(frozen=True)
class Back:
    """The line that takes turns back: `turns` are left."""

    __pydantic_config__ = EXACT

    dialog: str
    turns: Annotated[int, Field(ge=0)]
    event: Literal["back"] = "back"


@dataclass(frozen=True)
class End:
    """The line that ends a dialog.

    Args:
        dialog: its id.
        found: whether the target was shown last.
        gave_up: whether the person ended it before.
        rating: 1 to 5, of who did it well or badly; None where nobody said.
    """

    __pydantic_config__ = EXACT

    dialog: str
    found: bool
    gave_up: bool
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    event: Literal["end"] = "end"


Line = Begin | Turn | Back | End
KINDS: dict[str, type[Any]] = {"begin": Begin, "turn": Turn, "back": Back, "end": End}


@dataclass
class DialogRecord:
    """One dialog.

    Args:
        begin: how it began.
        turns: those that were not taken back, in their order.
        end: how it ended; None where nobody said.
        taken_back: turns that were.
    """

    begin: Begin
    turns: list[Turn] = field(default_factory=list)
    end: End | None = None
    taken_back: int = 0

    def add(self, line: Line) -> None:
        """Takes up the next line; ValueError where none like it can come next."""
        if self.end is not None:
            raise ValueError(f"dialog {self.begin.dialog} has ended before")
        if isinstance(line, Begin):
            raise ValueError(f"dialog {line.dialog} has begun before")
        if isinstance(line, Back):
            if line.turns >= len(self.turns):
                raise ValueError(f"{line.turns} turns cannot be left of {len(self.turns)}")
            self.taken_back += len(self.turns) - line.turns
            del self.turns[line.turns :]
        elif isinstance(line, End):
            self.end = line
        else:
            if line.turn != len(self.turns) + 1:
                raise ValueError(f"turn {line.turn} follows {len(self.turns)}")
            if line.rank is not None and line.rank > self.begin.images - 1:
                raise ValueError(f"rank {line.rank} is outside 0..{self.begin.images - 1}")
            self.turns.append(line)

    def lines(self) -> Iterator[Line]:
        """The lines that tell it; what was taken back is not among them."""
        yield self.begin
        yield from self.turns
        if self.end is not None:
            yield self.end


class RecordFile:
    """A file to which dialogs are appended, each line synced to the disk before `append` returns.

    A process that is killed loses nothing that was appended; a line that it left unfinished is removed when the file is
    opened again. One process at a time writes to a file, from as many threads as it likes.

        with RecordFile("dialogs.jsonl") as file:
            file.append(Begin(…))

    Raises:
        ValueError: another file lies there.
        BlockingIOError: another process writes there.
        OSError: it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._turn = threading.Lock()
        with ExitStack() as stack:
            stack.enter_context(locked(self.path.parent, self.path.name))
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            stack.callback(os.close, self._handle)
            self._resume()
            self._open = stack.pop_all()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets others write to the file."""
        self._open.close()

    def append(self, *lines: Line) -> None:
        """Writes lines, all of them or none.

        Raises:
            OSError: the disk is full or fails; the file is as it was.
        """
        content = "".join(map(_written, lines)).encode()
        with self._turn:
            before = os.fstat(self._handle).st_size
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(self._handle, left) :]
                os.fsync(self._handle)
            except OSError as error:
                os.ftruncate(self._handle, before)
                raise OSError(
                    error.errno, f"{self.path} could not be written ({error.strerror}); what it held is kept"
                ) from error

    def _resume(self) -> None:
        """Refuses another kind of file, and removes a line that was not finished."""
        regular_file(self.path, WHAT, REMEDY)
        with self.path.open("rb") as file:
            first = file.readline(LINE_BYTES)
            if first.endswith(b"\n"):
                _parsed(first, f"{self.path}, line 1")
            elif first and not b'{"'.startswith(first[:2]):
                raise ValueError(f"{self.path} is no {WHAT}; {REMEDY}, or another name")
            size = file.seek(0, os.SEEK_END)
            tail = file.seek(max(0, size - LINE_BYTES))
            last = file.read().rfind(b"\n")
        whole = tail + last + 1
        if whole < size:
            os.ftruncate(self._handle, whole)


def read_records(path: str | Path) -> list[DialogRecord]:
    """The dialogs of a file, in the order in which they began; also those of a dialog log.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line that is none of a record, damaged, or that cannot follow those before.
    """
    path = regular_file(path, WHAT, REMEDY)
    dialogs: dict[str, DialogRecord] = {}
    with path.open("rb") as file:
        for number, text in enumerate(iter(lambda: file.readline(LINE_BYTES), b""), 1):
            if number == 1 and b'"event"' not in text and b'"feedback"' in text:
                return records_of(read_log(path))
            if not text.endswith(b"\n") and not file.read(1):
                break
            where = f"{path}, line {number}"
            line = _parsed(text, where)
            try:
                if isinstance(line, Begin) and line.dialog not in dialogs:
                    dialogs[line.dialog] = DialogRecord(line)
                elif line.dialog in dialogs:
                    dialogs[line.dialog].add(line)
                else:
                    raise ValueError(f"dialog {line.dialog} has not begun")
            except ValueError as error:
                raise ValueError(f"{where} cannot be ({error}); {REMEDY}") from error
    return list(dialogs.values())


def write_records(path: str | Path, records: Iterable[DialogRecord]) -> None:
    """Writes a file of dialogs, atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_written(line) for record in records for line in record.lines())


def records_of(log: DialogLog) -> list[DialogRecord]:
    """The dialogs of a log, which simulators held."""
    return [
        DialogRecord(
            Begin(
                dialog=f"{number}",
                role="simulated",
                agent=log.agent,
                user=log.simulator,
                gallery=log.gallery,
                images=log.images,
                first=str(shown[0]),
                target=str(target),
                seed=log.seed,
                rank=float(ranks[0]),
            ),
            [
                Turn(f"{number}", turn, str(candidate), str(said), str(following), rank=float(rank))
                for turn, (candidate, said, following, rank) in enumerate(
                    zip(shown[:-1], sentences, shown[1:], ranks[1:], strict=True), 1
                )
            ],
            End(f"{number}", found=bool(shown[-1] == target), gave_up=False),
        )
        for number, (target, shown, sentences, ranks) in enumerate(
            zip(log.target, log.shown, log.feedback, log.rank, strict=True)
        )
    ]


def _written(line: Line) -> str:
    """A line with its digest, without what is not known."""
    known = {key: value for key, value in asdict(line).items() if value is not None and value != ()}
    return json.dumps(signed({"event": line.event, **known}), ensure_ascii=False) + "\n"


def _parsed(text: bytes, where: str) -> Line:
    kind = next((name for name in KINDS if f'"event": "{name}"'.encode() in text[:40]), "")
    if not kind:
        raise ValueError(f"{where} is no line of a {WHAT}: it begins with no event; {REMEDY}")
    line: Line = parse_signed(text, KINDS[kind], where, "line of a record", REMEDY)
    return line
