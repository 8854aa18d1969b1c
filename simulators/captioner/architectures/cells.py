"""The recurrent cells and the attention that the captioners are made of."""

from __future__ import annotations

import torch
from torch import Tensor

MANY = 8192
"""Values for which two more passes take less time than is won."""


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """LSTM: gates (B, 4H) in the order in, forget, transform, out -> hidden and cell, each (B, H)."""
    entering, forgetting, transform, leaving = gates.chunk(4, dim=1)
    cell = torch.sigmoid(forgetting) * cell + torch.sigmoid(entering) * tanh(transform)
    return torch.sigmoid(leaving) * tanh(cell), cell


def maxout_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """LSTM with a maxout of two transforms: gates (B, 5H) in, forget, out, transforms -> hidden and cell (B, H)."""
    hidden = cell.shape[1]
    entering, forgetting, leaving = torch.sigmoid(gates[:, : 3 * hidden]).chunk(3, dim=1)
    transform = torch.maximum(gates[:, 3 * hidden : 4 * hidden], gates[:, 4 * hidden :])
    cell = forgetting * cell + entering * transform
    return leaving * tanh(cell), cell


def tanh(values: Tensor) -> Tensor:
    """Of many values as 2 sigmoid(2x) - 1, since the sigmoid is several times faster on a CPU; of few in one call."""
    return torch.tanh(values) if values.numel() < MANY else (2 * torch.sigmoid(2 * values)).sub_(1)


def attend(keys: Tensor, values: Tensor, query: Tensor, score: Tensor, room: Tensor | None = None) -> Tensor:
    """Mixture of regions under additive attention (Bahdanau et al., 2015).

    Args:
        keys: (B, R, A), doubled.
        values: (B, R, ·).
        query: (B, A).
        score: (1, A), the weights that turn tanh(key + query) into a score.
        room: (B, R, A) to compare them in, if no gradient is wanted: fresh memory costs a CPU more than filling it.

    Returns:
        (B, ·).
    """
    weights = torch.softmax(scores(keys, query, score, room), dim=1)
    return torch.bmm(weights.unsqueeze(1), values).squeeze(1)


def scores(keys: Tensor, query: Tensor, score: Tensor, room: Tensor | None = None) -> Tensor:
    """Score of every region before the softmax, (B, R), up to a constant; arguments as in `attend`.

    tanh is taken as in `tanh`. Its -1 (like a bias, which is why
    there is none) adds the same to the score of every region and leaves the mixture as it is.
    """
    compared = torch.add(keys, query.unsqueeze(1), alpha=2, out=room).sigmoid_()
    return 2 * (compared @ score[0])
