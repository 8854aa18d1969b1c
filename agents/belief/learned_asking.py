"""Which image to show, by a small network that has learned from the user and needs none afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 32
LARGE = 4.0
"""Nats and entropies are divided by it."""


class AskingNetwork(nn.Module):
    """Scores the K likeliest images as what to show next, by how they lie among the M likeliest as targets.

    What it sees of a candidate and a target is how likely both are and how far their embeddings are from each other,
    in units of the mean distance of the listed; what it sees of a candidate is the mean of that over the targets, by
    how likely they are, and how many turns follow. New weights score by the belief alone: they show the likeliest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Sequential(nn.Linear(5, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU())
        self.score = nn.Sequential(nn.Linear(HIDDEN + 5, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 1))
        for parameter in self.score[2].parameters():
            nn.init.zeros_(parameter)
        self.trust = nn.Parameter(torch.tensor(2.0))

    def forward(self, log_belief: Tensor, embeddings: Tensor, candidates: int, left: Tensor) -> Tensor:
        """(B, K) scores.

        Args:
            log_belief: (B, M) in nats, of the likeliest images not shown yet, the likeliest first.
            embeddings: (B, M, E) of the same.
            candidates: K, so many of them are scored.
            left: (B,) turns that follow the one that is decided.
        """
        nats = log_belief.log_softmax(dim=1)  # (B, M)
        likely = nats.exp()
        grid = (len(nats), candidates, nats.shape[1])  # (B, K, M)
        apart = torch.cdist(embeddings, embeddings).square()  # (B, M, M)
        apart = (apart / apart.mean(dim=(1, 2), keepdim=True).clamp(min=1e-12))[:, :candidates]
        own, other = nats[:, :candidates, None].expand(grid), nats[:, None].expand(grid)
        same = torch.eye(*grid[1:], device=nats.device).expand(grid)
        pairs = torch.stack([own / LARGE, other / LARGE, (own - other) / LARGE, apart, same], dim=3)
        among = (self.pair(pairs) * likely[:, None, :, None]).sum(dim=2)  # (B, K, M, H) -> (B, K, H)
        entropy = -(likely * nats).sum(dim=1, keepdim=True) / LARGE
        seen = [
            own[:, :, 0] / LARGE,
            own[:, :, 0].exp(),
            (apart * likely[:, None]).sum(dim=2),
            entropy.expand(grid[:2]),
            left[:, None].expand(grid[:2]) / LARGE,
        ]
        scores: Tensor = self.score(torch.cat([among, torch.stack(seen, dim=2)], dim=2))[:, :, 0]
        return self.trust * own[:, :, 0] + scores


def likeliest(log_belief: Tensor, shown: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Log-belief (B, M) and positions (B, M) of the likeliest images not shown (B, S), M = count or what S leaves."""
    fresh = log_belief.scatter(1, shown, -torch.inf)
    found = fresh.topk(min(count, log_belief.shape[1] - shown.shape[1]), dim=1)
    return found.values, found.indices
