"""Words that become unknown while an agent learns, so that UNK means to it what it will mean: anything at all."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_unknown(turns: int, batch: int, words: int, generator: torch.Generator) -> Tensor:
    """(T, B, 2, L) uniforms by which `with_unknown` decides, for L words in a sentence."""
    return torch.rand(turns, batch, 2, words, generator=generator)


def with_unknown(tokens: Tensor, uniforms: Tensor, share: float, unknown: int) -> Tensor:
    """Sentences (B, L) in which a share of the words is UNK, and an UNK stands before as large a share of the words.

    The first is a word that is not known in place of one that is; the second politeness and all else that people say
    around it. Of what becomes too long the end is cut.

    Args:
        tokens: (B, L) int64, padded with 0.
        uniforms: (B, 2, L) in [0, 1).
        share: from 0 to 1.
        unknown: the token of UNK.
    """
    spoken = (tokens == 0).cumsum(dim=1) == 0  # (B, L)
    lost, before = (uniforms < share).unbind(dim=1)
    heard = torch.where(lost & spoken, unknown, tokens)
    inserted = torch.where(before & spoken, unknown, 0)
    both = torch.stack([inserted, heard], dim=2).flatten(1)  # (B, 2 L), each word behind what was said before it
    gone = torch.stack([inserted == 0, ~spoken], dim=2).flatten(1)
    order = gone.to(torch.int8).argsort(dim=1, stable=True)
    return both.masked_fill(gone, 0).gather(1, order)[:, : tokens.shape[1]]
