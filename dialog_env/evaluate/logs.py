"""Dialog logs: what was shown and said, as JSON Lines with one dialog a line.

    {"dialog": 0, "target": "shoe-12", "shown": ["shoe-7", …], "feedback": ["is red", …], "rank": [31.0, …],
     "agent": "supervised", "simulator": "describer:1", "seed": 0, "gallery": "<fingerprint>", "images": 1000,
     "dialogs": 1000, "sha256": "<of all the line but this>"}

`shown` has T + 1 ids, the first candidate and the image shown at each turn; `feedback` T sentences, on all of them but
the last, on which nobody is asked; `rank` T + 1 0-based ranks of the target, the first of them before any feedback.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dialog_env.catalog import Catalog
from dialog_env.evaluate.protocol import Record
from dialog_env.io.atomic import replacing, signed
from dialog_env.io.reading import parse_signed, regular_file
from dialog_env.world.user import UserSimulator, ask

SHARED = ("agent", "simulator", "seed", "gallery", "images")
"""What is the same in all lines of a log."""
WHAT = "dialog log"
REMEDY = "the file was cut or is of another kind"
LINE_BYTES = 1 << 20
"""Longest line that is read."""


@dataclass(frozen=True)
class Line:
    """A line of a log: one dialog. Logs of before have no `dialogs`.

    Raises:
        ValueError: numbers of turns that differ, or ranks that cannot be.
    """

    dialog: int
    target: str
    shown: tuple[str, ...]
    feedback: tuple[str, ...]
    rank: tuple[float, ...]
    agent: str
    simulator: str
    seed: int
    gallery: str
    images: int
    dialogs: int | None = None

    def __post_init__(self) -> None:
        turns = len(self.feedback)
        if not turns or {len(self.shown), len(self.rank)} != {turns + 1}:
            raise ValueError(f"it has {turns} sentences, {len(self.shown)} images shown and {len(self.rank)} ranks")
        for rank in self.rank:
            if not 0 <= rank <= self.images - 1:
                raise ValueError(f"rank {rank} is outside 0..{self.images - 1}")


@dataclass(frozen=True)
class DialogLog:
    """M dialogs of T turns.

    Args:
        target: (M,) ids.
        shown: (M, T + 1) ids.
        feedback: (M, T) sentences.
        rank: (M, T + 1) 0-based ranks of the target.
        agent: who showed.
        simulator: id of the user.
        seed: of the first candidates.
        gallery: fingerprint of the gallery.
        images: N, its size.
    """

    target: NDArray[Any]
    shown: NDArray[Any]
    feedback: NDArray[Any]
    rank: NDArray[np.float64]
    agent: str
    simulator: str
    seed: int
    gallery: str
    images: int

    def __len__(self) -> int:
        return len(self.target)

    @property
    def percentile(self) -> NDArray[np.float64]:
        """(M, T + 1) ranking percentiles of the target, 0 to 1."""
        return 1 - self.rank / self.images

    def positions(self, gallery: Catalog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gallery positions of the targets (M,) and of the images shown (M, T + 1).

        Raises:
            ValueError: a gallery of another fingerprint.
        """
        if gallery.fingerprint != self.gallery:
            raise ValueError(
                f"the log is of gallery {self.gallery} and {gallery!r} is {gallery.fingerprint}; "
                "give the gallery that the dialogs were held in"
            )
        where = {name: position for position, name in enumerate(gallery.ids)}
        names = np.column_stack([self.target, self.shown]).ravel()
        unknown = set(names) - set(where)
        if unknown:
            raise ValueError(f"the log has image {min(unknown)!r}, which {gallery!r} has not; write it again")
        found = np.array([where[name] for name in names]).reshape(len(self), -1)
        return found[:, 0], found[:, 1:]

    def lines(self) -> Iterator[dict[str, Any]]:
        """Each dialog as it is written."""
        shared = {name: getattr(self, name) for name in SHARED}
        for number in range(len(self)):
            yield {
                "dialog": number,
                "target": str(self.target[number]),
                "shown": [str(name) for name in self.shown[number]],
                "feedback": [str(sentence) for sentence in self.feedback[number]],
                "rank": self.rank[number].tolist(),
                **shared,
                "dialogs": len(self),
            }

    def write(self, path: str | Path) -> None:
        """Writes the file, atomically."""
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(signed(line), ensure_ascii=False) + "\n" for line in self.lines())


def log_of(
    record: Record, gallery: Catalog, simulator: UserSimulator, *, agent: str, seed: int, batch: int = 4096
) -> DialogLog:
    """The dialogs of a record, with what was said in them: the user, who answers alike, is asked once more.

    Args:
        record: of `protocol.run`.
        gallery: that the dialogs were held in.
        simulator: the user of those dialogs.
        agent: its name.
        seed: given to `protocol.run`.
        batch: questions at once.

    Raises:
        ValueError: a user of another gallery, or a gallery of another size.
    """
    if simulator.gallery_fingerprint != gallery.fingerprint or record.images != len(gallery):
        raise ValueError(
            f"the record has {record.images} images, {gallery!r} is {gallery.fingerprint} and user {simulator.id} "
            f"belongs to {simulator.gallery_fingerprint}; give the gallery and the user of the dialogs"
        )
    targets = np.repeat(record.target, record.turns)
    candidates = record.shown[:, :-1].ravel()
    previous = np.column_stack([np.full(len(record.target), -1), record.shown[:, :-2]]).ravel()
    device = getattr(simulator, "device", "cpu")
    sentences: list[str] = []
    with torch.no_grad():
        for start in range(0, len(targets), batch):
            asked = (torch.from_numpy(part[start : start + batch]) for part in (targets, candidates, previous))
            answer = ask(simulator, *(part.to(device) for part in asked))
            sentences += simulator.vocabulary.decode(answer.cpu().numpy())
    return DialogLog(
        target=gallery.ids[record.target],
        shown=gallery.ids[record.shown],
        feedback=np.array(sentences, dtype=object).reshape(-1, record.turns),
        rank=np.column_stack([record.initial_rank, record.rank]),
        agent=agent,
        simulator=simulator.id,
        seed=seed,
        gallery=gallery.fingerprint,
        images=record.images,
    )


def read_log(path: str | Path) -> DialogLog:
    """Reads what `DialogLog.write` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line that is no dialog, damaged, with ranks that cannot be, of another length, or of another
            agent, user, seed or gallery than the first; or lines that are missing.
    """
    path = regular_file(path, WHAT, "write one with log_of(…).write(path)")
    rows: list[Line] = []
    with path.open("rb") as file:
        for number, text in enumerate(iter(lambda: file.readline(LINE_BYTES), b""), 1):
            row = parse_signed(text, Line, f"{path}, line {number}", "dialog", REMEDY)
            first = rows[0] if rows else row
            if any(getattr(row, name) != getattr(first, name) for name in (*SHARED, "dialogs")):
                raise ValueError(f"{path}, line {number} is of another run than line 1; keep each run in its own file")
            if len(row.shown) != len(first.shown):
                raise ValueError(f"{path}, line {number} has another number of turns than line 1; write it again")
            if row.dialog != len(rows):
                raise ValueError(f"{path}, line {number} has dialog {row.dialog}, not {len(rows)}; write it again")
            rows.append(row)
    if not rows:
        raise ValueError(f"{path} is empty; write it again")
    if rows[0].dialogs not in (None, len(rows)):
        raise ValueError(f"{path} has {len(rows)} of {rows[0].dialogs} dialogs; it was cut, write it again")
    texts: dict[str, Any] = {
        name: np.array([getattr(row, name) for row in rows], dtype=object) for name in ("target", "shown", "feedback")
    }
    rank = np.array([row.rank for row in rows], dtype=np.float64)
    return DialogLog(**texts, rank=rank, **{name: getattr(rows[0], name) for name in SHARED})
