"""Small stand-ins that tests share."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary


class ToyUser:
    """Says, for the first four feature dimensions, whether the target has more or less than the candidate."""

    def __init__(self, gallery: Catalog, device: str = "cpu") -> None:
        self.id = "toy-1"
        self.device = device
        self.gallery_fingerprint = gallery.fingerprint
        self.features = torch.from_numpy(gallery.features).to(device)
        words = [f"{direction}{number}" for number in range(4) for direction in ("less", "more")]
        self.vocabulary = Vocabulary((*words, "UNK"))
        self.asked: list[int] = []

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        self.asked.append(len(targets))
        more = self.features[targets, :4] > self.features[candidates, :4]
        tokens = torch.zeros(len(targets), MAX_WORDS, dtype=torch.int64, device=targets.device)
        tokens[:, :4] = 1 + 2 * torch.arange(4, device=targets.device) + more
        return tokens


def digest(*tensors: Tensor) -> str:
    """A short hash of tensors, to compare long results by."""
    together = hashlib.sha256()
    for tensor in tensors:
        together.update(tensor.detach().cpu().numpy().tobytes())
    return together.hexdigest()[:16]
