"""A user whose words are partly lost on the way: left out, exchanged for others, or misspelt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.simulators import make_simulator
from dialog_env.simulators.describer.pair_hash import CHANCES, PairHashes, below
from dialog_env.simulators.reworded import closed_up
from dialog_env.world.user import answer_as, ask
from dialog_env.world.vocabulary import MAX_WORDS, UNKNOWN, Vocabulary

VERSION = 1

KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class NoisyUser:
    """Says what another user says, but each word may be left out, be another one, or be misspelt.

    A word in place of another is any known one. A misspelt word has lost a letter, has one twice, two neighbours
    exchanged, or one from the key beside it (any such slip is equally likely), and is looked up again: mostly it is
    not known, so that it is UNK, but "heels" without its s is a word. What becomes of a word is decided by a hash of
    the ids of both images, the seed and the place in the sentence. A pair thus gets the same answer in every split,
    batch, order and device, and the words that suffer at a low rate suffer at a higher one too.

    Args:
        gallery: the images it will be asked about.
        inner: the user who speaks: whatever `make_simulator` takes.
        dropped, replaced, misspelt: share of the words to which this happens; together at most 1.
        seed: another seed draws otherwise.
        device: where it takes and gives tensors.

    Raises:
        ValueError: a share below 0, shares of more than 1 together, words to be exchanged where only one is known, or
            whatever the other user refuses.
    """

    def __init__(
        self,
        gallery: Catalog,
        *,
        inner: Any = "captioner",
        dropped: float = 0.0,
        replaced: float = 0.0,
        misspelt: float = 0.0,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        rates = {"dropped": dropped, "replaced": replaced, "misspelt": misspelt}
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} is {rate}; give a share of the words, from 0 to 1")
        if (together := sum(rates.values())) > 1 + 1e-9:
            raise ValueError(
                f"dropped, replaced and misspelt are {together:g} together; give shares of at most 1 in all"
            )
        self.inner = make_simulator(inner, gallery, device=device)
        self.device = torch.device(device)
        self.gallery_fingerprint = gallery.fingerprint
        self.vocabulary = self.inner.vocabulary
        answer_as(self, self.inner)
        self._known = len(self.vocabulary) - 1
        if replaced and self._known < 2:
            raise ValueError(f"user {self.inner.id} knows one word, which no other can replace; leave replaced at 0")
        told = ",".join(f"{name}={float(rate)}" for name, rate in rates.items())
        self.id = f"noisy-{VERSION}:{told},seed={seed}:{self.inner.id}"
        bounds = [round(sum(list(rates.values())[: number + 1]) * CHANCES) for number in range(len(rates))]
        self._dropped, self._replaced, self._misspelt = bounds
        self._hashes = PairHashes(gallery.ids, seed, 2 * MAX_WORDS, self.device)
        table, counts = _misspelt_tokens(self.vocabulary)
        self._misspellings, self._counts = table.to(self.device), counts.to(self.device)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of what arrives of the feedback on candidates (B,), which may be nothing."""
        said = ask(self.inner, targets, candidates, previous)
        hashes = self._hashes(targets, candidates)  # (B, 2 L)
        fate, choice = below(hashes[:, :MAX_WORDS], CHANCES), hashes[:, MAX_WORDS:]
        heard = torch.where(fate < self._misspelt, self._misspell(said, choice), said)
        heard = torch.where(fate < self._replaced, self._replace(said, choice), heard)
        stays = ((said == 0).cumsum(dim=1) == 0) & (fate >= self._dropped)
        return closed_up(heard, stays)

    def sentences(self, targets: Tensor, candidates: Tensor) -> list[str]:
        """The feedback on candidates (B,) as text."""
        return self.vocabulary.decode(self.feedback(targets, candidates, torch.full_like(targets, -1)).cpu())

    def _replace(self, tokens: Tensor, choice: Tensor) -> Tensor:
        """Any other known word for each of (B, L)."""
        others = torch.where(tokens <= self._known, self._known - 1, self._known).clamp(min=1)
        other = 1 + below(choice, others)
        return other + (other >= tokens)

    def _misspell(self, tokens: Tensor, choice: Tensor) -> Tensor:
        """Any misspelling for each of (B, L)."""
        return self._misspellings[tokens, below(choice, self._counts[tokens])]


def misspellings(word: str) -> list[str]:
    """All that a word becomes by one slip: a letter lost, doubled, exchanged with the next, or of the key beside it.

    >>> misspellings("no")
    ['bo', 'mo', 'n', 'ni', 'nno', 'noo', 'np', 'o', 'on']
    """
    pairs = [(word[:place], word[place:]) for place in range(len(word))]
    slips = [before + after[1:] for before, after in pairs]
    slips += [before + after[0] + after for before, after in pairs]
    slips += [before + after[1] + after[0] + after[2:] for before, after in pairs if len(after) > 1]
    slips += [before + key + after[1:] for before, after in pairs for key in _beside(after[0])]
    return sorted({slip for slip in slips if slip and slip != word})


def _beside(letter: str) -> str:
    """The keys to the left and right of one, as far as they are letters."""
    row = next((row for row in KEYBOARD if letter in row), "")
    place = row.find(letter)
    return row[max(place - 1, 0) : place] + row[place + 1 : place + 2] if row else ""


def _misspelt_tokens(vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """(V + 1, M) int64 tokens of all misspellings of each, and (V + 1,) how many there are; UNK stays what it is."""
    unknown = len(vocabulary)
    known = {word: token for word, token in vocabulary.tokens.items() if word != UNKNOWN}
    rows = [[known.get(slip, unknown) for slip in misspellings(word)] for word in vocabulary.words[:-1]]
    rows = [[0], *rows, [unknown]]
    longest = max(map(len, rows))
    table = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return table, torch.tensor([len(row) for row in rows])
