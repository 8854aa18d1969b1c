"""Statements linked into sentences, for a whole batch at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dialog_env.simulators.describer.language import (
    ADJECTIVE,
    BARE_START,
    COMPLEMENT,
    END,
    KIND,
    PART,
    START,
    WORDINGS,
    Language,
)
from dialog_env.simulators.describer.pair_hash import below
from dialog_env.world.vocabulary import MAX_WORDS

WORDING_HASHES = 8
"""Hashes that a sentence takes for its wording."""

PARTS_FIRST, WITH_PARTS = 25, 75
"""Percent of sentences that begin with "has", and that join what an item has by "with" instead of "and has"."""
DENIED_ALONE, DENIED_LAST = 50, 15
"""Percent of sentences that say what the candidate is, where one statement is made and where it ends several."""


class Grammar:
    """Makes sentences of up to M statements: "has a lower heel and is red", "are red boots with no laces".

    Args:
        language: the statements and their words.
        device: where it takes and gives tensors.
    """

    def __init__(self, language: Language, device: torch.device) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        self._phrases = tensor(language.phrases)
        self._lengths = tensor(language.lengths)
        self._wordings = tensor(language.wordings)
        self._parts = tensor(language.parts)
        self._modifier = tensor(language.modifier)
        self._order = tensor(language.order)
        self._links = tensor(language.links)
        self._same, self._alike = language.same, language.alike
        longest = np.maximum(language.lengths[language.wordings].max(axis=1), language.lengths[language.modifier])
        self.cost = tensor(longest + 2)
        """(S,) most words that a statement takes, with two that link it."""

    def sentences(self, statements: Tensor, denials: Tensor, count: Tensor, bare: Tensor, hashes: Tensor) -> Tensor:
        """Tokens (B, 16) int64; where there is nothing to say, that the two look alike.

        Args:
            statements: (B, M) int64.
            denials: (B, M) phrases that may follow each of them, 0 where there is none.
            count: (B,) how many of the M are said.
            bare: (B,) bool, descriptions that begin without a verb.
            hashes: (B, 8) hashes to choose wordings by.
        """
        number = torch.arange(statements.shape[1], device=statements.device)
        wording = below(hashes[:, : statements.shape[1]], WORDINGS)
        phrases = self._wordings[statements, wording]
        parts = torch.where(number < count[:, None], self._parts[statements, wording], END)
        has_kind = (parts == KIND).any(dim=1)
        modifier = self._modifier[statements]
        modifies = has_kind[:, None] & (modifier > 0) & ((parts == ADJECTIVE) | (parts == COMPLEMENT))
        phrases = torch.where(modifies, modifier, phrases)
        parts = torch.where(modifies, ADJECTIVE, parts)

        place = torch.where(parts == ADJECTIVE, self._order[statements], 100 + parts)
        parts_first = ~bare & (below(hashes[:, 4], 100) < PARTS_FIRST)
        place = torch.where((parts == PART) & parts_first[:, None], -1, place)
        order = (place * len(number) + number).sort(dim=1).values % len(number)
        # "is striped not plain", but not "has stripes not plain".
        denials = torch.where(parts == self._parts[statements, 0], denials, 0)
        phrases, parts, denials = (each.gather(1, order) for each in (phrases, parts, denials))

        plural = (has_kind | (below(hashes[:, 5], 2) == 0)).long()
        style = (bare | has_kind | (below(hashes[:, 6], 100) < WITH_PARTS)).long()
        before = torch.where(bare, BARE_START, START)
        spoken = []
        for position in range(len(number)):
            part = parts[:, position]
            spoken += [self._links[before, part, plural, style], phrases[:, position] * (part != END)]
            before = part
        spoken.append(self._denial(spoken, parts, denials, count, bare, hashes[:, 7]))
        said = _close_up(self._phrases[torch.stack(spoken, dim=1)].flatten(1))
        return torch.where((count > 0)[:, None], said, self._whole(self._alike))

    def same(self) -> Tensor:
        """Tokens (16,) of the sentence for a candidate that is the target."""
        return self._whole(self._same)

    def _whole(self, phrase: int) -> Tensor:
        words = self._phrases[phrase]
        return torch.nn.functional.pad(words, (0, MAX_WORDS - len(words)))

    def _denial(
        self, spoken: list[Tensor], parts: Tensor, denials: Tensor, count: Tensor, bare: Tensor, hashed: Tensor
    ) -> Tensor:
        """The phrase (B,) that may follow the last statement: "not red"."""
        last = (count - 1).clamp(min=0)[:, None]
        denial = denials.gather(1, last)[:, 0]
        final = parts.gather(1, last)[:, 0]
        # "is red suede not black" would leave open what is denied.
        clear = (final == PART) | ((final == ADJECTIVE) & ((parts == ADJECTIVE).sum(dim=1) == 1))
        wanted = below(hashed, 100) < torch.where(count == 1, DENIED_ALONE, DENIED_LAST)
        words = sum((self._lengths[phrase] for phrase in spoken), self._lengths[denial])
        return denial * (clear & wanted & ~bare & (words <= MAX_WORDS))


def _close_up(tokens: Tensor) -> Tensor:
    """Token rows (B, L) with the zeros among them moved behind the first 16 others."""
    position = (tokens != 0).cumsum(dim=1) - 1
    position = torch.where((tokens != 0) & (position < MAX_WORDS), position, MAX_WORDS)
    closed = tokens.new_zeros(len(tokens), MAX_WORDS + 1).scatter_(1, position, tokens)
    return closed[:, :MAX_WORDS]
