"""What of a sentence is understood."""

from __future__ import annotations

import pytest

from dialog_env.sessions.words import hear
from dialog_env.world.hearing import Hearing
from dialog_env.world.vocabulary import Vocabulary

WORDS = Vocabulary(("a", "buckle", "has", "heel", "higher", "red", "UNK"))
HEARING = Hearing(WORDS)

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
    heard = hear("Has a HIGHER heel, and a buckle -- and is odd!", HEARING)
    assert heard.understood == ("has", "a", "higher", "heel", "a", "buckle")
    assert heard.unknown == ("and", "is", "odd")
    assert heard.meant == {}
    assert heard.tokens(WORDS).tolist() == [3, 1, 5, 4, 1, 2, *[0] * 10]


def test_words_that_mean_one_of_the_vocabulary_are_heard_as_that_one_which_is_told() -> None:
    heard = hear("a buckel that is crimson", HEARING)
    assert heard.understood == ("a", "buckle", "red")
    assert heard.meant == {"buckel": "buckle", "crimson": "red"}
    assert heard.unknown == ("that", "is")
    exact = hear("a buckel that is crimson", Hearing(WORDS, mends=False))
    assert (exact.understood, exact.meant) == (("a",), {})
    assert exact.unknown == ("buckel", "that", "is", "crimson")


def test_words_beyond_the_sixteenth_understood_are_named() -> None:
    heard = hear("odd " + "red " * 16 + "heel unheard", HEARING)
    assert heard.understood == ("red",) * 16
    assert heard.unheard == ("heel",)
    assert heard.tokens(WORDS).tolist() == [6] * 16


def test_the_word_for_unknown_words_is_not_understood() -> None:
    small = Vocabulary(("red", "unk", "UNK"))
    assert hear("UNK red", Hearing(small)).understood == ("unk", "red")
    assert hear("UNK red", HEARING).understood == ("red",)


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_strange_sentences_are_kept_as_they_are(text: str) -> None:
    heard = hear(text, HEARING)
    assert heard.sentence == text.replace("\ud800", "\ufffd")
    assert set(heard.understood) <= {"red", "heel"}


@pytest.mark.parametrize("text", ["", "   ", "?!", "_", "odd"])
def test_nothing_understood_is_no_error(text: str) -> None:
    heard = hear(text, HEARING)
    assert heard.understood == ()
    assert not heard.tokens(WORDS).any()


def test_too_long_a_sentence_and_what_is_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="10,000 characters; say it in at most 1,000"):
        hear("red " * 2500, HEARING)
    with pytest.raises(ValueError, match="a sentence is text, and int was given"):
        hear(7, HEARING)  # type: ignore[arg-type]
