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
from dialog_env.world.vocabulary import MAX_WORDS

WORDING_DRAWS = 8
"""Draws that a sentence takes for its wording."""

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

        before_kind = np.isin(language.parts, (ADJECTIVE, COMPLEMENT))
        self._phrases = tensor(language.phrases)
        self._lengths = tensor(language.lengths)
        self._links = tensor(language.links)
        self._order = tensor(language.order)
        self._first_part = tensor(language.parts[:, 0])
        # (S * 6,) by statement and wording.
        self._wordings = tensor(language.wordings.reshape(-1))
        self._parts = tensor(language.parts.reshape(-1))
        self._modifiers = tensor(np.where(before_kind, language.modifier[:, None], 0).reshape(-1))
        longest = np.maximum(language.lengths[language.wordings].max(axis=1), language.lengths[language.modifier])
        self.cost = tensor(longest + 2)
        """(S,) most words that a statement takes, with two that link it."""
        self.same = self._whole(language.same)
        """Tokens (16,) of the sentence for a candidate that is the target."""
        self._alike = self._whole(language.alike)
        self.outcomes = (WORDINGS, WORDINGS, WORDINGS, WORDINGS, 100, 2, 100, 100)
        """How many outcomes each of the draws for a wording has."""

    def sentences(self, statements: Tensor, denials: Tensor, count: Tensor, bare: Tensor, draws: Tensor) -> Tensor:
        """Tokens (B, 16) int64; where there is nothing to say, that the two look alike.

        Args:
            statements: (B, M) int64, M up to 4.
            denials: (B, M) phrases that may follow each of them, 0 where there is none.
            count: (B,) how many of the M are said.
            bare: (B,) bool, descriptions that begin without a verb.
            draws: (B, 8) to choose wordings by, each below its number of outcomes.
        """
        statements_said = statements.shape[1]
        number = torch.arange(statements_said, device=statements.device)
        said = number < count[:, None]
        worded = statements * WORDINGS + draws[:, :statements_said]
        parts = torch.where(said, self._parts[worded], END)
        has_kind = (parts == KIND).any(dim=1, keepdim=True)
        modifiers = self._modifiers[worded]
        modifies = has_kind & said & (modifiers > 0)
        phrases = torch.where(modifies, modifiers, self._wordings[worded])
        parts = torch.where(modifies, ADJECTIVE, parts)
        # "is striped not plain", but not "has stripes not plain".
        denials = torch.where(parts == self._first_part[statements], denials, 0)

        first_parts, two, joined, denied = draws[:, 4:].unbind(dim=1)
        place = torch.where(parts == ADJECTIVE, self._order[statements], 100 + parts)
        parts_first = ~bare & (first_parts < PARTS_FIRST)
        place = torch.where((parts == PART) & parts_first[:, None], -1, place)
        order = (place * statements_said + number).sort(dim=1).values % statements_said
        phrases, parts, denials = torch.stack([phrases * said, parts, denials]).gather(2, order.expand(3, -1, -1))

        plural = has_kind | (two == 0)[:, None]
        style = has_kind | (bare | (joined < WITH_PARTS))[:, None]
        before = torch.cat([torch.where(bare, BARE_START, START)[:, None], parts[:, :-1]], dim=1)
        links = self._links[before, parts, plural.long(), style.long()]
        spoken = torch.stack([links, phrases], dim=2).flatten(1)
        denial = self._denial(spoken, parts, denials, count, bare, denied)
        tokens = self._phrases[torch.cat([spoken, denial], dim=1)].flatten(1)
        return torch.where((count > 0)[:, None], _close_up(tokens), self._alike)

    def _whole(self, phrase: int) -> Tensor:
        words = self._phrases[phrase]
        return torch.nn.functional.pad(words, (0, MAX_WORDS - len(words)))

    def _denial(
        self, spoken: Tensor, parts: Tensor, denials: Tensor, count: Tensor, bare: Tensor, drawn: Tensor
    ) -> Tensor:
        """The phrase (B, 1) that may follow the last statement: "not red"."""
        last = (count - 1).clamp(min=0)[:, None]
        denial, final = denials.gather(1, last), parts.gather(1, last)
        # "is red suede not black" would leave open what is denied.
        adjectives = (parts == ADJECTIVE).sum(dim=1, keepdim=True)
        clear = (final == PART) | ((final == ADJECTIVE) & (adjectives == 1))
        wanted = ~bare & (drawn < torch.where(count == 1, DENIED_ALONE, DENIED_LAST))
        words = self._lengths[spoken].sum(dim=1, keepdim=True) + self._lengths[denial]
        return denial * (clear & wanted[:, None] & (words <= MAX_WORDS))


def _close_up(tokens: Tensor) -> Tensor:
    """Token rows (B, L) with the zeros among them moved behind the first 16 others."""
    position = (tokens != 0).cumsum(dim=1) - 1
    position = torch.where((tokens != 0) & (position < MAX_WORDS), position, MAX_WORDS)
    closed = tokens.new_zeros(len(tokens), MAX_WORDS + 1).scatter_(1, position, tokens)
    return closed[:, :MAX_WORDS]
