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


def expected_finding(answers: Tensor, weights: Tensor, discount: float) -> Tensor:
    """(B, K) chance that the target is shown now, and discounted at the next turn, if each of K candidates is shown.

    A candidate is the target itself, or the answer on it leaves the targets that would be spoken of so, of which the
    likeliest is shown next. The candidates are the first K of M targets, and these stand in the order of their weights.

    Args:
        answers: (B, K, M, W) int64, the answer on each candidate if each target were in mind.
        weights: (B, M) float64, probabilities, the largest first.
        discount: from 0 to 1, what finding it a turn later is worth.
    """
    candidates, targets = answers.shape[1:3]
    before = torch.ones(targets, targets, dtype=torch.bool, device=answers.device).tril(-1)  # (i, j): j before i
    other = ~torch.eye(candidates, targets, dtype=torch.bool, device=answers.device)  # (K, M), not the candidate
    outdone = (_alike(answers) & before & other[:, None]).any(dim=3)  # (B, K, M, M) -> (B, K, M)
    next_turn = (weights[:, None] * (other & ~outdone)).sum(dim=2)
    promise = weights[:, :candidates] + discount * next_turn
    return promise.mul(UNIT).round() / UNIT


def _alike(answers: Tensor) -> Tensor:
    """(B, K, M, M) bool, which targets would be spoken of alike."""
    alike = torch.ones(*answers.shape[:3], answers.shape[2], dtype=torch.bool, device=answers.device)
    for part in answers.unbind(dim=3):
        alike &= part[..., :, None] == part[..., None, :]
    return alike
