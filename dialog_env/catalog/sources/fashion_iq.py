"""Source `fashion_iq`: one of the three kinds of clothes of Fashion-IQ (Wu et al., CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dialog_env.catalog.sources.descriptions import descriptions_of, read_descriptions
from dialog_env.catalog.sources.folder import find_pictures
from dialog_env.catalog.sources.manifest import Manifest, share
from dialog_env.catalog.sources.photographs import Photographs
from dialog_env.io.reading import read_json, some

LISTS = {"train": "train", "val": "test"}
"""The official lists that are taken, and the splits that they are."""
VALIDATION_SHARE = 0.05
NEEDED = "give the folder with image_splits/ and captions/ as root"


@dataclass
class FashionIq(Photographs):
    """Photographs `<id>.<suffix>` anywhere below a root that holds `image_splits/split.<kind>.<list>.json`.

    The official validation list is "test"; of the train list a twentieth, by a hash of the id, is "validation". The
    official test list is left out: nobody outside knows its targets. There are no attributes.

    Args:
        kind: of clothes.
        descriptions: folder with `image_captions_<kind>_<list>.json`, name to sentence, by which images are known where
            the photographs are missing; the backbone is a sentence encoder then, and the pictures are cards with the
            sentence.
        skip_missing: leave out (and count) listed images that are not there instead of refusing.
    """

    kind: Literal["dress", "shirt", "toptee"] = field(default="dress", kw_only=True)
    descriptions: Path | None = field(default=None, kw_only=True)
    skip_missing: bool = field(default=False, kw_only=True)
    measures: Literal["pixels", "none"] = field(default="none", kw_only=True)

    def manifest(self) -> Manifest:
        """Finds the file, or the description, of every listed image.

        Raises:
            FileNotFoundError: a list or all photographs are missing, or some are and `skip_missing` is off.
            ValueError: an image in both lists, or without a description.
        """
        listed = read_lists(self.root, self.kind)
        sentences: dict[str, str] = {}
        files: dict[str, Path] = {}
        if self.descriptions is None:
            files, skipped = self._photographs(list(listed))
        else:
            paths = [self.descriptions / f"image_captions_{self.kind}_{name}.json" for name in LISTS]
            sentences, skipped = descriptions_of(
                list(listed), read_descriptions(paths), str(self.descriptions), self.skip_missing
            )
        kept = list(files or sentences)
        called = f"fashion-iq {self.kind}{', from descriptions' if sentences else ''}"
        return Manifest(
            name=self.name or called,
            ids=kept,
            files=list(files.values()),
            splits=[split_of(name, listed[name]) for name in kept],
            descriptions=list(sentences.values()),
            skipped=skipped,
            provenance={"layout": f"Fashion-IQ, {self.kind}", **({"from": "descriptions"} if sentences else {})},
        )

    def _photographs(self, names: list[str]) -> tuple[dict[str, Path], dict[str, int]]:
        """The file of each image, and how many are missing."""
        try:
            found = {path.stem: path for path in find_pictures(self.root)[0].values()}
        except ValueError as error:
            raise FileNotFoundError(
                f"the photographs of Fashion-IQ are missing ({error}); a catalogue needs your own copy of the images, "
                "or --descriptions, a folder with a sentence about each"
            ) from error
        missing = [name for name in names if name not in found]
        if len(missing) == len(names) or (missing and not self.skip_missing):
            raise FileNotFoundError(
                f"{len(missing)} of {len(names)} listed photographs of Fashion-IQ are missing below {self.root} "
                f"({some(missing, 3)}); add them, or pass --skip-missing"
            )
        return {name: found[name] for name in names if name in found}, {"listed image missing": len(missing)}


def read_lists(root: Path, kind: str) -> dict[str, str]:
    """The split of each image of a kind, "train" or "test", in the order of the lists.

    Raises:
        FileNotFoundError: a list is missing.
        ValueError: no list of names, or a name that stands twice.
    """
    split_of_name: dict[str, str] = {}
    for name, split in LISTS.items():
        path = root / "image_splits" / f"split.{kind}.{name}.json"
        for image in read_json(path, list[str], "list of image names", NEEDED):
            if image in split_of_name:
                raise ValueError(f"{path} lists {some([image])!r} once more; give every image name once")
            split_of_name[image] = split
    return split_of_name


def split_of(name: str, listed: str) -> str:
    """The split of an image: of the train list "train" or, by a hash of the name, "validation"."""
    return "validation" if listed == "train" and share(name) < VALIDATION_SHARE else listed
