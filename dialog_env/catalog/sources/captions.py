"""The human captions of the Shoes data set; they load without the photographs."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dialog_env.io.reading import read_json, read_text, some

RELATIVE_FILE = "relative_captions_shoes.json"
SINGLE_FILE = "captions_shoes.json"
NAME_FILES = {"train": "train_im_names.txt", "evaluation": "eval_im_names.txt"}
NEEDED = f"the captions of Shoes need {', '.join((RELATIVE_FILE, SINGLE_FILE, *NAME_FILES.values()))} in one folder"


@dataclass(frozen=True)
class RelativeCaption:
    """How the target differs from the candidate, in a person's words; images by name, `place` where it is written."""

    target: str
    candidate: str
    sentence: str
    place: str = ""


@dataclass(frozen=True)
class ImageCaption:
    """A description of one image in a person's words."""

    image: str
    sentence: str
    place: str = ""


@dataclass(frozen=True)
class Captions:
    """The captions of a data set by split; the images that they name need not be at hand.

    Args:
        names: for each split ("train", "evaluation") the image names, in the order of the file.
        relative: for each split the relative captions both of whose images are in its list.
        single: for each split the captions of single images in its list.
        unlisted: how many relative captions are left out because their images stand in different lists.
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
        ValueError: a file without JSON, an entry without its fields or with an empty sentence, a name that stands twice
            in the lists, or captions of images that stand in none, as when a list is cut off.
    """
    folder = Path(folder)
    names = {split: _read_names(folder / file) for split, file in NAME_FILES.items()}
    split_of = {name: split for split, listed in names.items() for name in listed}
    if len(split_of) < sum(map(len, names.values())):
        both = sorted(set(names["train"]) & set(names["evaluation"]))
        raise ValueError(
            f"{folder} lists {some(both[:1])!r} ({len(both)} images in all) for train and evaluation; "
            "they must be disjoint"
        )
    relative: dict[str, list[RelativeCaption]] = {split: [] for split in names}
    single: dict[str, list[ImageCaption]] = {split: [] for split in names}
    unlisted = 0
    fields = ("ImageName", "ReferenceImageName", "RelativeCaption")
    for target, candidate, sentence in _read_entries(folder / RELATIVE_FILE, fields, 2, split_of):
        split = split_of[target]
        if split_of[candidate] != split:
            unlisted += 1
        else:
            relative[split].append(RelativeCaption(target, candidate, sentence))
    for image, sentence in _read_entries(folder / SINGLE_FILE, ("ImageName", "Caption"), 1, split_of):
        single[split_of[image]].append(ImageCaption(image, sentence))
    return Captions(names, relative, single, unlisted)


def _read_names(path: Path) -> tuple[str, ...]:
    text = read_text(path, "list of image names", NEEDED)
    names = tuple(line.strip() for line in text.split("\n") if line.strip())
    if not names:
        raise ValueError(f"{path} lists no image; give one image name per line")
    twice, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path} lists {some([twice])!r} more than once; give every image name once")
    return names


def _read_entries(path: Path, fields: tuple[str, ...], images: int, listed: Collection[str]) -> list[tuple[str, ...]]:
    """The texts of `fields`, the first `images` of which are names of listed images, of every entry of a file."""
    rows = []
    unknown: dict[str, None] = {}
    for number, entry in enumerate(read_json(path, list[dict[str, Any]], "list of captions", NEEDED)):
        values = [entry.get(field) for field in fields]
        texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
        if len(texts) < len(fields):
            raise ValueError(
                f"{path} has {reprlib.repr(entry)} as entry {number}; give text for each of {', '.join(fields)}"
            )
        unknown.update(dict.fromkeys(name for name in texts[:images] if name not in listed))
        rows.append(tuple(texts))
    if unknown:
        raise ValueError(
            f"{path} has captions of {len(unknown)} images that stand in neither list of names "
            f"({some(unknown, 3)}), as when a list is cut off; "
            f"fetch {' and '.join(NAME_FILES.values())} again, or remove those captions"
        )
    return rows
