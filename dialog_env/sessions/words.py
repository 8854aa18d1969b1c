"""What of a person's sentence an agent understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dialog_env.world.hearing import Hearing
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary, split_words

MOST_LETTERS = 1_000
"""Of a sentence: sixteen words are heard of it."""


@dataclass(frozen=True)
class Heard:
    """A sentence, and what became of its words.

    Args:
        sentence: as it was typed; a half of a character, which no file can hold, is U+FFFD.
        understood: what its words mean in the vocabulary, in their order; this the agent hears.
        unknown: words that mean nothing to it.
        unheard: what is understood beyond the 16 words that a sentence can have.
        meant: word that is not in the vocabulary to the one for which it was taken.
    """

    sentence: str
    understood: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    meant: Mapping[str, str] = field(default_factory=dict)

    def tokens(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """(16,) the words understood."""
        return vocabulary.encode([" ".join(self.understood)])[0]


def hear(sentence: str, hearing: Hearing) -> Heard:
    """What of a sentence is understood.

    Words that mean nothing are left out, instead of becoming UNK as in `Vocabulary.encode`: an agent whose user never
    said UNK has learned nothing of it, and would be led astray by it.

    Args:
        sentence: as it was typed.
        hearing: what words mean to the agent.

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
    words = split_words(sentence)
    meanings = hearing.meanings(words)
    understood = [meanings[word] for word in words if word in meanings]
    return Heard(
        sentence,
        tuple(understood[:MAX_WORDS]),
        tuple(dict.fromkeys(word for word in words if word not in meanings)),
        tuple(understood[MAX_WORDS:]),
        {word: meaning for word, meaning in meanings.items() if word != meaning},
    )
