"""Files of tensors with facts about them: one safetensors file, JSON in its header, replaced as a whole.

The header holds a SHA-256 over all tensors and facts, and reading compares it: 0.7 to 1.5 GB/s where it was measured,
a core with SHA instructions. Files of version 1 have none; they are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dialog_env.io.atomic import write_atomically
from dialog_env.io.keywords import told
from dialog_env.io.reading import JSON_BYTES, first_line, parse_json, regular_file

T = TypeVar("T")

FORMAT = "dialog-retrieval checkpoint"
VERSION = 2
WITHOUT_DIGEST = 1
MOST_BYTES = 8 << 30
REMEDY = "train again"


@dataclass(frozen=True)
class Saved:
    """What a file holds.

    Args:
        path: where it was read.
        tensors: name to tensor, on the CPU.
        facts: what JSON can hold.
    """

    path: Path
    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix.`, under what follows it."""
        start = prefix + "."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}

    def facts_as(self, schema: type[T], what: str, remedy: str = REMEDY) -> T:
        """The facts in the form of a dataclass; ValueError where they have another."""
        return parse_json(json.dumps(self.facts), schema, str(self.path), what, remedy)


def write(path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes a file beside `path`, then renames: whatever happens, the old file stays or the new one is whole.

    Raises:
        OSError: the disk is full or cannot be written; the old file stays.
    """
    kept: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        kept[name] = plain.clone() if place in places else plain  # safetensors wants each in memory of its own
        places.add(place)
    text = json.dumps(facts, ensure_ascii=False)
    header = {"format": FORMAT, "version": str(VERSION), "facts": text, "sha256": _digest(kept, text)}
    write_atomically(path, save(kept, metadata=header))


def read(path: str | Path, what: str = "checkpoint", remedy: str = "train an agent there first") -> Saved:
    """Reads a file that `write` made.

    Args:
        path: of the file.
        what: it should be.
        remedy: what to do where there is none.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no regular file, truncated, damaged, of another kind or version, or holds NaN or infinite
            numbers.
    """
    return verified(path, *read_tensors(path, what, remedy), what)


def verified(path: str | Path, tensors: dict[str, Tensor], header: dict[str, str], what: str) -> Saved:
    """What `read_tensors` read, as `read` gives it and with its errors."""
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} holds tensors but is no {what} of this project; name another file")
    version, text = header.get("version"), header.get("facts", "")
    if version not in (str(VERSION), str(WITHOUT_DIGEST)):
        raise ValueError(f"{path} has {what} version {told(version)}, this release reads {VERSION}; {REMEDY}")
    if len(text) > JSON_BYTES:
        raise ValueError(f"{path} has {len(text):,} letters of facts; no {what} has more than {JSON_BYTES:,}, {REMEDY}")
    if version == str(VERSION) and header.get("sha256") != _digest(tensors, text):
        raise ValueError(f"{path} is a damaged {what}: its SHA-256 is of other content; {REMEDY}, or copy it again")
    refuse_non_finite(path, tensors)
    return Saved(Path(path), tensors, parse_json(text, dict[str, Any], str(path), what, REMEDY))


def read_tensors(path: str | Path, what: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of any safetensors file and the texts of its header; arguments and errors as for `read`."""
    path = regular_file(path, what, remedy, limit=MOST_BYTES)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is truncated or no {what} ({first_line(error)}); {REMEDY}") from error


def refuse_non_finite(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """ValueError where a number in a file is NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path} has NaN or infinite numbers in {name!r}; train again with a lower learning rate")


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Changes whenever a number or a name does."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(_content(tensors[name]))
    return digest.hexdigest()[:16]


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser by name, but for its settings (`optimiser.param_groups`)."""
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser.{parameter}.{key}": torch.as_tensor(value)
        for parameter, values in state.items()
        for key, value in values.items()
    }


def optimiser_groups(optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The settings of an optimiser, as JSON can hold them."""
    groups: list[dict[str, Any]] = optimiser.state_dict()["param_groups"]
    return groups


def restore_optimiser(optimiser: torch.optim.Optimizer, saved: Saved, groups: list[dict[str, Any]]) -> None:
    """Takes up what `optimiser_tensors` and `optimiser_groups` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in saved.below("optimiser").items():
        parameter, _, key = name.partition(".")
        state.setdefault(int(parameter), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """Changes whenever anything in a file does."""
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), tuple(tensor.shape)]).encode())
        digest.update(_content(tensor))
    return digest.hexdigest()


def _content(tensor: Tensor) -> memoryview:
    """The bytes of a tensor."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
