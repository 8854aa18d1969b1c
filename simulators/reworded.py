"""A user in the words of another: how an agent hears somebody whose vocabulary it does not know."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.world.hearing import Hearing
from dialog_env.world.user import UserSimulator, answer_as, ask
from dialog_env.world.vocabulary import MAX_WORDS, UNKNOWN, Vocabulary


class Reworded:
    """Says what another user says, word by word in a vocabulary of the hearer.

    Args:
        inner: the user who speaks.
        vocabulary: the words that are understood.
        hearing: what other words mean in it; those that mean nothing are passed over. Where None, all others are UNK.
    """

    def __init__(self, inner: UserSimulator, vocabulary: Vocabulary, hearing: Hearing | None = None) -> None:
        self.inner, self.vocabulary = inner, vocabulary
        self.id = f"{inner.id}:words-{vocabulary.fingerprint}" + (f":{hearing.id}" if hearing is not None else "")
        self.gallery_fingerprint = inner.gallery_fingerprint
        answer_as(self, inner)
        if hasattr(inner, "device"):
            self.device = inner.device
        known = {word: token for word, token in vocabulary.tokens.items() if word != UNKNOWN}
        spoken = inner.vocabulary.words
        if hearing is None:
            tokens = [known.get(word, len(vocabulary)) for word in spoken]
        else:
            meanings = hearing.meanings(word for word in spoken if word != UNKNOWN)
            tokens = [known[meanings[word]] if word in meanings else 0 for word in spoken]
        self._tokens = torch.tensor([0, *tokens])

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of the feedback on candidates (B,), in the vocabulary of the hearer."""
        said = ask(self.inner, targets, candidates, previous)
        heard = self._tokens.to(said.device)[said]
        return closed_up(heard, (heard > 0) & ((said == 0).cumsum(dim=1) == 0))


def in_words(user: UserSimulator, vocabulary: Vocabulary, hearing: Hearing | None = None) -> UserSimulator:
    """The user, reworded where it speaks another vocabulary."""
    return user if user.vocabulary.fingerprint == vocabulary.fingerprint else Reworded(user, vocabulary, hearing)


def closed_up(tokens: Tensor, stays: Tensor) -> Tensor:
    """(B, 16) those of the tokens (B, L) that stay, in their order and without gaps, then 0; later ones are cut."""
    order = (~stays).long().argsort(dim=1, stable=True)
    return torch.where(stays, tokens, 0).gather(1, order)[:, :MAX_WORDS]
