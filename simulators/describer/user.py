"""A user who says in a short sentence how two items truly differ, from their attributes alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators.describer import tables
from dialog_env.simulators.describer.grammar import WORDING_DRAWS, Grammar
from dialog_env.simulators.describer.language import Language
from dialog_env.simulators.describer.pair_hash import PairHashes, below
from dialog_env.world.vocabulary import MAX_WORDS

VERSION = 1


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
        self.id = f"describer-{VERSION}:{tables.digest(language, whole, seed)}"
        self._grammar = Grammar(language, self.device)
        self._kind = language.kind
        columns = len(language.first)
        self._target_sizes, self._candidate_sizes = tables.sizes(language)

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        self._targets, self._candidates = map(
            tensor, tables.items(language, tables.grades(table), language.codes(table))
        )
        caprice = tables.gumbel_quantiles()
        outcomes = [*self._grammar.outcomes, 100, *[len(caprice)] * columns]
        self._outcomes = torch.tensor(outcomes, device=self.device)
        self._hashes = PairHashes(gallery.ids, seed, len(outcomes), self.device)
        self._caprice, self._statements_by_percent = tensor(caprice), tensor(tables.statements_by_percent())
        self._noticeable = tensor(tables.noticeable(language))
        self._relations = tensor(tables.relations())
        self._graded_bits = tensor(tables.graded_bits(language, tables.grades(whole)).reshape(-1))
        self._value_bits = tensor(tables.value_bits(language, language.codes(whole)))
        self._first = tensor(language.first[: language.graded_count])
        self._shares_topic = tensor(language.shares_topic)
        self._columns = torch.arange(columns, device=self.device)
        self._rounds = torch.arange(tables.STATEMENTS, device=self.device)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of how targets (B,) differ from candidates (B,); `previous` plays no part."""
        with torch.inference_mode():
            said = self._said(targets, candidates)
        return said.clone()  # Anyone's to compute with.

    def _said(self, targets: Tensor, candidates: Tensor) -> Tensor:
        draws = below(self._hashes(targets, candidates), self._outcomes)
        wording, percent, caprice = draws.split([WORDING_DRAWS, 1, len(self._columns)], dim=1)
        can_say, scores, denials, describing = self._weigh(targets, candidates, self._caprice[caprice])
        wanted = torch.where(describing[:, None], tables.STATEMENTS, self._statements_by_percent[percent])
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
        telling = self._graded_bits[bits + relation] * size[:, :graded].clamp(max=tables.STRIKING) // tables.STRIKING

        lacks = differs[:, graded:] & (lacking > 0)
        named = torch.where(lacks, without, named)
        denials = torch.cat([denials[:, :graded], torch.where(lacks, 0, denials[:, graded:])], dim=1)

        told, comparable = differs.sum(dim=1), known.sum(dim=1)
        describing = (told * 100 >= comparable * tables.DIFFER_IN_ALMOST_ALL) & (comparable > tables.STATEMENTS)
        named_bits = self._value_bits[named]
        if self._kind >= 0:
            describing &= mine[:, graded + self._kind] >= 0
            named_bits[:, self._kind] += describing * (10 * tables.SCALE * int(tables.MOST_BITS))
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
        for _ in range(tables.STATEMENTS):
            if rounds:
                scores = scores.masked_fill(self._shares_topic[rounds[-1][1]], -1)
            best, chosen = scores.max(dim=1)
            rounds.append((best, chosen))
        best, chosen = (torch.stack(each, dim=1) for each in zip(*rounds, strict=True))
        return chosen, best


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
