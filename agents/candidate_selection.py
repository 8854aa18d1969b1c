"""Choosing among images: how likely each of the nearest is, drawing one, passing over what was shown."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.world.dialog import Dialog, first_candidates
from dialog_env.world.ranking import Ranking


def squared_distances(state: Tensor, images: Tensor) -> Tensor:
    """(B, M) |s - x|^2 of states (B, D) and images (B, M, D)."""
    return (state[:, None] - images).square().sum(dim=2)


def spread(state: Tensor, images: Tensor) -> Tensor:
    """Mean over B of how much farther the farthest of the images (B, M, D) is than the nearest, squared.

    A temperature measured in it means the same on every catalogue, whatever the scale of its features.
    """
    distances = squared_distances(state.detach(), images.detach())
    return (distances.amax(dim=1) - distances.amin(dim=1)).mean().clamp(min=1e-12)


def sample(logits: Tensor, uniforms: Tensor) -> Tensor:
    """(B,) columns of logits (B, K), drawn with their probabilities by uniforms (B,) in [0, 1)."""
    below = logits.detach().softmax(dim=1).cumsum(dim=1) <= uniforms[:, None]
    return below.sum(dim=1).clamp(max=logits.shape[1] - 1)


def first_shown(world: Dialog, targets: Tensor, how: str, generator: torch.Generator) -> Tensor:
    """(B,) first candidates of a world, never the target, or where targets are "drawn" without looking at them."""
    if how == "drawn":
        return torch.randint(len(world.gallery), targets.shape, generator=generator)
    return world.first_candidates(targets, first_candidates(targets, len(world.gallery), generator))


def check_choice(nearest: int, gallery: Catalog) -> None:
    """ValueError where a choice among so many nearest images is wider than the gallery."""
    if nearest > len(gallery):
        raise ValueError(f"nearest is {nearest} and {gallery!r} has {len(gallery)} images; give no more than that")


def first_unseen(ranking: Ranking, shown: Tensor) -> Tensor:
    """(B,) the first image of each ranking that is not among those shown (B, S); once all are, simply the first."""
    return ranking.top(1, shown if shown.shape[1] < ranking.images else None)[:, 0]
