"""The describer's phrase book: how attributes of each name are put into words.

A wording begins with "is" or "has". In those of graded attributes `*` is where "slightly" or "much" goes; in those of
categorical ones `{}` is the value. Attributes that are not in the book are spoken of by their own name and values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dialog_env.world.vocabulary import split_words

Wordings = tuple[str, ...]

SAME = "this is the one"
ALIKE = "looks almost the same"
NAME_WORDS = 5
DEGREES = ("slightly", "", "much")
ABSENT = ("none", "no", "absent")
UNKNOWN_VALUES = ("na", "n a", "unknown")


@dataclass(frozen=True)
class Grading:
    """How more and less of a graded attribute are said.

    Args:
        more, less: wordings for a target that has more or less of it than the candidate.
        topic: attributes of one topic do not meet in a sentence.
        weight: how eye-catching a difference is, in percent.
    """

    more: Wordings
    less: Wordings
    topic: str = ""
    weight: int = 110


@dataclass(frozen=True)
class Category:
    """How the values of a categorical attribute are said.

    Args:
        said: wordings of a value `{}`.
        modifier: what of it can stand before a kind ("{} boots"); empty where nothing can.
        values: wordings of values that need their own.
        modifiers: modifiers of values that need their own.
        nouns: values as they are named in `without`, where that is another word.
        without: wordings for a target that has none, `{}` being what the candidate has.
        stacks: whether it joins others without "and", as in "is red suede".
        order: place among the modifiers before a kind.
        kind: rank among the attributes that say what an item is (1 is the finest); 0 says something else.
        topic: attributes of one topic do not meet in a sentence.
        weight: how eye-catching a difference is, in percent.
    """

    said: Wordings = ("is {}",)
    modifier: str = ""
    values: Mapping[str, Wordings] = field(default_factory=dict)
    modifiers: Mapping[str, str] = field(default_factory=dict)
    nouns: Mapping[str, str] = field(default_factory=dict)
    without: Wordings = ("is not {}",)
    stacks: bool = False
    order: int = 0
    kind: int = 0
    topic: str = ""
    weight: int = 100


GRADINGS: dict[str, Grading] = {
    "pointy at the front": Grading(
        ("has a * pointier toe", "is * pointier", "is * more pointed at the front"),
        ("has a * rounder toe", "is * less pointy", "is * less pointed at the front"),
    ),
    "open": Grading(("is * more open",), ("is * less open", "is * more closed")),
    "bright in colour": Grading(
        ("is * brighter", "is * brighter in colour", "has a * brighter colour"),
        ("is * less bright", "is * less bright in colour", "has a * duller colour"),
    ),
    "covered with ornaments": Grading(
        ("is * more ornate", "is * more decorated"), ("is * less ornate", "is * less decorated"), "ornament"
    ),
    "shiny": Grading(("is * shinier", "is * more shiny"), ("is * less shiny", "is * more matte")),
    "high at the heel": Grading(
        ("has a * higher heel", "has a * higher heel", "is * higher at the heel"),
        ("has a * lower heel", "has a * lower heel", "is * lower at the heel"),
        "heel",
    ),
    "long on the leg": Grading(("is * taller", "is * longer on the leg"), ("is * shorter", "is * shorter on the leg")),
    "formal": Grading(("is * more formal", "is * dressier"), ("is * less formal", "is * less dressy"), "use"),
    "sporty": Grading(("is * sportier", "is * more athletic"), ("is * less sporty", "is * less athletic")),
    "feminine": Grading(("is * more feminine",), ("is * less feminine",)),
}

_COLOUR = Category(modifier="{}", values={"multi": ("is multicoloured",)}, stacks=True, order=4, weight=120)
_ACCENT = Category(said=("has {} accents", "has {} trim"), without=("has no {} accents", "has no accents"), weight=60)

CATEGORIES: dict[str, Category] = {
    "class": Category(values={"stiletto": ("is stilettos",)}, kind=1, topic="kind"),
    "article type": Category(kind=2, topic="kind"),
    "type": Category(kind=3, topic="kind"),
    "sub category": Category(kind=4, topic="kind"),
    "category": Category(kind=5, topic="kind"),
    "master category": Category(kind=6, topic="kind"),
    "colour": _COLOUR,
    "color": _COLOUR,
    "base colour": _COLOUR,
    "base color": _COLOUR,
    "accent": _ACCENT,
    "accent colour": _ACCENT,
    "material": Category(modifier="{}", stacks=True, order=5),
    "pattern": Category(
        modifier="{}",
        values={
            "plain": ("is plain", "has no pattern"),
            "striped": ("is striped", "has stripes"),
            "dotted": ("is dotted", "has dots"),
            "checked": ("is checked", "has checks"),
            "animal print": ("is animal print", "has an animal print"),
        },
        stacks=True,
        order=3,
    ),
    "straps": Category(
        said=("has {}",),
        values={
            "ankle strap": ("has an ankle strap",),
            "t-strap": ("has a t-strap",),
            "slingback": ("has a slingback strap",),
            "mary jane strap": ("has a mary jane strap",),
        },
        nouns={"slingback": "slingback strap"},
        without=("has no {}", "has no straps"),
    ),
    "closure": Category(
        said=("has {}",),
        values={"buckle": ("has a buckle",), "zipper": ("has a zipper",)},
        without=("has no {}",),
    ),
    "heel": Category(
        said=("has a {} heel",),
        values={"flat": ("has a flat heel", "is flat")},
        topic="heel",
    ),
    "ornament": Category(
        said=("has {}",),
        values={
            "bow": ("has a bow",),
            "flower": ("has a flower",),
            "fringe": ("has a fringe", "has fringes"),
        },
        without=("has no {}",),
        topic="ornament",
    ),
    "gender": Category(
        said=("is for {}",),
        modifier="{}",
        values={"unisex": ("is unisex", "is for men and women")},
        modifiers={"men": "men's", "women": "women's"},
        order=1,
    ),
    "usage": Category(
        values={"sports": ("is for sports",), "party": ("is for parties",), "travel": ("is for travel",)},
        topic="kind",
        order=2,
    ),
    "brand": Category(said=("is by {}", "is from {}"), modifier="{}", order=6, weight=40),
}


def plain_name(name: str) -> str:
    """A name in at most five small words: "baseColour" and "base_colour" become "base colour"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")
    return " ".join(split_words(apart)[:NAME_WORDS])


def grading(name: str) -> Grading:
    """How a graded attribute is spoken of; by its own name where the book has none."""
    plain = plain_name(name)
    return GRADINGS.get(plain, Grading((f"is * more {plain}",), (f"is * less {plain}",)))


def category(name: str, ambiguous: bool = False) -> Category:
    """How a categorical attribute is spoken of.

    Args:
        name: the attribute.
        ambiguous: another attribute has a value of the same name, so that an attribute that is not in the book
            must be named: "has red lining" instead of "is red".
    """
    plain = plain_name(name)
    if plain in CATEGORIES:
        return CATEGORIES[plain]
    if ambiguous:
        return Category(said=(f"has {{}} {plain}",), without=(f"has no {{}} {plain}",))
    return Category()
