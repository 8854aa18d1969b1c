"""People's sentences about images, from a CSV of one's own or the JSON of Shoes and Fashion-IQ."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from dialog_env.catalog.sources.captions import (
    RELATIVE_FILE,
    Captions,
    ImageCaption,
    RelativeCaption,
    load_captions,
)
from dialog_env.catalog.sources.table import read_table
from dialog_env.io.reading import read_json, some

TARGETS = ("target", "target_image", "target_id", "imagename")
CANDIDATES = ("candidate", "reference", "source", "candidate_image", "candidate_id", "referenceimagename")
SENTENCES = ("sentence", "caption", "captions", "feedback", "text", "relativecaption")
"""What columns of a CSV and keys of JSON may be called, in small letters."""
FASHION_IQ = re.compile(r"cap\.(\w+)\.(?:train|val)\.json")
REMEDY = "give a CSV with the columns target, candidate and sentence, JSON of Shoes or Fashion-IQ, or a folder of it"


def read_captions(path: Path, images: Collection[str]) -> Captions:
    """The captions at a path, in the split "all" unless they are those of the folder of Shoes.

    Args:
        path: a CSV or JSON file, or a folder of Shoes or Fashion-IQ. A row without a candidate is about one image.
        images: ids of a catalogue; of the kinds of clothes in a folder of Fashion-IQ, the one of which there are most.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: a file of another form, or a row without a target or a sentence.
    """
    if not path.exists():
        raise FileNotFoundError(f"no captions at {path}; {REMEDY}")
    if path.is_dir():
        files = sorted(file for file in path.rglob("cap.*.json") if FASHION_IQ.fullmatch(file.name))
        if (path / RELATIVE_FILE).exists() or not files:
            return load_captions(path)
        return _captions(_fashion_iq(files, images))
    if path.suffix.casefold() == ".json":
        return _captions(_json(path))
    return _captions(_csv(path))


def _captions(found: Iterator[tuple[str, str, str, str]]) -> Captions:
    relative: list[RelativeCaption] = []
    single: list[ImageCaption] = []
    for target, candidate, sentence, place in found:
        if candidate:
            relative.append(RelativeCaption(target, candidate, sentence, place))
        else:
            single.append(ImageCaption(target, sentence, place))
    return Captions({}, {"all": relative}, {"all": single}, 0)


def _csv(path: Path) -> Iterator[tuple[str, str, str, str]]:
    table = read_table(path)
    named = {name.casefold(): name for name in table.columns}
    columns = []
    for what, known in (("target", TARGETS), ("candidate", CANDIDATES), ("sentence", SENTENCES)):
        found = next((named[name] for name in known if name in named), None)
        if found is None:
            raise ValueError(f"{path} has no column {what!r}; it has {some(table.columns)}: {REMEDY}")
        columns.append(table.columns[found])
    for target, candidate, sentence, line in zip(*columns, table.lines, strict=True):
        if not target or not sentence:
            raise ValueError(
                f"{path} has no {'sentence' if target else 'target'} in line {line}; mend or remove the line"
            )
        yield target, candidate, sentence, f"{path}, line {line}"


def _json(path: Path) -> Iterator[tuple[str, str, str, str]]:
    for number, entry in enumerate(read_json(path, list[dict[str, Any]], "list of captions", REMEDY)):
        low = {name.casefold(): value for name, value in entry.items()}
        target, candidate, said = (
            next((low[name] for name in known if name in low), "") for known in (TARGETS, CANDIDATES, SENTENCES)
        )
        sentences = said if isinstance(said, list) else [said]
        texts = [target, candidate, *sentences]
        if not all(isinstance(text, str) for text in texts) or not target or not any(map(str.strip, texts[2:])):
            raise ValueError(
                f"{path} has {reprlib.repr(entry)} as entry {number}; give texts: target, candidate, caption"
            )
        yield from ((target, candidate, text.strip(), f"{path}, entry {number}") for text in sentences if text.strip())


def _fashion_iq(files: list[Path], images: Collection[str]) -> Iterator[tuple[str, str, str, str]]:
    """All captions of the kind of clothes of which most targets are among the images."""
    kinds: dict[str, list[tuple[str, str, str, str]]] = {}
    for path in files:
        found = FASHION_IQ.fullmatch(path.name)
        assert found is not None
        kinds.setdefault(found[1], []).extend(_json(path))
    known = set(images)
    yield from max(kinds.values(), key=lambda rows: sum(row[0] in known for row in rows))
