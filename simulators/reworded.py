"""A user in the words of another: how an agent hears somebody whose vocabulary it does not know."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.world.user import UserSimulator, ask
from dialog_env.world.vocabulary import UNKNOWN, Vocabulary


class Reworded:
    """Says what another user says, word by word in a vocabulary of the hearer: what that does not have is UNK.

    Args:
        inner: the user who speaks.
        vocabulary: the words that are understood.
    """

    def __init__(self, inner: UserSimulator, vocabulary: Vocabulary) -> None:
        self.inner, self.vocabulary = inner, vocabulary
        self.id = f"{inner.id}:words-{vocabulary.fingerprint}"
        self.gallery_fingerprint = inner.gallery_fingerprint
        self.uses_previous = getattr(inner, "uses_previous", True)
        self.deterministic = getattr(inner, "deterministic", True)
        if hasattr(inner, "device"):
            self.device = inner.device
        known = {word: token for word, token in vocabulary.tokens.items() if word != UNKNOWN}
        tokens = [0, *(known.get(word, len(vocabulary)) for word in inner.vocabulary.words)]
        self._tokens = torch.tensor(tokens)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of the feedback on candidates (B,), in the vocabulary of the hearer."""
        said = ask(self.inner, targets, candidates, previous)
        return self._tokens.to(said.device)[said]


def in_words(user: UserSimulator, vocabulary: Vocabulary) -> UserSimulator:
    """The user, reworded where it speaks another vocabulary."""
    return user if user.vocabulary.fingerprint == vocabulary.fingerprint else Reworded(user, vocabulary)
