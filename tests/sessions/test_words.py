"""What of a sentence is understood."""

from __future__ import annotations

import pytest

from dialog_env.sessions.words import hear
from dialog_env.world.vocabulary import Vocabulary

WORDS = Vocabulary(("a", "buckle", "has", "heel", "higher", "red", "UNK"))

STRANGE = {
    "emoji": "👠👠👠",
    "right to left": "يا حذاء أحمر",
    "script": "<script>alert('red')</script>",
    "SQL": "'; DROP TABLE shoes; -- red",
    "control characters": "red\x00\x1b[31m\x07\u202eheel\n\r",
    "lone surrogate": "red \ud800",
    "one long word": "r" * 900,
}


def test_words_of_the_vocabulary_are_understood_and_others_named_once() -> None:
    heard = hear("Has a HIGHER heel, and a buckel -- and is crimson!", WORDS)
    assert heard.understood == ("has", "a", "higher", "heel", "a")
    assert heard.unknown == ("and", "buckel", "is", "crimson")
    assert heard.meant == {"buckel": "buckle"}
    assert heard.tokens(WORDS).tolist() == [3, 1, 5, 4, 1, *[0] * 11]


def test_words_beyond_the_sixteenth_understood_are_named() -> None:
    heard = hear("crimson " + "red " * 16 + "heel unheard", WORDS)
    assert heard.understood == ("red",) * 16
    assert heard.unheard == ("heel",)
    assert heard.tokens(WORDS).tolist() == [6] * 16


def test_the_word_for_unknown_words_is_not_understood() -> None:
    small = Vocabulary(("red", "unk", "UNK"))
    assert hear("UNK red", small).understood == ("unk", "red")
    assert hear("UNK red", WORDS).understood == ("red",)


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_strange_sentences_are_kept_as_they_are(text: str) -> None:
    heard = hear(text, WORDS)
    assert heard.sentence == text.replace("\ud800", "\ufffd")
    assert set(heard.understood) <= {"red", "heel"}


@pytest.mark.parametrize("text", ["", "   ", "?!", "_", "crimson"])
def test_nothing_understood_is_no_error(text: str) -> None:
    heard = hear(text, WORDS)
    assert heard.understood == ()
    assert not heard.tokens(WORDS).any()


def test_too_long_a_sentence_and_what_is_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="10,000 characters; say it in at most 1,000"):
        hear("red " * 2500, WORDS)
    with pytest.raises(ValueError, match="a sentence is text, and int was given"):
        hear(7, WORDS)  # type: ignore[arg-type]
