"""What the describer knows before it is asked: of every image, and of what statements tell."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators.describer.language import KIND, PART, Integers, Language

STATEMENTS = 3
ONE_STATEMENT, TWO_STATEMENTS = 25, 57
"""Percent of sentences that name one and two differences; the others name three."""
DIFFER_IN_ALMOST_ALL = 90
"""Percent of the known attributes in which a pair must differ for the target to be plainly described."""

SCALE = 1000
"""Grades and bits are counted in whole thousandths, so that every device chooses alike."""
NOTICEABLE, CLEAR, LARGE = 100, 200, 500
"""Smallest differences of a grade that are spoken of, that are more than slight, and that are much."""
STRIKING = 300
"""From this difference on a grade is as eye-catching as a category."""
LEVELS, RELATIONS = 51, 6
MOST_BITS = 6.0
CAPRICE = 0.5
"""Spread, in bits, of the chance by which a person mentions this before that."""


def sizes(language: Language) -> tuple[list[int], list[int]]:
    """Columns of the parts of the two tables of `items`."""
    graded, columns = language.graded_count, len(language.first)
    return [columns, columns - graded, columns - graded, columns], [columns, graded, columns - graded, columns]


def items(language: Language, grades: Integers, codes: Integers) -> tuple[Integers, Integers]:
    """What is known of each image (N, …) before it meets another: as the target, and as the candidate.

    As the target: grades and codes (A); for each categorical attribute the statement that names its value and whether
    it is a lack (K, K); where it may be described by it (A). As the candidate: grades and codes (A); where in
    the table of bits its grades are (G); for each categorical attribute the statement that a target has none of it (K);
    phrases that deny what it is (A).
    """
    graded = language.graded_count
    values = codes.clip(min=0)
    named = language.first[graded:] + values
    lacking = codes == language.absent
    stands_bare = (language.modifier > 0) | np.isin(language.parts, (PART, KIND)).all(axis=1)
    nothing = np.zeros_like(grades)
    described = np.concatenate([nothing, (codes >= 0) & ~lacking & stands_bare[named]], axis=1)
    levels = grades.clip(min=0) * (LEVELS - 1) // SCALE
    bits = (np.arange(graded) * LEVELS + levels) * RELATIONS
    denials = np.concatenate([nothing, language.contrast[named]], axis=1)
    told = np.concatenate([grades, codes], axis=1)
    return (
        np.concatenate([told, named, lacking.astype(np.int64), described.astype(np.int64)], axis=1),
        np.concatenate([told, bits, language.without + codes, denials], axis=1),
    )


def noticeable(language: Language) -> Integers:
    """(A,) smallest differences that are spoken of: of grades, and of codes, any."""
    graded = language.graded_count
    return np.repeat(np.array([NOTICEABLE, 1]), [graded, len(language.first) - graded])


def statements_by_percent() -> Integers:
    """(100,) how many statements the sentences make."""
    percent = np.arange(100)
    return 1 + (percent >= ONE_STATEMENT).astype(np.int64) + (percent >= ONE_STATEMENT + TWO_STATEMENTS)


def relations() -> Integers:
    """(2003,) relation, 0 to 2 less and 3 to 5 more, by the change of a grade; negative changes count from the end."""
    most = SCALE + 1
    change = np.concatenate([np.arange(most + 1), np.arange(-most, 0)])
    size = np.abs(change)
    return RELATIONS // 2 * (change > 0).astype(np.int64) + (size >= CLEAR) + (size >= LARGE)


def grades(table: AttributeTable) -> Integers:
    """(N, G) grades in thousandths, -1 where unknown."""
    known = np.isfinite(table.graded)
    return np.where(known, np.rint(np.where(known, table.graded, 0.0) * SCALE), -1).astype(np.int64)


def graded_bits(language: Language, grades: Integers) -> Integers:
    """(G, LEVELS, 6) thousandths of bits that a relation to a candidate of that grade tells about a target."""
    bits = np.zeros((grades.shape[1], LEVELS, RELATIONS), dtype=np.int64)
    levels = np.linspace(0, SCALE, LEVELS)
    edges = np.array([NOTICEABLE, CLEAR, LARGE, 2 * SCALE])
    for column in range(grades.shape[1]):
        known = np.sort(grades[grades[:, column] >= 0, column])
        above = len(known) - np.searchsorted(known, levels[:, None] + edges)
        below_ = np.searchsorted(known, levels[:, None] - edges, side="right")
        counts = np.concatenate([-np.diff(below_, axis=1), -np.diff(above, axis=1)], axis=1)
        bits[column] = _bits(counts, len(known)) * language.weights[column] // 100
    return bits


def value_bits(language: Language, codes: Integers) -> Integers:
    """(S,) thousandths of bits that the statement of a categorical value tells about a target."""
    bits = np.zeros(len(language.order), dtype=np.int64)
    for column in range(codes.shape[1]):
        first, without = int(language.first[language.graded_count + column]), int(language.without[column])
        values = without - first
        known = codes[codes[:, column] >= 0, column]
        told = _bits(np.bincount(known, minlength=values)[:values], len(known))
        told = told * language.weights[language.graded_count + column] // 100
        bits[first:without] = told
        if language.absent[column] >= 0:
            bits[without : without + values] = told[language.absent[column]]
    return bits


def _bits(counts: NDArray[np.int64], total: int) -> Integers:
    bits = -np.log2((counts + 1) / (total + 1))
    return np.rint(np.minimum(bits, MOST_BITS) * SCALE).astype(np.int64)


def gumbel_quantiles() -> Integers:
    """(256,) thousandths of bits, equally likely."""
    return np.rint(-np.log(-np.log((np.arange(256) + 0.5) / 256)) * CAPRICE * SCALE).astype(np.int64)


def digest(language: Language, whole: AttributeTable, seed: int) -> str:
    """Changes with the words, the seed, and all that the choice among them is made by."""
    digest = hashlib.sha256(repr((seed, language.text)).encode())
    tables = [language.wordings, language.parts, language.modifier, language.contrast, language.order]
    tables += [language.links, language.weights, language.shares_topic, grades(whole), language.codes(whole)]
    for table in tables:
        digest.update(table.tobytes())
    return digest.hexdigest()[:12]
