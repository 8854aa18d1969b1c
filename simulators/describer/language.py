"""Everything the describer can say about the attributes of one schema, compiled into tables of tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators.describer.phrases import (
    ABSENT,
    ALIKE,
    DEGREES,
    SAME,
    UNKNOWN_VALUES,
    Category,
    category,
    grading,
    plain_name,
)
from dialog_env.world.vocabulary import Vocabulary, split_words

WORDINGS = 6
PHRASE_WORDS = 12

ADJECTIVE, KIND, COMPLEMENT, PART, END, START, BARE_START = range(7)
"""Parts of a sentence: "red", "boots", "less shiny" and "for men" follow "is", "a higher heel" follows "has"."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Statement:
    """One thing that can be said of a pair.

    Args:
        wordings: words and the part they play, to choose from.
        modifier: how it stands before a kind ("red" in "red boots"); empty where it cannot.
        contrast: how it is denied behind another ("not red"); empty where it cannot be.
        order: place among modifiers.
    """

    wordings: tuple[tuple[str, int], ...]
    modifier: str = ""
    contrast: str = ""
    order: int = 0


class Language:
    """The statements about the attributes of a schema as tables, their wordings, and the vocabulary.

    Attributes A are the G graded ones, then the K categorical ones. The statement of a graded attribute is
    `first[g] + 3 * more + degree`; of a categorical one `first[G + k] + value`, and `without[k] + value` where the
    target has none of what the candidate has. P phrases, S statements:

        phrases     (P, 12)  tokens; row 0 is empty
        lengths     (P,)    words of a phrase
        wordings    (S, 6)  phrases to choose from, repeated to fill the row
        parts       (S, 6)  the part that each of them plays
        modifier, contrast  (S,) phrases, 0 where there are none
        weights     (A,)    percent, how eye-catching an attribute is
        links       (7, 5, 2, 2)  phrases between two parts; by number (is, are) and style (and has, with)

    Args:
        table: attributes whose names and values are spoken of; its rows do not matter.

    Raises:
        ValueError: the table has nothing that can be put into words.
    """

    def __init__(self, table: AttributeTable) -> None:
        if not table.graded_names and not any(table.values):
            raise ValueError(
                "the attribute table has no graded and no categorical attributes; "
                "add attributes to the catalogue, or use a user simulator that needs none"
            )
        self.graded_count = len(table.graded_names)
        words = [[plain_name(value) for value in values] or [""] for values in table.values]
        self.canonical = [_canonical(values) for values in words]
        self.absent = np.array([_absent(values) for values in words], dtype=np.int64)
        categories = _categories(table.categorical_names, words)
        kinds = [(spoken.kind, column) for column, spoken in enumerate(categories) if spoken.kind]
        self.kind = min(kinds)[1] if kinds else -1
        for _, column in kinds:
            if column != self.kind:
                self.canonical[column][:] = -1

        statements: list[Statement] = []
        first: list[int] = []
        without: list[int] = []
        for name in table.graded_names:
            first.append(len(statements))
            statements += _graded_statements(name)
        for column, spoken in enumerate(categories):
            first.append(len(statements))
            statements += [_value_statement(spoken, value, column == self.kind) for value in words[column]]
            without.append(len(statements))
            statements += [_without_statement(spoken, value) for value in words[column]]
        self.first = np.array(first, dtype=np.int64)
        self.without = np.array(without, dtype=np.int64)
        self.weights = np.array(
            [grading(name).weight for name in table.graded_names] + [each.weight for each in categories]
        )
        topics = [grading(name).topic for name in table.graded_names] + [each.topic for each in categories]
        self.shares_topic = np.array(
            [[a == b or (one != "" and one == two) for b, two in enumerate(topics)] for a, one in enumerate(topics)]
        )
        self._compile(statements)

    def _compile(self, statements: list[Statement]) -> None:
        book: dict[str, int] = {"": 0}

        def phrase(words: str) -> int:
            return book.setdefault(" ".join(split_words(words)), len(book))

        filled = [[s.wordings[i % len(s.wordings)] for i in range(WORDINGS)] for s in statements]
        self.wordings: Integers = np.array([[phrase(words) for words, _ in row] for row in filled], dtype=np.int64)
        self.parts: Integers = np.array([[part for _, part in row] for row in filled], dtype=np.int64)
        self.modifier: Integers = np.array([phrase(s.modifier) for s in statements], dtype=np.int64)
        self.contrast: Integers = np.array([phrase(s.contrast) for s in statements], dtype=np.int64)
        self.order: Integers = np.array([s.order for s in statements], dtype=np.int64)
        self.links = np.zeros((7, 5, 2, 2), dtype=np.int64)
        for before, after, many, style in product(range(7), range(5), range(2), range(2)):
            self.links[before, after, many, style] = phrase(_link(before, after, bool(many), bool(style)))
        self.same, self.alike = phrase(SAME), phrase(ALIKE)
        self.vocabulary = Vocabulary.from_sentences(book)
        self.phrases: Integers = self.vocabulary.encode(list(book), PHRASE_WORDS)
        self.lengths: Integers = (self.phrases != 0).sum(axis=1)
        self.text = tuple(book)

    def codes(self, table: AttributeTable) -> Integers:
        """(N, K) values of a table of this schema: equal words have equal codes, what has no words is -1."""
        codes = np.full(table.categorical.shape, -1, dtype=np.int64)
        for column, canonical in enumerate(self.canonical):
            codes[:, column] = np.append(canonical, -1)[table.categorical[:, column]]
        return codes


def _canonical(values: list[str]) -> Integers:
    """The first code that says the same for each code; -1 for words that say that nothing is known."""
    meant = [ABSENT[0] if value in ABSENT else value for value in values]
    return np.array([-1 if each in ("", *UNKNOWN_VALUES) else meant.index(each) for each in meant], dtype=np.int64)


def _absent(values: list[str]) -> int:
    """The code that says that an item has none of this; -2 where there is no such value."""
    return next((code for code, value in enumerate(values) if value in ABSENT), -2)


def _categories(names: tuple[str, ...], words: list[list[str]]) -> list[Category]:
    """How each attribute is spoken of; one without an entry of its own is named where its values alone mislead."""
    columns = Counter(value for values in words for value in set(values))
    return [
        category(name, ambiguous=any(columns[value] > 1 for value in values))
        for name, values in zip(names, words, strict=True)
    ]


def _graded_statements(name: str) -> list[Statement]:
    spoken = grading(name)
    return [
        Statement(tuple(_wording(words.replace("*", degree), COMPLEMENT) for words in wordings))
        for wordings in (spoken.less, spoken.more)
        for degree in DEGREES
    ]


def _value_statement(spoken: Category, value: str, is_kind: bool) -> Statement:
    own = KIND if is_kind else ADJECTIVE if spoken.stacks else COMPLEMENT
    wordings = tuple(_wording(words.format(value), own) for words in spoken.values.get(value, spoken.said))
    denied = wordings[0][0] if value in spoken.values else value
    return Statement(
        wordings=wordings,
        modifier=spoken.modifiers.get(value, spoken.modifier.format(value)),
        contrast="" if value in ABSENT or is_kind else f"not {denied}",
        order=spoken.order,
    )


def _without_statement(spoken: Category, value: str) -> Statement:
    noun = spoken.nouns.get(value, value)
    return Statement(tuple(_wording(words.format(noun), COMPLEMENT) for words in spoken.without))


def _wording(words: str, after_is: int) -> tuple[str, int]:
    """The words behind the verb, and the part they play."""
    verb, _, rest = words.partition(" ")
    return rest, PART if verb == "has" else after_is


def _link(before: int, after: int, many: bool, with_parts: bool) -> str:
    """The words between two parts of a sentence."""
    verb = ("have" if many else "has") if after == PART else ("are" if many else "is")
    if END in (before, after) or before == BARE_START:
        return ""
    if before == START:
        return verb
    if before == ADJECTIVE and after in (ADJECTIVE, KIND):
        return ""
    if after == PART and before != PART:
        return "with" if with_parts else f"and {verb}"
    return f"and {verb}" if before == PART and after != PART else "and"
