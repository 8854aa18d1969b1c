"""A user who says what a person once said of the pair; where nobody did, nothing, or what another user says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.catalog.sources.captions import Captions
from dialog_env.catalog.sources.manifest import share
from dialog_env.catalog.sources.written import read_captions
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner.caption_data import called, unusable
from dialog_env.simulators.captioner.user import open_captioner
from dialog_env.world.hearing import hearing as hearing_of
from dialog_env.world.user import ask
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary

VERSION = 2
"""Of the answers, and of the images that dialogs begin with."""


class RecordedUser:
    """Answers with people's own sentences, `recorded:pairs.csv`.

    Of several sentences on a pair one is chosen, by a hash of the ids and the seed. On a pair of which nobody spoke it
    says nothing: its tokens are all 0, and `has_record` tells. With `inner` another user speaks there, so that agents
    can learn from people and hold whole dialogs: `recorded:argument=pairs.csv,inner=captioner:FOLDER`.

    Dialogs with it begin with an image that somebody compared the target with, where there is one.

    Args:
        gallery: the images it will be asked about.
        argument: a CSV of target, candidate and sentence, JSON of Shoes or Fashion-IQ, or the folder of one of these.
        inner: the user who speaks of the other pairs, whatever `make_simulator` takes; nobody where empty.
        words: a captioner, folder or file, whose vocabulary it keeps to: an agent that has learned from that captioner
            understands it. Without one, those of `inner`, or all words of the sentences.
        hearing: what becomes of words that the captioner lacks: `unk`, each is UNK, `exact`, they are passed over,
            `mended`, or the folder of a sentence encoder (`dialog_env.world.hearing`).
        skip_unusable: leaves out sentences on unknown images, on an image and itself, or without a word, instead of
            refusing.
        seed: another seed chooses other sentences, where there are several.
        device: where it takes and gives tensors.

    Attributes:
        pairs: (2, P) int64, target and candidate of the pairs of this gallery that somebody spoke of, ascending.

    Raises:
        FileNotFoundError: there are no captions, or no captioner.
        ValueError: captions that cannot be read or used, or none on a pair of the gallery.
    """

    def __init__(
        self,
        gallery: Catalog,
        *,
        argument: str | Path | None = None,
        inner: Any = "",
        words: str = "",
        hearing: str = "unk",
        skip_unusable: bool = False,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        if argument is None:
            raise ValueError("user 'recorded' needs people's sentences; write recorded:pairs.csv")
        everything = gallery.split("all").ids.tolist()
        said = usable(read_captions(Path(argument), everything), set(map(str, everything)), argument, skip_unusable)
        position = {str(name): place for place, name in enumerate(gallery.ids)}
        spoken: dict[tuple[int, int], list[str]] = {}
        for target, candidate, sentence in said:
            if target in position and candidate in position:
                spoken.setdefault((position[target], position[candidate]), []).append(sentence)
        if not spoken and not inner:
            raise ValueError(
                f"{argument} has no sentence on two images of split {gallery.split_name!r} of catalogue "
                f"{gallery.name!r}; choose another split or captions, or name an inner user who speaks instead"
            )
        chosen = {pair: _chosen(sentences, gallery, pair, seed) for pair, sentences in sorted(spoken.items())}
        self.device = torch.device(device)
        self.gallery_fingerprint = gallery.fingerprint
        if inner and words:
            raise ValueError(
                f"words={words!r} are given beside inner={inner!r}, whose words are kept to; give one of them"
            )
        self.inner = make_simulator(inner, gallery, device=device) if inner else None
        self.uses_previous = self.inner is not None and getattr(self.inner, "uses_previous", True)
        self.deterministic = getattr(self.inner, "deterministic", True)
        if self.inner is not None:
            self.vocabulary = self.inner.vocabulary
        elif words:
            self.vocabulary = open_captioner(words).vocabulary
        else:
            self.vocabulary = Vocabulary.from_sentences(each for _, _, each in said)
        self.pairs = torch.tensor(list(chosen), dtype=torch.int64, device=self.device).reshape(-1, 2).T
        self._images = len(gallery)
        beyond = self.pairs.new_tensor([self._images**2])  # so that whatever is looked for has a place
        self._keys = torch.cat([self.pairs[0] * self._images + self.pairs[1], beyond])
        heard, called = list(chosen.values()), ""
        if hearing != "unk":
            hears = hearing_of(hearing, self.vocabulary)
            heard, called = [hears.said(sentence) for sentence in heard], hears.id
        tokens = torch.from_numpy(self.vocabulary.encode(heard)).reshape(-1, MAX_WORDS)
        self._tokens = torch.cat([tokens, torch.zeros(1, MAX_WORDS, dtype=torch.int64)]).to(self.device)
        digest = hashlib.sha256(repr((VERSION, seed, self.vocabulary.fingerprint, sorted(said))).encode())
        parts = [f"recorded-{VERSION}", digest.hexdigest()[:12], called, "" if self.inner is None else self.inner.id]
        self.id = ":".join(filter(None, parts))

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of what is said of candidates (B,) when targets (B,) are meant; 0 where nothing."""
        rows = self._rows(targets, candidates)
        said = self._tokens[rows]
        others = (rows == self.pairs.shape[1]).nonzero()[:, 0]
        if self.inner is None or not len(others):
            return said
        return said.index_put((others,), ask(self.inner, targets[others], candidates[others], previous[others]))

    def first_candidates(self, targets: Tensor, drawn: Tensor) -> Tensor:
        """(B,) images that somebody compared the targets (B,) with, chosen by those drawn (B,); else just these."""
        first, last = (torch.searchsorted(self._keys, (targets + more) * self._images) for more in (0, 1))
        rows = first + drawn % (last - first).clamp(min=1)
        return torch.where(last > first, self._keys[rows] % self._images, drawn)

    def has_record(self, targets: Tensor, candidates: Tensor) -> Tensor:
        """(B,) bool, whether somebody spoke of the pair."""
        return self._rows(targets, candidates) < self.pairs.shape[1]

    def sentences(self, targets: Tensor, candidates: Tensor) -> list[str]:
        """The feedback on candidates (B,) as text; "" where nothing is said."""
        return self.vocabulary.decode(self.feedback(targets, candidates, torch.full_like(targets, -1)).cpu())

    def _rows(self, targets: Tensor, candidates: Tensor) -> Tensor:
        """(B,) rows of the tokens, the last one, which is empty, for pairs without a record."""
        keys = targets * self._images + candidates
        rows = torch.searchsorted(self._keys, keys)
        return torch.where(self._keys[rows] == keys, rows, self.pairs.shape[1])


def usable(captions: Captions, known: set[str], where: str | Path, skip_unusable: bool) -> list[tuple[str, str, str]]:
    """Target, candidate and sentence of relative captions; ValueError where some cannot be used, unless skipped."""
    listed = [each for captions_of_split in captions.relative.values() for each in captions_of_split]
    rows = [(called(each.target, known), called(each.candidate, known), each.sentence) for each in listed]
    reasons = [unusable(row, known) for row in rows]
    wrong = [place for place, reason in enumerate(reasons) if reason]
    if wrong and not skip_unusable:
        first = listed[wrong[0]].place or where
        raise ValueError(
            f"{len(wrong)} of {len(rows)} sentences cannot be used ({first}: {reasons[wrong[0]]}); mend them, or leave "
            "them out with skip_unusable=true"
        )
    return [row for row, reason in zip(rows, reasons, strict=True) if not reason]


def _chosen(sentences: list[str], gallery: Catalog, pair: tuple[int, int], seed: int) -> str:
    names = "\n".join(str(gallery.ids[place]) for place in pair)
    return sentences[int(np.floor(share(names, f"{seed}:") * len(sentences)))]
