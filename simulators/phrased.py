"""A user who says the same in other words: politely, or with words for colours that few people use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.io.keywords import checked_choice
from dialog_env.simulators import make_simulator
from dialog_env.simulators.describer.pair_hash import PairHashes, below
from dialog_env.simulators.reworded import closed_up
from dialog_env.world.user import answer_as, ask
from dialog_env.world.vocabulary import MAX_WORDS, UNKNOWN, Vocabulary, split_words

VERSION = 1


@dataclass(frozen=True)
class Phrasing:
    """How something is said in other words.

    Args:
        before, after: what is said around it.
        instead: word to those that may stand for it.
    """

    before: str = ""
    after: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)


PHRASINGS = {
    "polite": Phrasing("please show me something that", "thank you"),
    "colours": Phrasing(
        instead={
            "black": "ebony jet onyx",
            "blue": "navy azure cobalt sapphire denim",
            "brown": "chestnut chocolate mahogany coffee",
            "gold": "golden",
            "green": "emerald olive lime jade",
            "grey": "gray charcoal slate ash",
            "orange": "tangerine apricot peach",
            "pink": "fuchsia magenta rose",
            "purple": "violet lavender mauve plum",
            "red": "scarlet crimson ruby cherry",
            "silver": "silvery",
            "tan": "beige camel khaki sand",
            "white": "ivory snowy cream",
            "yellow": "lemon mustard canary",
        }
    ),
}


class PhrasedUser:
    """Says what another user says, in other words.

    Of several words that may stand for one, a hash of the ids of both images, the seed and the place in the sentence
    chooses. Of what is said, 16 words are heard. Who says nothing says it in no other words.

    Args:
        gallery: the images it will be asked about.
        inner: the user whose sentences these are: whatever `make_simulator` takes.
        phrasing: one of `PHRASINGS`: polite, with "please show me something that" before it and "thank you" after it,
            or colours, where each is called by one of 46 rarer names.
        seed: another seed chooses other words.
        device: where it takes and gives tensors.

    Raises:
        ValueError: another phrasing, or whatever the other user refuses.
    """

    def __init__(
        self,
        gallery: Catalog,
        *,
        inner: Any = "captioner",
        phrasing: str = "polite",
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        asked = PHRASINGS[checked_choice("phrasing", phrasing, PHRASINGS)]
        self.inner = make_simulator(inner, gallery, device=device)
        self.device = torch.device(device)
        self.gallery_fingerprint = gallery.fingerprint
        answer_as(self, self.inner)
        self.id = f"phrased-{VERSION}:{phrasing},seed={seed}:{self.inner.id}"
        around = [split_words(text) for text in (asked.before, asked.after)]
        spoken = self.inner.vocabulary.words[:-1]
        others = [[*asked.instead[word].split()] if word in asked.instead else [word] for word in spoken]
        words = dict.fromkeys(word for group in [*others, *around] for word in group if word != UNKNOWN)
        self.vocabulary = Vocabulary((*words, UNKNOWN))
        token = self.vocabulary.tokens
        rows = [[0], *([token[word] for word in group] for group in others), [len(self.vocabulary)]]
        longest = max(map(len, rows))
        self._others = torch.tensor(
            [row + [0] * (longest - len(row)) for row in rows], device=self.device
        )  # (V + 2, M)
        self._counts = torch.tensor(list(map(len, rows)), device=self.device)
        self._around = [torch.tensor([token[word] for word in each], dtype=torch.int64) for each in around]
        self._hashes = PairHashes(gallery.ids, seed, MAX_WORDS, self.device)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of what is said of candidates (B,)."""
        said = ask(self.inner, targets, candidates, previous)
        said = said.masked_fill((said == 0).cumsum(dim=1) > 0, 0)
        hashes = self._hashes(targets, candidates)
        told = self._others[said, below(hashes, self._counts[said])]
        before, after = (each.to(self.device).expand(len(said), -1) for each in self._around)
        whole = torch.cat([before, told, after], dim=1)
        return closed_up(whole, (whole > 0) & (said[:, :1] > 0))

    def sentences(self, targets: Tensor, candidates: Tensor) -> list[str]:
        """The feedback on candidates (B,) as text."""
        return self.vocabulary.decode(self.feedback(targets, candidates, torch.full_like(targets, -1)).cpu())
