"""Catalogues of attributes alone, and what is true of two of their items, found without the describer's tables."""

from __future__ import annotations

import re

import numpy as np

from dialog_env.catalog import Catalog, Contents
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators.describer.phrases import category, grading, plain_name
from dialog_env.world.vocabulary import split_words

SPELLING = {"men": ("men", "men's"), "women": ("women", "women's"), "stiletto": ("stiletto", "stilettos")}


def world(table: AttributeTable, splits: dict[str, np.ndarray] | None = None) -> Catalog:
    """A catalogue with these attributes and features that say nothing."""
    ids = np.array([f"item-{index}" for index in range(len(table))], dtype=object)
    features = np.zeros((len(table), 2), dtype=np.float32)
    return Catalog(Contents("world", ids, features, attributes=table, splits=splits or {}))


def shoe_table(size: int = 400, seed: int = 0) -> AttributeTable:
    """Random shoes, some of whose attributes are unknown."""
    random = np.random.default_rng(seed)
    values = (
        ("boots", "pumps", "sneakers", "stiletto", "clogs"),
        ("black", "white", "red", "blue", "green", "silver", "tan"),
        ("leather", "suede", "canvas", "patent leather"),
        ("none", "laces", "buckle", "zipper"),
        ("none", "ankle strap", "slingback"),
        ("plain", "striped", "animal print"),
    )
    codes = np.stack([random.integers(-1, len(each), size) for each in values], axis=1).astype(np.int16)
    graded = random.random((size, 4), dtype=np.float32)
    graded[random.random((size, 4)) < 0.1] = np.nan
    return AttributeTable(
        ("high at the heel", "shiny", "open", "cosy"),
        graded,
        ("class", "colour", "material", "closure", "straps", "pattern"),
        values,
        codes,
    )


def true_phrases(table: AttributeTable, target: int, candidate: int) -> set[str]:
    """Every phrase that may be said of a pair, in the words of the phrase book, links left out."""
    phrases: set[str] = set()
    for name in table.graded_names:
        column = table.grade(name).astype(float)
        change = column[target] - column[candidate]
        if abs(change) >= 0.099:
            words = grading(name).more if change > 0 else grading(name).less
            degrees = [""]
            degrees = ["slightly", ""] if abs(change) < 0.201 else degrees
            degrees = ["much", *degrees] if abs(change) >= 0.499 else degrees
            phrases |= {_spoken(each.replace("*", degree)) for each in words for degree in degrees}
    for column, name in enumerate(table.categorical_names):
        codes = table.categorical[:, column]
        mine, other = (
            "" if codes[item] < 0 else plain_name(table.values[column][codes[item]]) for item in (target, candidate)
        )
        phrases |= _true_of_value(name, mine, other)
    return phrases


def _true_of_value(name: str, mine: str, other: str) -> set[str]:
    book = [category(name, ambiguous) for ambiguous in (False, True)]
    phrases: set[str] = set()
    if not mine or mine in ("na", "unknown"):
        return phrases
    for spoken in book:
        if mine in ("none", "no", "absent"):
            if other not in ("", mine, "na", "unknown"):
                noun = spoken.nouns.get(other, other)
                phrases |= {_spoken(words.format(noun)) for words in spoken.without}
            continue
        said = {_spoken(words.format(mine)) for words in spoken.values.get(mine, spoken.said)}
        said |= {" ".join(split_words(spoken.modifiers.get(mine, spoken.modifier.format(mine)))), mine}
        phrases |= said
        if other and other != mine:
            denied = spoken.values.get(other, (f"is {other}",))[0]
            phrases |= {f"{each} not {_spoken(denied)}" for each in said}
    return phrases - {""}


def _spoken(words: str) -> str:
    """A wording without its verb."""
    return " ".join(split_words(words)[1:])


def made_of(sentence: str, phrases: set[str]) -> bool:
    """Whether a sentence is nothing but these phrases and the words that link them."""
    links = "is|are|has|have|and|with"
    spoken = "|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))
    return bool(phrases) and re.fullmatch(rf"(?:(?:{links}|{spoken})(?: |$))+", sentence) is not None
