"""What words mean that are not in a vocabulary."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dialog_env.world.colours import nearest_colour
from dialog_env.world.hearing import Hearing, hearing
from dialog_env.world.vocabulary import Vocabulary
from tests.catalog.encoders import write_sentence_encoder

COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")
SHOES = Vocabulary((*COLOURS, "buckle", "bright", "duller", "heel", "shoes", "sneakers", "thin", "toe", "UNK"))


@pytest.mark.parametrize(
    ("word", "colour"),
    [("navy", "blue"), ("crimson", "red"), ("olive", "green"), ("lavender", "purple"), ("charcoal", "grey")],
)
def test_a_colour_is_the_known_one_that_it_looks_most_like(word: str, colour: str) -> None:
    assert nearest_colour(word, COLOURS) == colour
    assert Hearing(SHOES).meaning(word) == colour


def test_what_is_no_colour_is_none_and_none_is_found_where_none_is_known() -> None:
    assert nearest_colour("heel", COLOURS) is None
    assert nearest_colour("navy", ("heel", "toe")) is None


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("heel", "heel"),
        ("buckel", "buckle"),
        ("brigt", "bright"),
        ("brrght", "bright"),
        ("sneekerrs", "sneakers"),
        ("shooes", "shoes"),
        ("snaekr", None),
        ("this", None),
        ("think", None),
        ("uckle", None),
        ("UNK", None),
        ("b" * 25, None),
    ],
)
def test_slips_of_spelling_are_mended_in_words_that_are_long_enough(word: str, meant: str | None) -> None:
    assert Hearing(SHOES).meaning(word) == meant


def test_without_mending_known_words_alone_mean_something() -> None:
    exact = Hearing(SHOES, mends=False)
    assert exact.meanings(["navy", "buckel", "red"]) == {"red": "red"}
    assert hearing("exact", SHOES).id == exact.id
    assert hearing("mended", SHOES).meanings(["navy", "odd", "red"]) == {"navy": "blue", "red": "red"}


def test_an_encoder_takes_words_for_the_nearest_in_meaning(tmp_path: Path) -> None:
    folder = write_sentence_encoder(tmp_path / "encoder")
    known = Vocabulary(("pump", "sandal", "UNK"))
    hears = hearing(str(folder), known)
    assert hears.meaning("pump") == "pump"
    # The pieces of "pumps" are those of "pump" and one more, so that the two vectors are near each other.
    assert hears.meaning("pumps") in ("pump", None)
    assert hears.id != Hearing(known).id
    assert hears.id != hearing(str(write_sentence_encoder(tmp_path / "other", seed=1)), known).id


def test_what_is_no_way_of_hearing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither exact nor mended, and no folder"):
        hearing(str(tmp_path / "missing"), SHOES)
    with pytest.raises(FileNotFoundError, match="is no sentence encoder"):
        hearing(str(tmp_path), SHOES)


ENCODER = Path(os.environ.get("DIALOG_RETRIEVAL_DATA", "../shared")) / "models" / "minilm"


@pytest.mark.skipif(not ENCODER.exists(), reason=f"no sentence encoder in {ENCODER}")
def test_a_real_encoder_knows_words_alike_and_leaves_comparatives_and_whole_words_alone() -> None:
    hears = hearing(str(ENCODER), SHOES)
    meant = {"sandals": "shoes", "gray": "grey", "dull": "duller", "navy": "blue", "sneekers": "sneakers"}
    assert hears.meanings([*meant, "darker", "please", "thank", "thing"]) == meant
