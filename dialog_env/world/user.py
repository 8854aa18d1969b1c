"""What a user simulator is, and how one is asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import pad

from dialog_env.world.answers import KeptAnswers
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary


@runtime_checkable
class UserSimulator(Protocol):
    """Says how a target differs from a candidate, for a batch of pairs of one gallery.

    The answer for a pair depends on nothing but the pair (and, for feedback that compares with it, the image
    shown before): not on the batch around it, its order, or the device.

    Attributes:
        id: name, version and settings; changes whenever an answer, or a first candidate, changes.
        vocabulary: the words of its tokens.
        gallery_fingerprint: fingerprint of the gallery whose positions it understands.
        device: where it takes and gives tensors.
        uses_previous: may be left out; False says that `previous` plays no part, so that who looks ahead can use an
            answer again whatever was shown before.
        deterministic: may be left out; False says that the same question may be answered in two ways.
        kept_answers: may be left out; a `KeptAnswers` says that the answer to a pair is always the same, and is kept.
        first_candidates: a method that may be left out; from targets (B,) and first candidates (B,) that were drawn
            uniformly to those (B,) that dialogs are to begin with, none its own target. Who wraps a user passes it
            on, as `answer_as` does.
        log_likelihood: a method that may be left out; from tokens (B, L), targets (B,) and candidates (B,) to the
            log-probabilities (B,), in nats, of saying just that. Who knows the user needs it where answers are drawn.
    """

    id: str
    vocabulary: Vocabulary
    gallery_fingerprint: str

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, L) int64 of the feedback on each candidate, L at most 16.

        Args:
            targets: (B,) int64, gallery positions of the images in mind.
            candidates: (B,) int64, gallery positions of the images shown.
            previous: (B,) int64, the images shown a turn before, -1 where there was none.
        """
        ...


@dataclass(frozen=True)
class UserFacts:
    """What an agent may know of a user that it does not know in person.

    Args:
        id: of the user.
        vocabulary: its words.
    """

    id: str
    vocabulary: Vocabulary


def facts_of(simulator: UserSimulator) -> UserFacts:
    """The facts of a user, which lead back to nothing of it."""
    return UserFacts(str(simulator.id), Vocabulary(tuple(simulator.vocabulary.words)))


REQUIRED = {"id": str, "vocabulary": Vocabulary, "gallery_fingerprint": str}
"""Attributes of a user simulator and their types."""


def checked_user(simulator: Any) -> UserSimulator:
    """A user simulator; ValueError, naming what it lacks, for anything else."""
    name = type(simulator).__name__
    for attribute, kind in REQUIRED.items():
        if not isinstance(getattr(simulator, attribute, None), kind):
            raise ValueError(
                f"{name!r} is no user simulator: its {attribute!r} must be a {kind.__name__} and is "
                f"{type(getattr(simulator, attribute, None)).__name__}; give it one"
            )
    if not callable(getattr(simulator, "feedback", None)):
        raise ValueError(f"{name!r} is no user simulator: it has no method 'feedback'; give it one")
    user: UserSimulator = simulator
    return user


def answer_as(outer: Any, inner: UserSimulator) -> None:
    """Lets a user that speaks for another be asked in the same way.

    What depends on the very words, `log_likelihood` and `kept_answers`, is not passed on.

    Args:
        outer: gets `uses_previous`, `deterministic` and, where the other user has it, `first_candidates`.
        inner: the other user.
    """
    outer.uses_previous = getattr(inner, "uses_previous", True)
    outer.deterministic = getattr(inner, "deterministic", True)
    if chooses := getattr(inner, "first_candidates", None):
        outer.first_candidates = chooses


def ask(simulator: UserSimulator, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
    """The tokens (B, 16) int64 that a user answers with; shorter sentences are padded with 0.

    Where the user has `kept_answers`, it hears only what is not known yet.

    Args:
        simulator: the user.
        targets: (B,) int64.
        candidates: (B,) int64.
        previous: (B,) int64, -1 where there was none.

    Raises:
        ValueError: an answer that is no (B, L) tensor of whole numbers, or of more than 16 words.
    """
    kept = getattr(simulator, "kept_answers", None)
    if isinstance(kept, KeptAnswers) and kept.are_of(simulator):
        return kept.ask(partial(_hear, simulator), targets, candidates, previous)
    return _hear(simulator, targets, candidates, previous)


def _hear(simulator: UserSimulator, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
    answers = simulator.feedback(targets, candidates, previous)
    if type(answers) is not Tensor or answers.ndim != 2 or len(answers) != len(targets):
        shape = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise ValueError(
            f"user {simulator.id} answered {len(targets)} questions with {shape}; give tokens of shape "
            f"({len(targets)}, L) as a torch.Tensor"
        )
    if answers.is_floating_point() or answers.is_complex() or answers.dtype == torch.bool:
        raise ValueError(f"user {simulator.id} answered with tokens of type {answers.dtype}; give torch.int64")
    if answers.shape[1] > MAX_WORDS:
        raise ValueError(
            f"user {simulator.id} answered with {answers.shape[1]} words; a sentence has at most {MAX_WORDS}, cut it"
        )
    missing = MAX_WORDS - answers.shape[1]
    return (pad(answers, (0, missing)) if missing else answers).to(torch.int64)
