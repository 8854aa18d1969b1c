"""How much of what a user says is true: statements, read by the phrase book, are held against attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dialog_env.catalog import Catalog
from dialog_env.simulators.describer.language import Language
from dialog_env.world.vocabulary import split_words

IGNORED = -1
"""Stands for a phrase that denies what the candidate is ("not red"), which tells nothing of the target."""


def statements_true(
    gallery: Catalog, targets: torch.Tensor, candidates: torch.Tensor, sentences: Sequence[str]
) -> NDArray[np.int64]:
    """(B, 2) how many statements each sentence makes about its target, and how many of these are true.

    A value is true where the target has it, a comparison where the target has more, or less, of it than the
    candidate, by however little. Degrees ("much", "slightly") are not judged; what is not in the book is no statement.

    Args:
        gallery: images with attributes.
        targets: (B,) int64.
        candidates: (B,) int64.
        sentences: B.

    Raises:
        ValueError: a catalogue without attributes.
    """
    table = gallery.attributes
    if table is None:
        raise ValueError(f"catalogue {gallery.name!r} has no attributes by which anything could be true; give another")
    language = Language(table)
    book = _book(language)
    longest = max(map(len, book))
    judge = _Judge(language, table.graded, language.codes(table))
    counts = np.zeros((len(sentences), 2), dtype=np.int64)
    for row, (target, candidate, sentence) in enumerate(
        zip(targets.tolist(), candidates.tolist(), sentences, strict=True)
    ):
        for meant in _read(split_words(sentence), book, longest):
            verdicts = [judge.verdict(statement, target, candidate) for statement in meant]
            known = [verdict for verdict in verdicts if verdict is not None]
            counts[row] += (bool(known), any(known))
    return counts


def _book(language: Language) -> dict[tuple[str, ...], list[int]]:
    """The words of every phrase to the statements that they may make."""
    book: dict[tuple[str, ...], list[int]] = {}

    def enter(phrase: int, statement: int) -> None:
        words = tuple(language.text[phrase].split())
        if words and statement not in book.setdefault(words, []):
            book[words].append(statement)

    for statement, (wordings, modifier) in enumerate(zip(language.wordings, language.modifier, strict=True)):
        for phrase in {*wordings.tolist(), int(modifier)}:
            enter(phrase, statement)
    for phrase in set(language.contrast.tolist()):
        enter(phrase, IGNORED)
    return book


def _read(words: list[str], book: dict[tuple[str, ...], list[int]], longest: int) -> list[list[int]]:
    """The statements of a sentence, each as all that it may mean; where several phrases begin, the longest is read."""
    found, place = [], 0
    while place < len(words):
        lengths = range(min(longest, len(words) - place), 0, -1)
        length = next((length for length in lengths if tuple(words[place : place + length]) in book), 0)
        if length:
            meant = book[tuple(words[place : place + length])]
            if IGNORED not in meant:
                found.append(meant)
        place += length or 1
    return found


class _Judge:
    """Knows what is true of every pair."""

    def __init__(self, language: Language, grades: NDArray[np.floating], codes: NDArray[np.int64]) -> None:
        self.language, self.grades, self.codes = language, grades, codes

    def verdict(self, statement: int, target: int, candidate: int) -> bool | None:
        """Whether a statement is true; None where the attribute is not known."""
        language = self.language
        attribute = int(np.searchsorted(language.first, statement, side="right")) - 1
        place = statement - int(language.first[attribute])
        if attribute < language.graded_count:
            mine, other = self.grades[target, attribute], self.grades[candidate, attribute]
            return None if np.isnan(mine - other) else bool(mine > other if place >= 3 else mine < other)
        column = attribute - language.graded_count
        value = int(self.codes[target, column])
        if value < 0:
            return None
        values = int(language.without[column] - language.first[attribute])
        if place >= values:
            return value == int(language.absent[column])
        return value == int(language.canonical[column][place])
