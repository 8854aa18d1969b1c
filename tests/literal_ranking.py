"""Ranking by a loop over the queries: the definition, and the base line of the benchmark."""

from __future__ import annotations

import torch
from torch import Tensor


def literal_ranking(queries: Tensor, embeddings: Tensor, targets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images closer than the targets (B,), the nearest (B,), and the K nearest (B, K), one query after the other."""
    closer, nearest, few = [], [], []
    for query, target in zip(queries, targets, strict=True):
        distance = (embeddings - query).square().sum(dim=1)
        closer.append((distance < distance[target]).sum())
        nearest.append(distance.argmin())
        few.append(distance.topk(count, largest=False).indices)
    return torch.stack(closer), torch.stack(nearest), torch.stack(few)
