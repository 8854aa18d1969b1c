"""Descriptions of images, a sentence each, by which they are known where the pictures are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dialog_env.io.reading import read_json, some

REMEDY = "give JSON of image name to sentence"


def read_descriptions(files: Sequence[Path]) -> dict[str, str]:
    """The sentences of JSON files, one object of image name to sentence each, by image name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: JSON of another form, or a description without a word.
    """
    found: dict[str, str] = {}
    for path in files:
        sentences = read_json(path, dict[str, str], "file of descriptions", REMEDY)
        for name, sentence in sentences.items():
            if not any(letter.isalnum() for letter in sentence):
                raise ValueError(f"{path} describes image {name[:80]!r} by no word ({sentence[:40]!r}); describe it")
        found.update({name: " ".join(sentence.split()) for name, sentence in sentences.items()})
    return found


def descriptions_of(
    names: Sequence[str], found: dict[str, str], where: str, skip_missing: bool
) -> tuple[dict[str, str], dict[str, int]]:
    """The sentences about images by name, in their order, and how many entries are left out, by reason.

    Raises:
        ValueError: images have no description and `skip_missing` is off, or none has one.
    """
    missing = [name for name in names if name not in found]
    if len(missing) == len(names) or (missing and not skip_missing):
        raise ValueError(
            f"{where} describes {len(names) - len(missing)} of {len(names)} listed images and not {some(missing, 3)}; "
            "add them, or pass --skip-missing"
        )
    kept = {name: found[name] for name in names if name in found}
    return kept, {
        "listed image without description": len(missing),
        "description of no listed image": len(found) - len(kept),
    }
