"""Source `shoes`: the data set of the paper, from a user's own copy of the photographs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dialog_env.catalog.sources.captions import Captions, load_captions
from dialog_env.catalog.sources.descriptions import descriptions_of, read_descriptions
from dialog_env.catalog.sources.manifest import Manifest, share
from dialog_env.catalog.sources.photographs import Photographs
from dialog_env.io.reading import some

PATTERN = "img_womens_*.jpg"
CLASS = re.compile(r"img_womens_(.+)_\d+\.jpg")
VALIDATION_SHARE = 0.05


@dataclass
class Shoes(Photographs):
    """Photographs `womens_*/…/img_womens_*.jpg` anywhere below a root, with the caption files and name lists.

    The official lists make the splits: 4,658 evaluation images are "test"; of the 10,000 train images a twentieth,
    by a hash of the name, is "validation". The categorical attribute is the class, from the file name.

    Args:
        captions: folder with the two JSON files and the two name lists; the root where empty.
        descriptions: a JSON file of name to sentence, by which images are known where the photographs are missing; the
            backbone is a sentence encoder then, and the pictures are cards with the sentence.
        skip_missing: leave out (and count) listed images that are not there instead of refusing.
    """

    captions: Path | None = None
    descriptions: Path | None = None
    skip_missing: bool = False

    def manifest(self) -> Manifest:
        """Finds the file of every listed image.

        Raises:
            FileNotFoundError: there is no listed photograph at all, or some are missing and `skip_missing` is off.
            ValueError: two files of the same name, or a name without a class.
        """
        captions = load_captions(self.captions or self.root)
        if self.descriptions is not None:
            return self._described(captions, self.descriptions)
        found = find_photographs(self.root)
        listed = [(name, split) for split, names in captions.names.items() for name in names]
        missing = [name for name, _ in listed if name not in found]
        if len(missing) == len(listed):
            raise FileNotFoundError(
                f"the photographs of Shoes are missing: none of the {len(listed)} listed lies below {self.root}; "
                "a catalogue needs your own copy of the images, or --descriptions with a sentence about each"
            )
        if missing and not self.skip_missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(listed)} listed photographs of Shoes are missing below {self.root} "
                f"({some(missing, 3)}); add them, or pass --skip-missing"
            )
        kept = [(name, split) for name, split in listed if name in found]
        return Manifest(
            name=self.name or "shoes",
            ids=[name for name, _ in kept],
            files=[found[name] for name, _ in kept],
            splits=[split_of(name, split) for name, split in kept],
            columns={"class": [class_of(name) for name, _ in kept]},
            skipped={
                "listed image missing": len(missing),
                "image in no list": len(found) - len(kept),
                "caption of a pair from different lists": captions.unlisted,
            },
            provenance={"layout": "Shoes", "official split": {name: len(n) for name, n in captions.names.items()}},
        )

    def _described(self, captions: Captions, path: Path) -> Manifest:
        """The listed images by their descriptions."""
        listed = {name: split for split, names in captions.names.items() for name in names}
        sentences, skipped = descriptions_of(list(listed), read_descriptions([path]), str(path), self.skip_missing)
        return Manifest(
            name=self.name or "shoes, from descriptions",
            ids=list(sentences),
            splits=[split_of(name, listed[name]) for name in sentences],
            columns={"class": [class_of(name) for name in sentences]},
            descriptions=list(sentences.values()),
            skipped={**skipped, "caption of a pair from different lists": captions.unlisted},
            provenance={"layout": "Shoes", "from": "descriptions"},
        )


def split_of(name: str, listed: str) -> str:
    """The split of an image: evaluation is "test", train is "train" or, by a hash of the name, "validation"."""
    if listed == "evaluation":
        return "test"
    return "validation" if share(name) < VALIDATION_SHARE else "train"


def class_of(name: str) -> str:
    """The class in a file name: "rain boots" in `img_womens_rain_boots_12.jpg`."""
    found = CLASS.fullmatch(name)
    if found is None:
        raise ValueError(f"{some([name])!r} has no class; names of Shoes read img_womens_<class>_<number>.jpg")
    return found[1].replace("_", " ")


def find_photographs(root: Path) -> dict[str, Path]:
    """Files of Shoes photographs by name, anywhere below a root; ValueError where a name lies there twice."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob(PATTERN)):
        if path.name in found:
            raise ValueError(f"{path.name} lies at {found[path.name]} and at {path}; keep one of them")
        found[path.name] = path
    return found
