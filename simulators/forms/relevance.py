"""A user who only says whether the new candidate is closer to the target than the last one."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.world.vocabulary import MAX_WORDS, UNKNOWN, Vocabulary

VERSION = 1
FIRST, CLOSER, FARTHER, SAME = range(1, 5)
EQUAL_WITHIN = 1e-9
"""Relative difference of squared distances that counts as none, well above the rounding of any device."""


class RelevanceUser:
    """Says one word: "closer", "farther" or "same", and "first" where nothing was shown before.

    Closeness is the Euclidean distance to the target in the gallery's pooled features. The word depends only on
    the target, the candidate and the image shown before.

    Args:
        gallery: any images.
        device: where it takes and gives tensors.
    """

    def __init__(self, gallery: Catalog, *, device: str | torch.device = "cpu") -> None:
        self.id = f"relevance-{VERSION}"
        self.vocabulary = Vocabulary(("first", "closer", "farther", "same", UNKNOWN))
        self.gallery_fingerprint = gallery.fingerprint
        self.device = torch.device(device)
        self._features = torch.from_numpy(gallery.features).to(self.device)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64, of which the first is the word; `previous` (B,) is -1 where there was none."""
        now = self._squared_distances(targets, candidates)
        before = self._squared_distances(targets, previous.clamp(min=0))
        margin = EQUAL_WITHIN * torch.maximum(now, before)
        word = torch.where(now < before - margin, CLOSER, torch.where(now > before + margin, FARTHER, SAME))
        tokens = torch.zeros(len(targets), MAX_WORDS, dtype=torch.int64, device=targets.device)
        tokens[:, 0] = torch.where(previous < 0, FIRST, word)
        return tokens

    def _squared_distances(self, targets: Tensor, others: Tensor) -> Tensor:
        apart = self._features[targets].double() - self._features[others].double()  # (B, D)
        return (apart * apart).sum(dim=1)
