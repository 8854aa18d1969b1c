"""Words and their tokens."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.io.atomic import signed, write_atomically
from dialog_env.io.keywords import told
from dialog_env.io.reading import JSON_BYTES, parse_signed, read_bytes

MAX_WORDS = 16
"""A sentence has at most this many tokens; token 0 is padding and end."""

UNKNOWN = "UNK"
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def split_words(sentence: str) -> list[str]:
    """The words of a sentence in lower case, without punctuation; hyphens and apostrophes inside words stay."""
    return WORD.findall(sentence.lower().replace("’", "'"))


@dataclass(frozen=True)
class Vocabulary:
    """A list of words; word i has token i + 1, token 0 is padding and end, the last word stands for all others.

    Args:
        words: at least one word and, last, "UNK", all different.

    Raises:
        ValueError: no words, a word twice or with white space, or a last word that is not "UNK".
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.words) < 2:
            raise ValueError("the vocabulary is empty; lower the count threshold or give sentences with words")
        if self.words[-1] != UNKNOWN:
            raise ValueError(f"the vocabulary ends with {self.words[-1]!r}; its last word must be {UNKNOWN!r}")
        broken = [word for word in self.words if word.split() != [word]]
        if broken:
            raise ValueError(f"the vocabulary has {broken[0]!r}; a word is not empty and has no white space")
        twice = [word for word, count in Counter(self.words).items() if count > 1]
        if twice:
            raise ValueError(f"the vocabulary has {twice[0]!r} more than once; give every word once")

    @classmethod
    def from_sentences(cls, sentences: Iterable[str], threshold: int = 0) -> Vocabulary:
        """The words that occur more than `threshold` times, in alphabetical order, then UNK."""
        counts = Counter(word for sentence in sentences for word in split_words(sentence))
        return cls((*sorted(word for word, count in counts.items() if count > threshold), UNKNOWN))

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Reads a file written by `save`; FileNotFoundError if there is none, ValueError if it is something else."""
        remedy = "write one with Vocabulary.save"
        text = read_bytes(path, "vocabulary", remedy, limit=JSON_BYTES)
        return parse_signed(text, cls, str(path), "vocabulary", remedy)

    def save(self, path: str | Path) -> None:
        """Writes the words as JSON, atomically."""
        write_atomically(path, json.dumps(signed({"words": self.words}), indent=1, ensure_ascii=False).encode())

    def __len__(self) -> int:
        """V, the number of words with UNK; tokens run from 0 to V."""
        return len(self.words)

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a word or its token does."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:16]

    @cached_property
    def tokens(self) -> dict[str, int]:
        """Word to token."""
        return {word: token for token, word in enumerate(self.words, 1)}

    def encode(self, sentences: Sequence[str], length: int = MAX_WORDS) -> NDArray[np.int64]:
        """Tokens (B, L) of sentences; unknown words become UNK, words beyond `length` are cut."""
        rows = np.zeros((len(sentences), length), dtype=np.int64)
        unknown = len(self.words)
        for row, sentence in zip(rows, sentences, strict=True):
            tokens = [self.tokens.get(word, unknown) for word in split_words(sentence)[:length]]
            row[: len(tokens)] = tokens
        return rows

    def decode(self, tokens: Any) -> list[str]:
        """Sentences of token rows (B, L), each up to its first 0; ValueError for another shape or a token beyond V."""
        rows = np.asarray(tokens)
        if rows.dtype.kind not in "iu":
            raise ValueError(f"tokens are {told(tokens)}; give whole numbers, (B, L)")
        if rows.size and (rows.min() < 0 or rows.max() > len(self.words)):
            wrong = rows.max() if rows.max() > len(self.words) else rows.min()
            raise ValueError(
                f"token {wrong} is outside 0..{len(self.words)}; "
                "decode with the vocabulary that the tokens were made with"
            )
        if rows.ndim != 2:
            raise ValueError(f"tokens have shape {rows.shape}; give rows of them, (B, L)")
        # One join and one split for the whole batch cost a fraction of a join for each of its rows.
        ended = np.full((len(rows), rows.shape[1] + 1), len(self.words) + 1)
        ended[:, :-1] = rows
        spoken = np.ones(ended.shape, dtype=bool)
        np.not_equal(rows, 0, out=spoken[:, :-1])
        if (spoken[:, 1:-1] > spoken[:, :-2]).any():  # words after a 0
            np.logical_and.accumulate(spoken[:, :-1], axis=1, out=spoken[:, :-1])
        text = "".join(self._by_token[ended[spoken]].tolist())
        return text.replace("\n ", "\n").removeprefix(" ").split("\n")[:-1]

    @cached_property
    def _by_token(self) -> NDArray[Any]:
        """What each token adds to a text: a word after a space, and the end of a sentence after the last one."""
        return np.array(["", *(f" {word}" for word in self.words), "\n"], dtype=object)
