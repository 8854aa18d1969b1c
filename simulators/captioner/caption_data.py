"""What captioners learn from: sentences on pairs of images, from people or from the describer."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.catalog.images import suffixes
from dialog_env.catalog.sources.captions import Captions
from dialog_env.catalog.sources.manifest import share
from dialog_env.catalog.sources.written import read_captions
from dialog_env.simulators.describer.user import Describer
from dialog_env.world.dialog import embedded, first_candidates
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from dialog_env.world.vocabulary import Vocabulary, split_words

SIMILAR_SHARE = 0.5
"""Share of described pairs whose candidate looks like the target, as candidates do late in a dialog."""
SIMILAR_IMAGES = 64
"""Such a candidate is one of so many nearest images by pooled features."""

DISTANT_PER_CAPTION = 5
DISTANT_SHARE = 0.1
"""A single-image caption is paired with images out of the most distant tenth of the gallery."""

JUDGED_SHARE = 0.05
"""Of the pairs of one gallery, by which the best epoch is chosen."""
NAMED_IN_ERRORS = 3
ROWS = 256


class Examples(NamedTuple):
    """Pairs of images and what is said of them.

    Attributes:
        targets: (P,) int64 gallery positions.
        candidates: (P,) int64 gallery positions.
        tokens: (P, L) int64.
    """

    targets: Tensor
    candidates: Tensor
    tokens: Tensor

    def take(self, rows: Tensor) -> Examples:
        """The examples at `rows`."""
        return Examples(self.targets[rows], self.candidates[rows], self.tokens[rows])


class CaptionSource(ABC):
    """Sentences on pairs of images of one gallery.

    Attributes:
        id: changes whenever what it draws may change.
        gallery: whose positions it speaks of.
        part: "all", or which part of the pairs of a gallery that another source shares.
    """

    id: str
    gallery: Catalog
    part: str = "all"

    @abstractmethod
    def sentences(self) -> list[str]:
        """What a vocabulary is made from."""

    @abstractmethod
    def draw(self, vocabulary: Vocabulary, generator: torch.Generator) -> Examples:
        """The examples of one epoch, in no particular order."""

    def scored(self, vocabulary: Vocabulary, generator: torch.Generator) -> Examples:
        """The examples that a captioner is scored on."""
        return self.draw(vocabulary, generator)

    @abstractmethod
    def references(self, examples: Examples) -> list[list[str]]:
        """For each example all sentences that would be right."""


class DescribedPairs(CaptionSource):
    """Random pairs of a gallery, other ones at every draw, with the sentences of the describer.

    Half of the candidates are drawn uniformly, half among the images that look most like the target.

    Args:
        gallery: images with attributes.
        pairs: P, how many are drawn at once.
        seed: of the describer, and of the pairs that the vocabulary is made from.
        describers: how many describers, seeds `seed`, `seed + 1`, … give references.

    Raises:
        ValueError: fewer than 1 pair, a gallery of one image, or one without attributes.
    """

    def __init__(self, gallery: Catalog, pairs: int, *, seed: int = 0, describers: int = 1) -> None:
        if pairs < 1 or describers < 1:
            raise ValueError(f"{pairs} pairs by {describers} describers were asked for; give at least 1 of each")
        if len(gallery) < 2:
            raise ValueError("the gallery has one image only; there is nothing that it could differ from")
        self.gallery, self.pairs, self.seed = gallery, pairs, seed
        self.describers = [Describer(gallery, seed=seed + number) for number in range(describers)]
        self.id = f"{self.describers[0].id}/{pairs} pairs/{gallery.fingerprint}"
        self._images = embedded(gallery)

    def sentences(self) -> list[str]:
        """The describer's on as many pairs as are drawn at once."""
        targets, candidates = self._pairs(torch.Generator().manual_seed(self.seed))
        return self.describers[0].sentences(targets, candidates)

    def draw(self, vocabulary: Vocabulary, generator: torch.Generator) -> Examples:
        """New pairs; words that the vocabulary lacks become UNK."""
        targets, candidates = self._pairs(generator)
        spoken = self.describers[0].feedback(targets, candidates, torch.full_like(targets, -1))
        theirs = self.describers[0].vocabulary.words
        translated = torch.tensor([0, *(vocabulary.tokens.get(word, len(vocabulary)) for word in theirs)])
        return Examples(targets, candidates, translated[spoken])

    def references(self, examples: Examples) -> list[list[str]]:
        """What each of the describers says."""
        said = [each.sentences(examples.targets, examples.candidates) for each in self.describers]
        return [list(sentences) for sentences in zip(*said, strict=True)]

    def _pairs(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images = len(self.gallery)
        targets = torch.randint(images, (self.pairs,), generator=generator)
        candidates = first_candidates(targets, images, generator)
        similar = torch.rand(self.pairs, generator=generator) < SIMILAR_SHARE
        nearest = min(SIMILAR_IMAGES, images - 1)
        places = torch.randint(nearest, (int(similar.sum()),), generator=generator)
        candidates[similar] = near_images(self._images, targets[similar], nearest, places)
        return targets, candidates


def near_images(images: EmbeddedGallery, targets: Tensor, nearest: int, places: Tensor) -> Tensor:
    """(B,) the image at place `places` (B,), 0 being the nearest, among those nearest to each of `targets` (B,)."""
    chosen = []
    for rows, where in zip(targets.split(ROWS), places.split(ROWS), strict=True):
        order = QueryRanking(images.embeddings[rows], images).top(nearest, excluded=rows[:, None])
        chosen.append(order.gather(1, where[:, None])[:, 0])
    return torch.cat(chosen) if chosen else torch.zeros_like(targets)


class WrittenPairs(CaptionSource):
    """People's sentences on pairs of a gallery; the same at every draw.

    Relative captions count where both images are in the gallery. A caption of a single image is paired with five
    images out of the most distant tenth, because of very different images people describe the target alone.

    Args:
        gallery: a split of the catalogue that the captions are about.
        captions: what `read_captions` or `load_captions` read. Images are called by their id, or by it and a suffix.
        part: "all" pairs; "judge" for a twentieth of them, at least one, by a hash of the pair, and "learn" for the
            rest, where both are taken from one gallery.
        skip_unusable: leave out captions that cannot be used instead of refusing them all.
        seed: of the choice of the distant images.

    Attributes:
        left_out: why captions of the files cannot be used, one sentence each.

    Raises:
        ValueError: captions of images that the whole catalogue lacks, of an image with itself or without any word,
            where `skip_unusable` is off; or no caption at all of the gallery.
    """

    def __init__(
        self, gallery: Catalog, captions: Captions, *, part: str = "all", skip_unusable: bool = False, seed: int = 0
    ) -> None:
        self.gallery, self.part = gallery, part
        position = {str(name): place for place, name in enumerate(gallery.ids)}
        known = {str(name) for name in gallery.split("all").ids}
        written = [
            ((called(each.target, known), called(each.candidate, known), each.sentence), each.place)
            for listed in captions.relative.values()
            for each in listed
        ]
        alone = [
            ((called(each.image, known), each.sentence), each.place)
            for listed in captions.single.values()
            for each in listed
        ]
        told = [(unusable(names, known), place) for names, place in [*written, *alone]]
        self.left_out = [f"{place}: {reason}" if place else reason for reason, place in told if reason]
        if self.left_out and not skip_unusable:
            shown = "; ".join(
                [*self.left_out[:NAMED_IN_ERRORS], *(["…"] if len(self.left_out) > NAMED_IN_ERRORS else [])]
            )
            raise ValueError(
                f"{len(self.left_out)} of {len(told)} captions cannot be used ({shown}); "
                "mend them, or leave them out with --skip-unusable"
            )
        pairs = [names for names, _ in written if {*names[:2]} <= position.keys() and not unusable(names, known)]
        single = [names for names, _ in alone if names[0] in position and not unusable(names, known)]
        if part != "all":
            judging = _judging([*(names[:2] for names in pairs), *(names[:1] for names in single)])
            pairs = [names for names in pairs if (names[:2] in judging) == (part == "judge")]
            single = [names for names in single if (names[:1] in judging) == (part == "judge")]
        if not pairs and not single:
            raise ValueError(
                f"no caption is about images of split {gallery.split_name!r} alone; choose another split or captions"
            )
        self.relative = len(pairs)
        distant = self._distant(torch.tensor([position[image] for image, _ in single], dtype=torch.int64), seed)
        described = torch.arange(len(single)).repeat_interleave(distant.shape[1])
        self._targets = torch.tensor(
            [position[target] for target, _, _ in pairs] + [position[single[row][0]] for row in described.tolist()]
        )
        candidates = torch.tensor([position[candidate] for _, candidate, _ in pairs], dtype=torch.int64)
        self._candidates = torch.cat([candidates, distant.flatten()])
        self._sentences = [sentence for _, _, sentence in pairs] + [single[row][1] for row in described.tolist()]
        self._written = self._sentences[: len(pairs)] + [sentence for _, sentence in single]
        listed = repr([self._targets.tolist(), self._candidates.tolist(), self._sentences])
        self.id = f"written:{hashlib.sha256(listed.encode()).hexdigest()[:12]}/{gallery.fingerprint}"

    def sentences(self) -> list[str]:
        """Each sentence as often as it was written."""
        return self._written

    def draw(self, vocabulary: Vocabulary, generator: torch.Generator) -> Examples:
        """All of them; the generator plays no part."""
        return Examples(self._targets, self._candidates, torch.from_numpy(vocabulary.encode(self._sentences)))

    def scored(self, vocabulary: Vocabulary, generator: torch.Generator) -> Examples:
        """The first sentence of every pair: what else was written of it is a reference.

        Where most pairs have several sentences, the few with one alone are left out: all are scored against as many.
        """
        examples = self.draw(vocabulary, generator)
        places: dict[tuple[int, int], list[int]] = {}
        for place, pair in enumerate(zip(examples.targets.tolist(), examples.candidates.tolist(), strict=True)):
            places.setdefault(pair, []).append(place)
        several = [group for group in places.values() if len(group) > 1]
        groups = several if len(several) > len(places) / 2 else places.values()
        rows = torch.tensor([group[0] for group in groups], dtype=torch.int64)
        return Examples(examples.targets[rows], examples.candidates[rows], examples.tokens[rows])

    def references(self, examples: Examples) -> list[list[str]]:
        """What people wrote of the same pair."""
        written: dict[tuple[int, int], list[str]] = {}
        for target, candidate, sentence in zip(
            self._targets.tolist(), self._candidates.tolist(), self._sentences, strict=True
        ):
            written.setdefault((target, candidate), []).append(" ".join(split_words(sentence)))
        pairs = zip(examples.targets.tolist(), examples.candidates.tolist(), strict=True)
        return [written[pair] for pair in pairs]

    def _distant(self, targets: Tensor, seed: int) -> Tensor:
        """(M, 5) different images far from targets (M,), fewer in a tiny gallery."""
        images = embedded(self.gallery)
        far = max(1, min(len(images) - 1, max(DISTANT_PER_CAPTION, round(DISTANT_SHARE * len(images)))))
        generator = torch.Generator().manual_seed(seed)
        chosen = [torch.zeros(0, min(far, DISTANT_PER_CAPTION), dtype=torch.int64)]
        for rows in targets.split(ROWS):
            order = torch.cdist(images.embeddings[rows].double(), images.embeddings.double())
            places = torch.rand(len(rows), far, generator=generator).argsort(dim=1)[:, :DISTANT_PER_CAPTION]
            chosen.append(order.topk(far, dim=1).indices.gather(1, places))
        return torch.cat(chosen)


def called(name: str, known: Collection[str]) -> str:
    """The id that is meant by a name: itself, or what stands before the suffix of a picture's file."""
    stem, dot, suffix = name.rpartition(".")
    return stem if name not in known and f"{dot}{suffix}".casefold() in suffixes() and stem in known else name


def _judging(groups: Sequence[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Those by which the best epoch is chosen: a twentieth by a hash of their ids, or the first by it where none is."""
    shares = {images: share("\n".join(images)) for images in groups}
    bound = max(JUDGED_SHARE, min(shares.values(), default=0) * (1 + 1e-9))
    return {images for images, place in shares.items() if place < bound}


def unusable(caption: Sequence[str], known: set[str]) -> str:
    """Why a caption (images…, sentence) cannot be used, empty where it can."""
    *images, sentence = caption
    unknown = [image for image in images if image not in known]
    if unknown:
        return f"the catalogue has no image {unknown[0]!r}"
    if len(set(images)) < len(images):
        return f"{images[0]!r} is compared with itself"
    return "" if split_words(sentence) else f"{sentence!r} about {images[0]!r} has no word"


def open_captions(
    spec: str,
    gallery: Catalog,
    *,
    pairs: int,
    seed: int,
    describers: int = 1,
    part: str = "all",
    skip_unusable: bool = False,
    relative_only: bool = False,
) -> CaptionSource:
    """The captions that `spec` names for a gallery.

    Args:
        spec: "describer"; or written captions: a CSV with the columns target, candidate and sentence, JSON of Shoes or
            Fashion-IQ, or the folder of one of these.
        gallery: a split of a catalogue.
        pairs: how many the describer speaks of at a draw.
        seed: of what is drawn.
        describers: how many give references.
        part, skip_unusable: see `WrittenPairs`.
        relative_only: passes over written captions of single images: nobody wrote them about a pair.

    Raises:
        FileNotFoundError: a file of the folder is missing.
        ValueError: see `DescribedPairs`, `WrittenPairs` and `read_captions`.
    """
    if spec == "describer":
        return DescribedPairs(gallery, pairs, seed=seed, describers=describers)
    captions = read_captions(Path(spec), gallery.split("all").ids.tolist())
    if relative_only:
        captions = replace(captions, single={})
    return WrittenPairs(gallery, captions, part=part, skip_unusable=skip_unusable, seed=seed)


def batches(examples: Examples, size: int, generator: torch.Generator, sorted_over: int = 16) -> list[Examples]:
    """Examples in random order, in batches of sentences of similar length, the batches in random order.

    Sentences are sorted by length within every `sorted_over` batches: a batch takes as many steps as its longest.
    """
    lengths = (examples.tokens != 0).sum(dim=1)
    order = torch.randperm(len(lengths), generator=generator)
    together = [some[lengths[some].argsort(stable=True)] for some in order.split(size * sorted_over)]
    portions = [rows for some in together for rows in some.split(size)]
    chosen = [examples.take(portions[place]) for place in torch.randperm(len(portions), generator=generator).tolist()]
    return [each._replace(tokens=each.tokens[:, : int((each.tokens != 0).sum(dim=1).max())]) for each in chosen]


def image_digests(gallery: Catalog) -> list[str]:
    """Short digests of the ids of a gallery, by which training images are told from held-out ones."""
    return sorted(hashlib.sha256(str(name).encode()).hexdigest()[:10] for name in np.asarray(gallery.ids))
