"""What a user simulator is, and where the known ones live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from dialog_env.world.vocabulary import Vocabulary


@runtime_checkable
class UserSimulator(Protocol):
    """Says how a target differs from a candidate, for a batch of pairs of one gallery.

    The answer for a pair depends on nothing but the pair (and, for feedback that compares with it, the image
    shown before): not on the batch around it, its order, or the device.

    Attributes:
        id: name, version and settings; changes whenever an answer changes.
        vocabulary: the words of its tokens.
        gallery_fingerprint: fingerprint of the gallery whose positions it understands.
        device: where it takes and gives tensors.
        uses_previous: may be left out; False says that `previous` plays no part, so that who looks ahead can use an
            answer again whatever was shown before.
        deterministic: may be left out; False says that the same question may be answered in two ways.
        log_likelihood: a method that may be left out; from tokens (B, L), targets (B,) and candidates (B,) to the
            log-probabilities (B,), in nats, of saying just that. Who knows the user needs it where answers are drawn.
    """

    id: str
    vocabulary: Vocabulary
    gallery_fingerprint: str

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, L) int64 of the feedback on each candidate.

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
