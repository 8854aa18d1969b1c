"""How much an answer would tell: the entropy of how answers divide the targets that are believed in."""

from __future__ import annotations

import torch
from torch import Tensor

UNIT = 2**32
"""Parts of a bit in which logarithms are counted: sums of whole numbers are the same in every order and batch, so that
equal partitions tell exactly as much."""


def expected_information(answers: Tensor, believed: Tensor) -> Tensor:
    """(B, K) bits that the answers on K candidates tell of M targets, all equally likely, in expectation.

    With n_i targets that would be spoken of as target i is, H = log2 M - (1/M) sum_i log2 n_i, the entropy of the
    partition of the targets by their answers (Lindley, 1956, for answers that the target decides).

    Args:
        answers: (B, K, M, W) int64, the answer on each candidate if each target were in mind.
        believed: (B, M) bool, targets that count; at least one a row.
    """
    count = (_alike(answers) & believed[:, None, None]).sum(dim=3)  # (B, K, M, M) -> (B, K, M)
    logarithms = torch.arange(1, answers.shape[2] + 1, device=answers.device, dtype=torch.float64).log2()
    logarithms = torch.cat([logarithms.new_zeros(1), logarithms]).mul(UNIT).round().long()
    left = (logarithms[count] * believed[:, None]).sum(dim=2)  # (B, K)
    many = believed.sum(dim=1, keepdim=True).double()
    return many.log2() - left.double() / UNIT / many


def weighted_information(answers: Tensor, weights: Tensor) -> Tensor:
    """(B, K) bits that the answers on K candidates tell of M targets that are not equally likely, in expectation.

    H = -sum_i w_i log2 sum_j w_j [target j would be spoken of as target i is], counted in whole parts of a bit.

    Args:
        answers: (B, K, M, W) int64, the answer on each candidate if each target were in mind.
        weights: (B, M) float64, probabilities that sum to 1.
    """
    mass = (_alike(answers) * weights[:, None, None]).sum(dim=3)  # (B, K, M, M) -> (B, K, M)
    bits = -(weights[:, None] * mass.clamp(min=1e-300).log2()).sum(dim=2)
    return bits.mul(UNIT).round() / UNIT


def _alike(answers: Tensor) -> Tensor:
    """(B, K, M, M) bool, which targets would be spoken of alike."""
    alike = torch.ones(*answers.shape[:3], answers.shape[2], dtype=torch.bool, device=answers.device)
    for part in answers.unbind(dim=3):
        alike &= part[..., :, None] == part[..., None, :]
    return alike
