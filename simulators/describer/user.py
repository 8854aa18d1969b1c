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
from dialog_env.simulators.describer.grammar import WORDING_DRAWS, Grammar
from dialog_env.simulators.describer.language import KIND, PART, Integers, Language
from dialog_env.simulators.describer.pair_hash import PairHashes, below
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
LEVELS, RELATIONS = 51, 6
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
        self._kind = language.kind
        columns = len(language.first)
        self._target_sizes, self._candidate_sizes = _sizes(language)

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        self._targets, self._candidates = map(tensor, _items(language, _grades(table), language.codes(table)))
        caprice = _gumbel_quantiles()
        outcomes = [*self._grammar.outcomes, 100, *[len(caprice)] * columns]
        self._outcomes = torch.tensor(outcomes, device=self.device)
        self._hashes = PairHashes(gallery.ids, seed, len(outcomes), self.device)
        self._caprice, self._statements_by_percent = tensor(caprice), tensor(_statements_by_percent())
        self._noticeable = tensor(np.repeat([NOTICEABLE, 1], [language.graded_count, columns - language.graded_count]))
        self._relations = tensor(_relations())
        self._graded_bits = tensor(_graded_bits(language, _grades(whole)).reshape(-1))
        self._value_bits = tensor(_value_bits(language, language.codes(whole)))
        self._first = tensor(language.first[: language.graded_count])
        self._shares_topic = tensor(language.shares_topic)
        self._columns = torch.arange(columns, device=self.device)
        self._rounds = torch.arange(STATEMENTS, device=self.device)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of how targets (B,) differ from candidates (B,); `previous` plays no part."""
        with torch.inference_mode():
            said = self._said(targets, candidates)
        return said.clone()  # Anyone's to compute with.

    def _said(self, targets: Tensor, candidates: Tensor) -> Tensor:
        draws = below(self._hashes(targets, candidates), self._outcomes)
        wording, percent, caprice = draws.split([WORDING_DRAWS, 1, len(self._columns)], dim=1)
        can_say, scores, denials, describing = self._weigh(targets, candidates, self._caprice[caprice])
        wanted = torch.where(describing[:, None], STATEMENTS, self._statements_by_percent[percent])
        chosen, best = self._choose(scores)
        statements = can_say.gather(1, chosen)
        words = self._grammar.cost[statements].cumsum(dim=1)
        said = (best >= 0) & (words <= MAX_WORDS) & (self._rounds < wanted)
        count = said.cumprod(dim=1).sum(dim=1)
        told = self._grammar.sentences(statements, denials.gather(1, chosen), count, describing, wording)
        return torch.where((targets == candidates)[:, None], self._grammar.same, told)

    def sentences(self, targets: Tensor, candidates: Tensor) -> list[str]:
        """The feedback on candidates (B,) as text."""
        tokens = self.feedback(targets, candidates, torch.full_like(targets, -1))
        return self.vocabulary.decode(tokens.cpu())

    def _weigh(self, targets: Tensor, candidates: Tensor, caprice: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What can be said of each attribute, how telling it is (-1: not said), how it may be denied; who is described.

        The first three (B, A), the last (B,) bool.
        """
        mine, named, lacking, describable = self._targets[targets].split(self._target_sizes, dim=1)
        other, bits, without, denials = self._candidates[candidates].split(self._candidate_sizes, dim=1)
        graded = bits.shape[1]
        known = torch.minimum(mine, other) >= 0
        change = mine - other
        size = change.abs()
        differs = known & (size >= self._noticeable)
        relation = self._relations[change[:, :graded]]
        telling = self._graded_bits[bits + relation] * size[:, :graded].clamp(max=STRIKING) // STRIKING

        lacks = differs[:, graded:] & (lacking > 0)
        named = torch.where(lacks, without, named)
        denials = torch.cat([denials[:, :graded], torch.where(lacks, 0, denials[:, graded:])], dim=1)

        told, comparable = differs.sum(dim=1), known.sum(dim=1)
        describing = (told * 100 >= comparable * DIFFER_IN_ALMOST_ALL) & (comparable > STATEMENTS)
        named_bits = self._value_bits[named]
        if self._kind >= 0:
            describing &= mine[:, graded + self._kind] >= 0
            named_bits[:, self._kind] += describing * (10 * SCALE * int(MOST_BITS))
        else:
            describing = torch.zeros_like(describing)

        can_say = torch.cat([self._first + relation, named], dim=1)
        scores = (torch.cat([telling, named_bits], dim=1) + caprice).clamp(min=0)
        # The column in the score makes every maximum unique, so that no device breaks ties its own way.
        scores = scores * len(self._columns) + self._columns
        eligible = torch.where(describing[:, None], describable > 0, differs)
        return can_say, torch.where(eligible, scores, -1), denials, describing

    def _choose(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The attributes (B, 3) that a sentence may speak of, the most telling first, and their scores."""
        rounds: list[tuple[Tensor, Tensor]] = []
        for _ in self._rounds:
            if rounds:
                scores = scores.masked_fill(self._shares_topic[rounds[-1][1]], -1)
            best, chosen = scores.max(dim=1)
            rounds.append((best, chosen))
        best, chosen = (torch.stack(each, dim=1) for each in zip(*rounds, strict=True))
        return chosen, best


def _sizes(language: Language) -> tuple[list[int], list[int]]:
    """Columns of the parts of the two tables of `_items`."""
    graded, columns = language.graded_count, len(language.first)
    return [columns, columns - graded, columns - graded, columns], [columns, graded, columns - graded, columns]


def _items(language: Language, grades: Integers, codes: Integers) -> tuple[Integers, Integers]:
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


def _statements_by_percent() -> Integers:
    """(100,) how many statements the sentences make."""
    percent = np.arange(100)
    return 1 + (percent >= ONE_STATEMENT).astype(np.int64) + (percent >= ONE_STATEMENT + TWO_STATEMENTS)


def _relations() -> Integers:
    """(2003,) relation, 0 to 2 less and 3 to 5 more, by the change of a grade; negative changes count from the end."""
    most = SCALE + 1
    change = np.concatenate([np.arange(most + 1), np.arange(-most, 0)])
    size = np.abs(change)
    return RELATIONS // 2 * (change > 0).astype(np.int64) + (size >= CLEAR) + (size >= LARGE)


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
