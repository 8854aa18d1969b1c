"""The human captions of the Shoes data set; they load without the photographs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RELATIVE_FILE = "relative_captions_shoes.json"
SINGLE_FILE = "captions_shoes.json"
NAME_FILES = {"train": "train_im_names.txt", "evaluation": "eval_im_names.txt"}


@dataclass(frozen=True)
class RelativeCaption:
    """How the target differs from the candidate, in a person's words; images by name."""

    target: str
    candidate: str
    sentence: str


@dataclass(frozen=True)
class ImageCaption:
    """A description of one image in a person's words."""

    image: str
    sentence: str


@dataclass(frozen=True)
class Captions:
    """The captions of a data set by split; the images that they name need not be at hand.

    Args:
        names: for each split ("train", "evaluation") the image names, in the order of the file.
        relative: for each split the relative captions both of whose images are in its list.
        single: for each split the single-image captions whose image is in its list.
        unlisted: relative and single captions that fit no list.
    """

    names: dict[str, tuple[str, ...]]
    relative: dict[str, list[RelativeCaption]]
    single: dict[str, list[ImageCaption]]
    unlisted: int

    def sentences(self, split: str = "train") -> list[str]:
        """All sentences of a split, relative ones first: what a vocabulary is made from."""
        relative = [caption.sentence for caption in self.relative[split]]
        return relative + [caption.sentence for caption in self.single[split]]


def load_captions(folder: str | Path) -> Captions:
    """Reads the two caption files and the two name lists of Shoes; no image is looked for.

    A pair belongs to a split when both its names stand in that split's list (8,990 train and 1,761 evaluation
    pairs; 3,000 and 600 single captions).

    Raises:
        FileNotFoundError: one of the four files is missing.
        ValueError: a file without JSON, an entry without its fields or with an empty sentence, or a name that
            stands twice in the lists.
    """
    folder = Path(folder)
    names = {split: _read_names(folder / file) for split, file in NAME_FILES.items()}
    split_of = {name: split for split, listed in names.items() for name in listed}
    if len(split_of) < sum(map(len, names.values())):
        both = sorted(set(names["train"]) & set(names["evaluation"]))
        raise ValueError(
            f"{folder} lists {both[0]!r} ({len(both)} images in all) for train and evaluation; they must be disjoint"
        )
    relative: dict[str, list[RelativeCaption]] = {split: [] for split in names}
    single: dict[str, list[ImageCaption]] = {split: [] for split in names}
    unlisted = 0
    fields = ("ImageName", "ReferenceImageName", "RelativeCaption")
    for target, candidate, sentence in _read_entries(folder / RELATIVE_FILE, fields):
        split = split_of.get(target)
        if split is None or split_of.get(candidate) != split:
            unlisted += 1
        else:
            relative[split].append(RelativeCaption(target, candidate, sentence))
    for image, sentence in _read_entries(folder / SINGLE_FILE, ("ImageName", "Caption")):
        split = split_of.get(image)
        if split is None:
            unlisted += 1
        else:
            single[split].append(ImageCaption(image, sentence))
    return Captions(names, relative, single, unlisted)


def _read(path: Path) -> str:
    if not path.is_file():
        needed = ", ".join((RELATIVE_FILE, SINGLE_FILE, *NAME_FILES.values()))
        raise FileNotFoundError(f"{path} is missing; the Shoes captions need {needed} in one folder")
    return path.read_text(encoding="utf-8")


def _read_names(path: Path) -> tuple[str, ...]:
    names = tuple(line.strip() for line in _read(path).splitlines() if line.strip())
    if not names:
        raise ValueError(f"{path} lists no image; give one image name per line")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} lists {twice!r} more than once; give every image name once")
    return names


def _read_entries(path: Path, fields: tuple[str, ...]) -> list[tuple[str, ...]]:
    try:
        entries: Any = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch it again") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} holds no list of captions; fetch it again")
    rows = []
    for number, entry in enumerate(entries):
        values = [entry.get(field) if isinstance(entry, dict) else None for field in fields]
        texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
        if len(texts) < len(fields):
            raise ValueError(f"{path} has {entry!r} as entry {number}; give text for each of {', '.join(fields)}")
        rows.append(tuple(texts))
    return rows
