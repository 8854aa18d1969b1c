"""The drawn catalogue: deterministic, varied, and showing each of its attributes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from dialog_env.catalog.attributes import RELATIVE_ATTRIBUTES
from dialog_env.catalog.synthetic import Shoe, attribute_table, draw, render, sample, splits, table_of
from dialog_env.catalog.synthetic.kinds import KINDS
from dialog_env.catalog.synthetic.shoe import CATEGORIES, CLASSES

GOLDEN_PICTURES = "387d3dc7a3c1311cfdfe4f60f24018a267795bdea0d8c31342d388174af6cba4"
GOLDEN_ATTRIBUTES = "2eaacf3c14f062ab47cd98454c93d726d6b1f4df2895dcb448a46cd48f9500c1"


def shoe_of(kind: str, **changes: object) -> Shoe:
    """The first shoe of a class, bare of everything that could hide a change."""
    index = next(index for index in range(1000) if sample(1, index).kind == kind)
    plain = {
        "accent": "none",
        "pattern": "plain",
        "straps": "none",
        "closure": "none",
        "ornament": "none",
        "ornaments": 0.0,
        "material": "leather",
    }
    return replace(sample(1, index), **(plain | changes))


def difference(first: Shoe, second: Shoe) -> int:
    """How many pixels of two pictures differ clearly."""
    gap = np.abs(render(first).astype(int) - render(second).astype(int)).max(axis=2)
    return int((gap > 20).sum())


def test_pictures_and_attributes_are_the_recorded_ones() -> None:
    pictures = np.stack([draw(seed, index) for seed, index in ((0, 0), (0, 1), (0, 17), (3, 2), (12, 3999))])
    table = attribute_table(0, 32)
    rows = np.rint(table.graded * 10_000).astype(np.int32).tobytes() + table.categorical.tobytes()
    assert hashlib.sha256(pictures.tobytes()).hexdigest() == GOLDEN_PICTURES
    assert hashlib.sha256(rows).hexdigest() == GOLDEN_ATTRIBUTES


def test_a_picture_is_rgb_on_white_at_any_size() -> None:
    for size in (48, 96, 256):
        picture = draw(0, 5, size)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8
        assert (picture[0] == 255).all()
        drawn = (picture < 250).any(axis=2).mean()
        assert 0.05 < drawn < 0.7


def test_a_larger_picture_shows_the_same_shoe() -> None:
    small, large = draw(0, 9, 96).astype(float), draw(0, 9, 192).astype(float)
    reduced = large.reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - reduced).mean() < 4


def test_a_longer_catalogue_extends_a_shorter_one() -> None:
    short, long = attribute_table(4, 20), attribute_table(4, 50)
    np.testing.assert_array_equal(short.graded, long.graded[:20])
    np.testing.assert_array_equal(short.categorical, long.categorical[:20])


def test_another_seed_gives_other_shoes() -> None:
    assert (attribute_table(0, 50).graded != attribute_table(1, 50).graded).any(axis=1).all()


def test_drawing_does_not_depend_on_what_was_drawn_before() -> None:
    first = draw(2, 7)
    for index in range(5):
        draw(9, index, 64)
    np.testing.assert_array_equal(first, draw(2, 7))


def test_the_table_holds_the_relative_attributes_and_every_category() -> None:
    table = attribute_table(0, 600)
    assert table.graded_names == RELATIVE_ATTRIBUTES
    assert dict(zip(table.categorical_names, table.values, strict=True)) == CATEGORIES
    assert not np.isnan(table.graded).any()
    assert (np.ptp(table.graded, axis=0) > 0.75).all()
    for name in table.categorical_names:
        assert set(table.codes(name).tolist()) == set(range(len(CATEGORIES[name])))


def test_attributes_agree_with_each_other() -> None:
    for index in range(400):
        shoe = sample(6, index)
        assert (shoe.ornament == "none") == (shoe.ornaments == 0)
        assert shoe.pattern == "plain" or shoe.accent != "none"
        assert shoe.accent != shoe.colour
        assert shoe.closure != "buckle" or shoe.straps != "none"
        assert shoe.straps != "slingback" or shoe.backless


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"colour": "red"}, {"colour": "green"}),
        ({"accent": "none"}, {"accent": "yellow"}),
        ({"material": "leather", "shine": 0.4}, {"material": "suede", "shine": 0.4}),
        ({"material": "leather"}, {"material": "canvas"}),
        ({"shine": 0.05}, {"shine": 0.95}),
        ({"pointy": 0.0}, {"pointy": 1.0}),
        ({"heel": "block", "heel_height": 0.2}, {"heel": "block", "heel_height": 0.6}),
        ({"sole": 0.1}, {"sole": 0.9}),
        ({"ornament": "bow", "ornaments": 0.2}, {"ornament": "bow", "ornaments": 0.9}),
        ({"ornament": "studs", "ornaments": 0.2}, {"ornament": "studs", "ornaments": 0.9}),
        ({}, {"ornament": "flower", "ornaments": 0.6}),
        ({}, {"ornament": "rhinestones", "ornaments": 0.6}),
        ({}, {"ornament": "fringe", "ornaments": 0.6}),
        ({"sport": 0.0}, {"sport": 0.9}),
        ({"grace": 0.0, "accent": "white"}, {"grace": 1.0, "accent": "white"}),
        ({"closure": "none"}, {"closure": "zipper", "backless": False}),
    ],
    ids=lambda change: ",".join(f"{name}={value}" for name, value in change.items()) or "plain",
)
def test_a_change_of_one_attribute_shows(kind: str, before: dict[str, object], after: dict[str, object]) -> None:
    common = {"colour": "blue", "pointy": 0.3, "toe_opening": 0.0, "backless": False}
    assert difference(shoe_of(kind, **(common | before)), shoe_of(kind, **(common | after))) >= 12


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("pattern", CATEGORIES["pattern"][1:])
def test_a_print_shows_in_the_accent_colour(kind: str, pattern: str) -> None:
    plain = shoe_of(kind, colour="blue", accent="yellow")
    assert difference(plain, replace(plain, pattern=pattern)) > 60


@pytest.mark.parametrize("kind", CLASSES)
def test_straps_closures_and_heels_of_the_class_are_told_apart(kind: str) -> None:
    weights = KINDS[kind]
    bare = shoe_of(kind, colour="red", heel_height=0.3, toe_opening=0.0, backless=False)
    for field, values in (("straps", weights.straps), ("heel", weights.heels)):
        pictures = [replace(bare, **{field: value}) for value in values]
        for place, first in enumerate(pictures):
            assert all(difference(first, second) >= 12 for second in pictures[place + 1 :])
    strapped = replace(bare, straps=max(weights.straps, key=lambda strap: strap != "none"))
    for closure in set(weights.closures) - {"none"}:
        base = strapped if closure == "buckle" or (closure == "velcro" and strapped.straps != "none") else bare
        assert difference(base, replace(base, closure=closure)) >= 12


@pytest.mark.parametrize("kind", ["flats", "pumps", "high heels", "wedding shoes"])
@pytest.mark.parametrize("change", [{"toe_opening": 0.8}, {"cut": 1.0}, {"backless": True}])
def test_openness_shows_and_is_graded(kind: str, change: dict[str, object]) -> None:
    closed = shoe_of(kind, toe_opening=0.0, cut=0.0, backless=False)
    opened = replace(closed, **change)
    grades = table_of([closed, opened]).grade("open")
    assert grades[1] > grades[0] + 0.1
    assert difference(closed, opened) > 20


@pytest.mark.parametrize(
    ("kind", "change", "name"),
    [
        ("boots", {"shaft": 0.9}, "long on the leg"),
        ("pumps", {"heel_height": 0.9}, "high at the heel"),
        ("flats", {"pointy": 1.0}, "pointy at the front"),
        ("pumps", {"dress": 1.0}, "formal"),
        ("sneakers", {"sport": 1.0}, "sporty"),
        ("flats", {"grace": 1.0}, "feminine"),
        ("clogs", {"shine": 1.0}, "shiny"),
        ("rain boots", {"colour": "yellow", "shade": 0.5}, "bright in colour"),
    ],
)
def test_a_grade_follows_what_is_drawn(kind: str, change: dict[str, object], name: str) -> None:
    low = {"shaft": 0.3, "heel_height": 0.3, "pointy": 0.1, "dress": 0.0, "sport": 0.1, "grace": 0.0, "shine": 0.1}
    before = shoe_of(kind, colour="brown", toe_opening=0.0, **low)
    after = replace(before, **change)
    grades = table_of([before, after]).grade(name)
    assert grades[1] > grades[0] + 0.1
    assert difference(before, after) >= 12


@pytest.mark.slow
def test_four_thousand_shoes_are_distinguishable() -> None:
    table = attribute_table(0, 4000)
    coarse = np.concatenate([table.categorical, np.minimum(table.graded * 4, 3).astype(np.int16)], axis=1)
    assert len(np.unique(coarse, axis=0)) > 3850
    pictures = np.stack([draw(0, index, 32) for index in range(4000)]).reshape(4000, -1).astype(np.float32) / 255
    square = (pictures * pictures).sum(axis=1)
    distance = square[:, None] + square[None] - 2 * pictures @ pictures.T
    np.fill_diagonal(distance, np.inf)
    assert np.sqrt(np.maximum(distance.min(), 0) / pictures.shape[1]) > 0.01


def test_splits_cover_every_shoe_once() -> None:
    parts = splits(4000)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 2500, "validation": 500, "test": 1000}
    np.testing.assert_array_equal(np.concatenate(list(parts.values())), np.arange(4000))
    assert all(len(rows) for rows in splits(8).values())


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_a_shoe_that_does_not_exist_is_refused(seed: int, index: int) -> None:
    with pytest.raises(ValueError, match="start at 0"):
        sample(seed, index)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="16 or more"):
        draw(0, 0, 8)
    with pytest.raises(ValueError, match="0 or more"):
        attribute_table(0, -1)
    with pytest.raises(ValueError, match="8 or more"):
        splits(7)
