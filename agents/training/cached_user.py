"""A user who is never asked the same twice."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.world.user import UserSimulator, answer_as, ask


class CachedUser:
    """Answers as another user does, whom it asks once for every distinct (target, candidate) until told to forget.

    The image shown before counts as part of the question, unless the user says that it plays no part
    (`uses_previous = False`).

    Args:
        simulator: the user who is asked.
        gallery: that the user knows.
    """

    uses_previous: bool

    def __init__(self, simulator: UserSimulator, gallery: Catalog) -> None:
        self.simulator = simulator
        self.id = simulator.id
        self.vocabulary = simulator.vocabulary
        self.gallery_fingerprint = simulator.gallery_fingerprint
        self.images = len(gallery)
        answer_as(self, simulator)
        self.forget()

    def forget(self) -> None:
        """Lets go of all answers."""
        self._questions: Tensor | None = None
        self._answers: Tensor | None = None

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, L); only questions that are new, each once, go to the user."""
        question = targets * self.images + candidates
        if self.uses_previous:
            question = question * (self.images + 1) + previous + 1
        distinct, place = question.unique(return_inverse=True)  # (B,) -> (Q,), (B,)
        example = torch.empty_like(distinct).scatter_(0, place, torch.arange(len(place), device=place.device))
        new = example if self._questions is None else example[~torch.isin(distinct, self._questions)]
        if len(new):
            answers = ask(self.simulator, targets[new], candidates[new], previous[new])
            self._remember(question[new], answers)
        assert self._questions is not None
        assert self._answers is not None
        return self._answers[torch.searchsorted(self._questions, distinct)][place]

    def _remember(self, questions: Tensor, answers: Tensor) -> None:
        if self._questions is not None and self._answers is not None:
            questions, answers = torch.cat([self._questions, questions]), torch.cat([self._answers, answers])
        self._questions, order = questions.sort()
        self._answers = answers[order]
