"""Users whose every answer is known without asking them: a table, and relevance feedback."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary
from tools.reliability.literal_world import Answers

ROWS, WORDS = 997, 13
EQUAL_WITHIN = 1e-9


class TableUser:
    """Answers candidate a, target u and image before p with row (31a + 17u + 7(p + 1)) mod 997 of a drawn table.

    Rows have 0 to 16 words.

    Args:
        gallery: the images.
        seed: of the table.

    Attributes:
        breaks_at: number of a question, counted from the next one as 1, at which it raises `error` instead.
    """

    def __init__(self, gallery: Catalog, seed: int) -> None:
        self.id = f"table-{seed}"
        self.vocabulary = Vocabulary((*(f"word{number}" for number in range(WORDS - 1)), "UNK"))
        self.gallery_fingerprint = gallery.fingerprint
        self.rows = table_rows(seed)
        self._table = torch.tensor([row + [0] * (MAX_WORDS - len(row)) for row in self.rows])
        self.breaks_at = 0
        self.error: BaseException = BrokenUser("this user broke down")

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16)."""
        if self.breaks_at:
            self.breaks_at -= 1
            if not self.breaks_at:
                raise self.error
        return self._table[(31 * candidates + 17 * targets + 7 * (previous + 1)) % ROWS]

    def answers(self) -> Answers:
        """The same for one dialog, without tensors."""
        return lambda target, candidate, before: self.rows[(31 * candidate + 17 * target + 7 * (before + 1)) % ROWS]


class BrokenUser(RuntimeError):
    """What a user raises that breaks down on purpose."""


def table_rows(seed: int) -> list[list[int]]:
    """The rows of a table, without padding."""
    random = np.random.default_rng(seed)
    return [random.integers(1, WORDS + 1, random.integers(0, MAX_WORDS + 1)).tolist() for _ in range(ROWS)]


def relevance_answers(features: list[list[float]]) -> Answers:
    """What the user `relevance` says: first, closer, farther or same, as token 1 to 4."""

    def answers(target: int, candidate: int, before: int) -> list[int]:
        if before < 0:
            return [1]
        now, then = (
            math.fsum((x - y) ** 2 for x, y in zip(features[target], features[image], strict=True))
            for image in (candidate, before)
        )
        margin = EQUAL_WITHIN * max(now, then)
        return [2] if now < then - margin else [3] if now > then + margin else [4]

    return answers


def asked_alone(make: Callable[[], UserSimulator]) -> Answers:
    """What a user says that is made anew and asked about one pair at a time: what it must say in every batch."""
    user = make()
    known: dict[tuple[int, int, int], list[int]] = {}

    def answers(target: int, candidate: int, before: int) -> list[int]:
        question = (target, candidate, before)
        if question not in known:
            tokens = user.feedback(*(torch.tensor([image]) for image in question))[0].tolist()
            known[question] = tokens[: tokens.index(0)] if 0 in tokens else tokens
        return known[question]

    return answers
