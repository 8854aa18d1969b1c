"""Retrieval utility: by how much a sentence moves the target's rank for a listener that never changes.

The listener stands for an agent. It is linear: from the candidate's features and the words and word pairs of the
sentence it guesses the target's features, by ridge regression in closed form on the reference sentences of training
pairs, and ranks a gallery by the distance to its guess. It hears every speaker with the same weights: the captioner,
the references, either's sentences on other pairs (shuffled), and silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.evaluate.intervals import Interval
from dialog_env.simulators.captioner.evaluation import Floats, mean_score
from dialog_env.world.dialog import embedded
from dialog_env.world.ranking import QueryRanking

HEARD_AT_LEAST = 10
"""Words and word pairs that training sentences hold less often are not listened to."""
RIDGE = 3.0


class Listener:
    """Guesses the target from the candidate and a sentence.

    Args:
        gallery: the images of the training pairs.
        targets: (P,) int64.
        candidates: (P,) int64.
        sentences: P, of how the targets differ from the candidates.

    Raises:
        ValueError: no pair.
    """

    def __init__(self, gallery: Catalog, targets: Tensor, candidates: Tensor, sentences: Sequence[str]) -> None:
        if not len(targets):
            raise ValueError("a listener cannot learn from no pair; give at least one")
        counts = Counter(part for sentence in sentences for part in set(parts_of(sentence)))
        kept = sorted(part for part, count in counts.items() if count >= HEARD_AT_LEAST)
        self.columns = {part: column for column, part in enumerate(kept)}
        features = torch.from_numpy(np.asarray(gallery.features)).double()
        self.centre, self.spread = features.mean(dim=0), features.std(dim=0).mean()
        scaled = (features - self.centre) / self.spread
        given = torch.cat([scaled[candidates], self._heard(sentences)], dim=1)
        normal = given.T @ given + RIDGE * torch.eye(given.shape[1], dtype=torch.float64)
        self.weights = torch.linalg.solve(normal, given.T @ scaled[targets])  # (D + words, D)

    def _heard(self, sentences: Sequence[str]) -> Tensor:
        """(P, words) which parts each sentence has; the last column is 1."""
        heard = torch.zeros(len(sentences), len(self.columns) + 1, dtype=torch.float64)
        heard[:, -1] = 1
        for row, sentence in enumerate(sentences):
            heard[row, [self.columns[part] for part in parts_of(sentence) if part in self.columns]] = 1
        return heard

    def percentiles(self, gallery: Catalog, targets: Tensor, candidates: Tensor, sentences: Sequence[str]) -> Floats:
        """(P,) ranking percentile, 0 to 100, of each target after its sentence on its candidate."""
        features = torch.from_numpy(np.asarray(gallery.features)).double()
        scaled = (features[candidates] - self.centre) / self.spread
        guess = torch.cat([scaled, self._heard(sentences)], dim=1) @ self.weights
        queries = (guess * self.spread + self.centre).float()
        images, result = embedded(gallery), []
        for query, target in zip(queries.split(512), targets.split(512), strict=True):
            result.append(100 * QueryRanking(query, images).target_rank(target).percentile().double())
        return torch.cat(result).numpy()


def parts_of(sentence: str) -> list[str]:
    """The words of a sentence and its pairs of neighbouring words."""
    words = sentence.split()
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def utility(
    listener: Listener,
    gallery: Catalog,
    targets: Tensor,
    candidates: Tensor,
    said: Mapping[str, Sequence[str]],
    generator: np.random.Generator,
) -> dict[str, Interval]:
    """By how many percentile points each speaker's sentences move the targets, against silence.

    Args:
        listener: the same for all.
        gallery: the images of the pairs, none of which the listener learned from.
        targets: (P,) int64.
        candidates: (P,) int64.
        said: speaker to P sentences; for each, "NAME, shuffled" is the control in which they belong to other pairs.
        generator: draws shuffles and resamples.
    """
    silence = listener.percentiles(gallery, targets, candidates, [""] * len(targets))
    result = {"silence (percentile)": mean_score(silence, generator)}
    for name, sentences in said.items():
        mixed = [sentences[row] for row in derangement(len(sentences), generator)]
        for label, heard in ((name, sentences), (f"{name}, shuffled", mixed)):
            moved = listener.percentiles(gallery, targets, candidates, heard) - silence
            result[label] = mean_score(moved, generator)
    return result


def derangement(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """An order of 0..count-1 in which nothing keeps its place (but for a single thing)."""
    order = generator.permutation(count)
    moved = np.empty(count, dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return moved
