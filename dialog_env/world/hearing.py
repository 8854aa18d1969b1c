"""Anybody's words in those that an agent knows: the same colour, a slip of spelling, nearly the same meaning."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dialog_env.catalog.sources.sentences import SentenceEncoder
from dialog_env.world.colours import nearest_colour
from dialog_env.world.vocabulary import UNKNOWN, Vocabulary, split_words

VERSION = 1

LONGEST_WORD = 24
"""Longer ones mean nothing."""
SLIPS = ((8, 2), (5, 1))
"""Letters of a word, and of the known one, from which on so many slips are mended. Of a shorter one too many words
become others by a slip, as "this" becomes "thin"."""
ALIKE = 0.65
"""Cosine from which on an encoder takes two words to mean the same."""
COMPARATIVE, STEM = "er", 3
"""A word that ends so is taken for none that does not begin with the same letters: to an encoder "darker" is next to
"brighter", which in a comparison is the wrong way round."""
KEPT = 10_000
"""Words of which is remembered what they mean."""

HOW = ("exact", "mended")
"""How words may be heard, but for the folder of an encoder."""


class Hearing:
    """What words mean to somebody who knows a vocabulary.

    A known word means itself. Another means, by the first of these that gives one, the known word
    - for the colour that it names (`dialog_env.world.colours`),
    - that is spelt almost alike: one slip, from eight letters on two, never in the first letter. A slip is a letter too
      many, too few or another, or two exchanged (optimal string alignment, by RapidFuzz). What an encoder has as a word
      of its own is no slip,
    - whose vector is nearest, and near enough, to its own by a frozen sentence encoder, each word being a sentence; a
      comparative is taken for words of its own stem alone.
    Words for which there is none mean nothing, and are passed over.

    Args:
        vocabulary: the words that are known.
        mends: False lets known words alone through.
        encoder: folder of a sentence encoder in Hugging Face layout; none where None.

    Attributes:
        id: changes whenever a meaning does.

    Raises:
        FileNotFoundError, ValueError, ImportError: the encoder cannot be had, as `SentenceEncoder` says.
    """

    def __init__(self, vocabulary: Vocabulary, *, mends: bool = True, encoder: str | Path | None = None) -> None:
        self.vocabulary, self.mends = vocabulary, mends
        self.known = {word: token for word, token in vocabulary.tokens.items() if word != UNKNOWN}
        self._words = list(self.known)
        self._encoder = SentenceEncoder(encoder) if encoder is not None else None
        self._vectors = _vectors(self._encoder, self._words) if self._encoder is not None else None
        self.id = f"mended-{VERSION}" if mends else "exact"
        if self._encoder is not None:
            self.id += f"-{self._encoder.description['weights sha256'][:12]}"
        self._meanings: dict[str, str | None] = {}

    def meanings(self, words: Iterable[str]) -> dict[str, str]:
        """Word to what it means; words that mean nothing are left out."""
        return {word: meaning for word in words if (meaning := self.meaning(word)) is not None}

    def said(self, sentence: str) -> str:
        """A sentence in known words."""
        words = split_words(sentence)
        meanings = self.meanings(words)
        return " ".join(meanings[word] for word in words if word in meanings)

    def meaning(self, word: str) -> str | None:
        """The known word that a word in small letters means; None where it means nothing."""
        if word in self.known:
            return word
        if not self.mends or len(word) > LONGEST_WORD:
            return None
        if word not in self._meanings:
            if len(self._meanings) >= KEPT:
                self._meanings.clear()
            self._meanings[word] = nearest_colour(word, self.known) or self._spelt(word) or self._alike(word)
        return self._meanings[word]

    def _spelt(self, word: str) -> str | None:
        """The known word that has the fewest slips from it, the first of several, if they are few."""
        from rapidfuzz.distance import OSA

        if self._encoder is not None and self._encoder.has_word(word):
            return None
        near = [
            (distance, each)
            for letters, slips in SLIPS
            if len(word) >= letters
            for each in self._words
            if len(each) >= letters and each[0] == word[0]
            if (distance := OSA.distance(word, each, score_cutoff=slips)) <= slips
        ]
        return min(near)[1] if near else None

    def _alike(self, word: str) -> str | None:
        """The known word whose vector is nearest to its own, if it is near."""
        if self._encoder is None or self._vectors is None:
            return None
        likeness = self._vectors @ _vectors(self._encoder, [word])[0]  # (V,)
        best = int(likeness.argmax())
        if word.endswith(COMPARATIVE) and word[:STEM] != self._words[best][:STEM]:
            return None
        return self._words[best] if likeness[best] >= ALIKE else None


def hearing(how: str, vocabulary: Vocabulary) -> Hearing:
    """The hearing that is asked for: `exact`, `mended`, or the folder of an encoder, which mends as well.

    Raises:
        FileNotFoundError, ValueError, ImportError: neither of the two words, and no folder of an encoder.
    """
    if how in HOW:
        return Hearing(vocabulary, mends=how == "mended")
    if not Path(how).is_dir():
        raise FileNotFoundError(
            f"hearing={how!r} is neither {' nor '.join(HOW)}, and no folder; give the folder of a sentence encoder"
        )
    return Hearing(vocabulary, encoder=how)


def _vectors(encoder: Any, words: list[str]) -> Tensor:
    """(V, C) of length 1, each word by itself, so that none depends on the others of a batch."""
    vectors = [encoder([word], 0)[0][0].cpu() for word in words]
    return torch.stack(vectors) if vectors else torch.zeros(0, 1)
