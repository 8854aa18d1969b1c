"""What was measured, as rows of a table, and what was asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Args:
        work: what.
        size: how much of it at once: pairs, dialogs, queries or images.
        seconds: that it took.
        rate: how many a second.
        unit: of what.
        note: what else there is to say.
    """

    work: str
    size: int
    seconds: float
    rate: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Something that was to be reached.

    Args:
        work: what.
        asked: in words.
        measured: in words, or why nothing was measured.
        met: whether it was reached; None where it was not measured.
        why: where it was missed, what the profile says of it.
    """

    work: str
    asked: str
    measured: str
    met: bool | None
    why: str = ""


@dataclass(frozen=True)
class Findings:
    """What one part of the benchmark found.

    Args:
        rows: of the table.
        figures: of those asked for.
        shares: of time, by work and by part.
        memory: peak in bytes, by work.
    """

    rows: list[Row]
    figures: list[Figure]
    shares: dict[str, dict[str, float]]
    memory: dict[str, int]
