"""Words, tokens and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary, split_words
from tests.damage import damaged, flipped, refusal

SENTENCES = ["is more shiny", "has a higher heel and is red", "is less shiny"]


def test_words_beyond_the_threshold_have_tokens_from_one_in_alphabetical_order() -> None:
    vocabulary = Vocabulary.from_sentences(SENTENCES, threshold=1)
    assert vocabulary.words == ("is", "shiny", "UNK")
    assert vocabulary.tokens == {"is": 1, "shiny": 2, "UNK": 3}
    assert len(vocabulary) == 3


def test_unknown_words_become_unk_and_long_sentences_are_cut() -> None:
    vocabulary = Vocabulary(("a", "b", "UNK"))
    rows = vocabulary.encode(["b zebra a", "", "a " * 40])
    assert rows.shape == (3, MAX_WORDS)
    assert rows[0].tolist() == [2, 3, 1] + [0] * 13
    assert not rows[1].any()
    assert (rows[2] == 1).all()
    assert vocabulary.decode(rows) == ["b UNK a", "", " ".join("a" * 16)]


def test_decoding_ends_at_the_first_padding() -> None:
    assert Vocabulary(("a", "b", "UNK")).decode([[1, 0, 2, 2], [0, 1, 1, 1]]) == ["a", ""]


@pytest.mark.parametrize("token", [-1, 4])
def test_tokens_of_another_vocabulary_are_refused(token: int) -> None:
    with pytest.raises(ValueError, match=rf"token {token} is outside 0\.\.3"):
        Vocabulary(("a", "b", "UNK")).decode([[1, token]])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [(("UNK",), "empty"), ((), "empty"), (("a", "b"), "must be 'UNK'"), (("a", "a", "UNK"), "'a' more than once")],
)
def test_impossible_vocabularies_are_refused(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Vocabulary(words)


def test_a_threshold_that_leaves_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="lower the count threshold"):
        Vocabulary.from_sentences(SENTENCES, threshold=100)


def test_a_saved_vocabulary_is_the_same(tmp_path: Path) -> None:
    vocabulary = Vocabulary.from_sentences([*SENTENCES, "très café-crème"])
    vocabulary.save(tmp_path / "words.json")
    again = Vocabulary.load(tmp_path / "words.json")
    assert again == vocabulary
    assert again.fingerprint == vocabulary.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["words.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1, 2]",
        "[" * 9999 + "]" * 9999,
        '{"words": ["a"]}',
        '{"words": ["a", 5, "UNK"]}',
        '{"words": "UNK"}',
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(ValueError, match=r"words\.json is no vocabulary \(.*\); write one"):
        Vocabulary.load(tmp_path / "words.json")


def test_a_damaged_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    vocabulary.save(path)
    for content in [*flipped(path.read_bytes(), seed=1, count=80), *damaged(path.read_bytes(), seed=2, count=80)]:
        path.write_bytes(content)
        sentence = refusal(Vocabulary.load, path)
        assert str(path) in sentence or Vocabulary.load(path) == vocabulary
    path.write_text(json.dumps({"words": vocabulary.words}))
    assert Vocabulary.load(path) == vocabulary, "as it was written before there was a digest"


def test_the_fingerprint_depends_on_words_and_their_order() -> None:
    prints = {Vocabulary(words).fingerprint for words in [("a", "b", "UNK"), ("b", "a", "UNK"), ("ab", "UNK")]}
    assert len(prints) == 3


def test_words_are_lower_case_and_keep_their_hyphens_and_apostrophes() -> None:
    assert split_words("Isn’t T-strapped, has 2 BOWS!  (red)") == ["isn't", "t-strapped", "has", "2", "bows", "red"]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=8))
def test_known_words_survive_encoding_and_decoding(sentences: list[str]) -> None:
    words = [split_words(sentence)[:MAX_WORDS] for sentence in sentences]
    vocabulary = Vocabulary.from_sentences([*sentences, "one word at least"])
    tokens = vocabulary.encode(sentences)
    assert tokens.dtype == np.int64
    assert vocabulary.decode(tokens) == [" ".join(spoken) for spoken in words]
