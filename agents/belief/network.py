"""The network of the belief: images on one side, sentences said about a candidate on the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 512
"""Of the image side and of the last layers."""
WORD, TEXT = 128, 256
"""Of a word, and of a sentence and of the candidate that it is said about."""


class BeliefNetwork(nn.Module):
    """What a sentence about a candidate tells of an image is the product of two vectors of E dimensions.

    Args:
        features: F, of the images it is given.
        words: V; token V stands for all unknown words and is passed over.
        evidence: E.
        dropout: of the image side.
        recurrent: whether a GRU cell takes evidence up, instead of a sum.

    """

    def __init__(self, features: int, words: int, evidence: int, dropout: float, *, recurrent: bool = False) -> None:
        super().__init__()
        self.words = words
        self.trunk = nn.Sequential(nn.Linear(features, HIDDEN), nn.GELU(), nn.Dropout(dropout))
        self.straight = nn.Linear(features, evidence)
        self.bent = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, evidence))
        self.candidate = nn.Sequential(nn.Linear(HIDDEN, TEXT), nn.GELU())
        self.embedding = nn.Embedding(words + 1, WORD, padding_idx=0)
        self.reader = nn.GRU(WORD, TEXT, batch_first=True)
        self.modulation = nn.Linear(TEXT, 2 * TEXT)
        self.output = nn.Sequential(nn.Linear(3 * TEXT, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, evidence))
        self.tracker = nn.GRUCell(evidence, evidence) if recurrent else None
        self.scale = evidence**-0.5

    def images(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of image features (N, F) what evidence is multiplied with (N, E), and what is seen of a candidate (N, G)."""
        hidden = self.trunk(features)
        return self.straight(features) + self.bent(hidden), self.candidate(hidden)

    def evidence(self, tokens: Tensor, candidates: Tensor) -> Tensor:
        """(B, E) what sentences (B, L) about candidates (B, G) tell; nothing, all 0, where no known word was said.

        The sentence turns the candidate's features up, down and around (FiLM; Perez et al., 2018), so that "taller"
        can mean taller than this one.
        """
        tokens = known_words(tokens, self.words)
        lengths = (tokens > 0).sum(dim=1)
        longest = max(1, int(lengths.max())) if len(lengths) else 1  # what follows is padding for all
        read, _ = self.reader(self.embedding(tokens[:, :longest]))  # (B, L) -> (B, L, G)
        last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, read.shape[2])
        sentence = read.gather(1, last)[:, 0]
        factor, shift = self.modulation(sentence).chunk(2, dim=1)
        seen = torch.cat([sentence, candidates, candidates * factor + shift], dim=1)
        told: Tensor = self.output(seen) * self.scale
        return told * (lengths > 0)[:, None]

    def heard(self, query: Tensor, told: Tensor) -> Tensor:
        """(B, E) what was told in all the turns before and in this one."""
        if self.tracker is None:
            return query + told
        taken_up: Tensor = self.tracker(told, query)
        return taken_up


def known_words(tokens: Tensor, unknown: int) -> Tensor:
    """Sentences (B, L) up to their first 0 without their unknown words, closed up, and filled with 0."""
    gone = ((tokens == 0).cumsum(dim=1) > 0) | (tokens == unknown)
    order = gone.to(torch.int8).argsort(dim=1, stable=True)
    return tokens.masked_fill(gone, 0).gather(1, order)
