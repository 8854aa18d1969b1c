"""A user who says in a short sentence how two items truly differ, from their attributes alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators.describer.grammar import WORDING_HASHES, Grammar
from dialog_env.simulators.describer.language import KIND, PART, Integers, Language
from dialog_env.simulators.describer.pair_hash import below, item_hashes, pair_hashes
from dialog_env.world.vocabulary import MAX_WORDS

VERSION = 1

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
LEVELS = 51
MOST_BITS = 6.0
CAPRICE = 0.5
"""Spread, in bits, of the chance by which a person mentions this before that."""


class Describer:
    """Says how the target differs from the candidate, one to three differences, the most telling ones.

    Graded attributes are compared ("has a much higher heel"), categorical ones named ("is silver not red"); a pair
    that differs in almost everything gets a plain description of the target ("red suede boots with a buckle").
    What is unknown of either, or differs too little to be seen, is passed over. Which differences are named, and in
    what words, is chosen by what they tell (in bits, over the whole catalogue) and by a hash of the two items'
    ids and the seed: a pair gets the same sentence in every split, batch, order and device.

    Args:
        gallery: images with attributes.
        visible: names of the attributes that it speaks of; none named: those that the catalogue says can be seen in its
            pictures, and all where it does not say. `("all",)`: all, whatever the catalogue says.
        seed: another seed chooses other differences and words.
        device: where it takes and gives tensors.

    Raises:
        ValueError: a catalogue without attributes, or without one that is named.
    """

    uses_previous = False

    def __init__(
        self,
        gallery: Catalog,
        *,
        visible: Sequence[str] = (),
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        table, whole = gallery.attributes, gallery.split("all").attributes
        if table is None or whole is None:
            raise ValueError(
                f"catalogue {gallery.name!r} has no attributes to describe; build it from a source that "
                "has some, or use a captioner as the user"
            )
        spoken = _spoken(visible, gallery)
        if spoken is not None:
            table, whole = (_only(each, spoken, gallery) for each in (table, whole))
        language = Language(table)
        self.device = torch.device(device)
        self.gallery_fingerprint = gallery.fingerprint
        self.vocabulary = language.vocabulary
        self.id = f"describer-{VERSION}:{_digest(language, whole, seed)}"
        self._grammar = Grammar(language, self.device)
        self._graded_count, self._kind = language.graded_count, language.kind

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        self._hashes = item_hashes(gallery.ids, seed).to(self.device)
        self._grades, self._codes = tensor(_grades(table)), tensor(language.codes(table))
        self._graded_bits = tensor(_graded_bits(language, _grades(whole)))
        self._value_bits = tensor(_value_bits(language, language.codes(whole)))
        self._first, self._without = tensor(language.first), tensor(language.without)
        self._absent, self._contrast = tensor(language.absent), tensor(language.contrast)
        self._shares_topic = tensor(language.shares_topic)
        stands_bare = (language.modifier > 0) | np.isin(language.parts, (PART, KIND)).all(axis=1)
        self._stands_bare = tensor(stands_bare)
        self._caprice = tensor(_gumbel_quantiles())

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of how targets (B,) differ from candidates (B,); `previous` plays no part."""
        streams = WORDING_HASHES + 1 + len(self._first)
        hashes = pair_hashes(self._hashes[targets], self._hashes[candidates], streams)
        can_say, scores, describing = self._weigh(targets, candidates, hashes[:, WORDING_HASHES + 1 :])
        percent = below(hashes[:, WORDING_HASHES], 100)
        wanted = 1 + (percent >= ONE_STATEMENT).long() + (percent >= ONE_STATEMENT + TWO_STATEMENTS).long()
        wanted = torch.where(describing, STATEMENTS, wanted)
        chosen, count = self._choose(can_say, scores, wanted)
        denials = self._denials(candidates, can_say).gather(1, chosen)
        said = self._grammar.sentences(
            can_say.gather(1, chosen), denials, count, describing, hashes[:, :WORDING_HASHES]
        )
        return torch.where((targets == candidates)[:, None], self._grammar.same(), said)

    def sentences(self, targets: Tensor, candidates: Tensor) -> list[str]:
        """The feedback on candidates (B,) as text."""
        tokens = self.feedback(targets, candidates, torch.full_like(targets, -1))
        return self.vocabulary.decode(tokens.cpu())

    def _weigh(self, targets: Tensor, candidates: Tensor, hashes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What can be said of each attribute (B, A), how telling it is (-1: not said), which are described (B,)."""
        grade, shown = self._grades[targets], self._grades[candidates]  # (B, G)
        change = grade - shown
        size = change.abs()
        both = (grade >= 0) & (shown >= 0)
        differs = both & (size >= NOTICEABLE)
        relation = 3 * (change > 0).long() + (size >= CLEAR).long() + (size >= LARGE).long()
        columns = torch.arange(self._graded_count, device=self.device)
        level = shown.clamp(min=0) * (LEVELS - 1) // SCALE
        telling = self._graded_bits[columns, level, relation] * size.clamp(max=STRIKING) // STRIKING

        value, other = self._codes[targets], self._codes[candidates]  # (B, K)
        known = (value >= 0) & (other >= 0)
        unlike = known & (value != other)
        lacks = value == self._absent
        named = self._first[self._graded_count :] + value.clamp(min=0)
        named = torch.where(lacks & unlike, self._without + other, named)

        told, comparable = differs.sum(1) + unlike.sum(1), both.sum(1) + known.sum(1)
        describing = (told * 100 >= comparable * DIFFER_IN_ALMOST_ALL) & (comparable > STATEMENTS)
        describing &= value[:, self._kind] >= 0 if self._kind >= 0 else False
        describable = (value >= 0) & ~lacks & self._stands_bare[named]
        named_bits = self._value_bits[named]
        if self._kind >= 0:
            named_bits[:, self._kind] += describing * (10 * SCALE * int(MOST_BITS))

        can_say = torch.cat([self._first[: self._graded_count] + relation, named], dim=1)
        caprice = self._caprice[below(hashes, len(self._caprice))]
        scores = (torch.cat([telling, named_bits], dim=1) + caprice).clamp(min=0)
        eligible = torch.cat(
            [differs & ~describing[:, None], torch.where(describing[:, None], describable, unlike)], dim=1
        )
        return can_say, torch.where(eligible, scores, -1), describing

    def _choose(self, can_say: Tensor, scores: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The attributes (B, 3) that a sentence speaks of, the most telling first, and their number (B,)."""
        columns = scores.shape[1]
        # The column in the score makes every maximum unique, so that no device breaks ties its own way.
        scores = torch.where(scores >= 0, scores * columns + torch.arange(columns, device=self.device), -1)
        count, words = torch.zeros_like(wanted), torch.zeros_like(wanted)
        chosen = []
        for position in range(STATEMENTS):
            best = scores.amax(dim=1)
            attribute = best.clamp(min=0) % columns
            words = words + self._grammar.cost[can_say.gather(1, attribute[:, None])[:, 0]]
            count += (best >= 0) & (words <= MAX_WORDS) & (position < wanted) & (count == position)
            chosen.append(attribute)
            scores = torch.where(self._shares_topic[attribute], -1, scores)
        return torch.stack(chosen, dim=1), count

    def _denials(self, candidates: Tensor, can_say: Tensor) -> Tensor:
        """Phrases (B, A) that deny what the candidate is, 0 where the target just has none of it."""
        first = self._first[self._graded_count :]
        shown = self._contrast[first + self._codes[candidates].clamp(min=0)]
        named = can_say[:, self._graded_count :]
        shown = torch.where(named >= self._without, 0, shown)
        return torch.cat([torch.zeros_like(can_say[:, : self._graded_count]), shown], dim=1)


def _spoken(visible: Sequence[str], gallery: Catalog) -> tuple[str, ...] | None:
    """Names of the attributes that are spoken of; None for all."""
    named = (visible,) if isinstance(visible, str) else tuple(visible)
    if named == ("all",):
        return None
    return named or gallery.visible


def _only(table: AttributeTable, names: tuple[str, ...], gallery: Catalog) -> AttributeTable:
    try:
        return table.only(names)
    except KeyError as error:
        raise ValueError(f"catalogue {gallery.name!r} has {error.args[0]}; name some of these as visible") from error


def _grades(table: AttributeTable) -> Integers:
    """(N, G) grades in thousandths, -1 where unknown."""
    known = np.isfinite(table.graded)
    return np.where(known, np.rint(np.where(known, table.graded, 0.0) * SCALE), -1).astype(np.int64)


def _graded_bits(language: Language, grades: Integers) -> Integers:
    """(G, LEVELS, 6) thousandths of bits that a relation to a candidate of that grade tells about a target."""
    bits = np.zeros((grades.shape[1], LEVELS, 6), dtype=np.int64)
    levels = np.linspace(0, SCALE, LEVELS)
    edges = np.array([NOTICEABLE, CLEAR, LARGE, 2 * SCALE])
    for column in range(grades.shape[1]):
        known = np.sort(grades[grades[:, column] >= 0, column])
        above = len(known) - np.searchsorted(known, levels[:, None] + edges)
        below_ = np.searchsorted(known, levels[:, None] - edges, side="right")
        counts = np.concatenate([-np.diff(below_, axis=1), -np.diff(above, axis=1)], axis=1)
        bits[column] = _bits(counts, len(known)) * language.weights[column] // 100
    return bits


def _value_bits(language: Language, codes: Integers) -> Integers:
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


def _gumbel_quantiles() -> Integers:
    """(256,) thousandths of bits, equally likely."""
    return np.rint(-np.log(-np.log((np.arange(256) + 0.5) / 256)) * CAPRICE * SCALE).astype(np.int64)


def _digest(language: Language, whole: AttributeTable, seed: int) -> str:
    """Changes with the words, the seed, and all that the choice among them is made by."""
    digest = hashlib.sha256(repr((seed, language.text)).encode())
    tables = [language.wordings, language.parts, language.modifier, language.contrast, language.order]
    tables += [language.links, language.weights, language.shares_topic, _grades(whole), language.codes(whole)]
    for table in tables:
        digest.update(table.tobytes())
    return digest.hexdigest()[:12]
