"""What of a person's sentence an agent understands."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dialog_env.world.vocabulary import MAX_WORDS, UNKNOWN, Vocabulary, split_words

MOST_LETTERS = 1_000
"""Of a sentence: sixteen words are heard of it."""
LONGEST_WORD = 24
"""Longer ones are compared with no word of the vocabulary."""


@dataclass(frozen=True)
class Heard:
    """A sentence, and what became of its words.

    Args:
        sentence: as it was typed; a half of a character, which no file can hold, is U+FFFD.
        understood: words that the vocabulary has, in their order; these the agent hears.
        unknown: words that it has not.
        unheard: words that it has, beyond the 16 that a sentence can have.
        meant: unknown word to the word of the vocabulary that is spelt almost alike, where there is one.
    """

    sentence: str
    understood: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    meant: Mapping[str, str] = field(default_factory=dict)

    def tokens(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """(16,) the words understood."""
        return vocabulary.encode([" ".join(self.understood)])[0]


def hear(sentence: str, vocabulary: Vocabulary) -> Heard:
    """What of a sentence is understood.

    Unknown words are left out, instead of becoming UNK as in `Vocabulary.encode`: an agent whose user never said UNK
    has learned nothing of it, and would be led astray by it.

    Raises:
        ValueError: no text, or one of more than 1,000 characters.
    """
    if not isinstance(sentence, str):
        raise ValueError(f"a sentence is text, and {type(sentence).__name__} was given; give a text")
    if len(sentence) > MOST_LETTERS:
        raise ValueError(
            f"the sentence has {len(sentence):,} characters; say it in at most {MOST_LETTERS:,}, of which "
            f"{MAX_WORDS} words are heard"
        )
    sentence = sentence.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    known = vocabulary.tokens.keys() - {UNKNOWN}
    words = split_words(sentence)
    understood = [word for word in words if word in known]
    unknown = tuple(dict.fromkeys(word for word in words if word not in known))
    return Heard(
        sentence,
        tuple(understood[:MAX_WORDS]),
        unknown,
        tuple(understood[MAX_WORDS:]),
        {word: alike[0] for word in unknown if (alike := _alike(word, known))},
    )


def _alike(word: str, known: set[str]) -> list[str]:
    """The word that is spelt most alike, if any is."""
    if len(word) > LONGEST_WORD:
        return []
    return difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.75)
