"""Files of tensors with facts about them: one safetensors file, JSON in its header, replaced as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dialog_env.files import write_atomically

FORMAT = "dialog-retrieval checkpoint"
VERSION = 1


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


def write(path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes a file beside `path`, then renames: whatever happens, the old file stays or the new one is whole.

    Raises:
        OSError: the disk is full or cannot be written; the old file stays.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "version": str(VERSION), "facts": json.dumps(facts)}
    try:
        write_atomically(path, save(kept, metadata=header))
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror}); what it held before is kept, "
            "make room and give the same command again",
        ) from error


def read(path: str | Path) -> Saved:
    """Reads a file that `write` made.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is truncated, of another kind or version, or holds NaN or infinite numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train an agent there first")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or no checkpoint ({error}); train again") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} holds tensors but is no checkpoint of this project; name another file")
    if header["version"] != str(VERSION):
        raise ValueError(
            f"{path} has checkpoint version {header['version']}, this release reads {VERSION}; train again"
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path} has NaN or infinite numbers in {name!r}; train again with a lower learning rate")
    return Saved(path, tensors, json.loads(header["facts"]))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Changes whenever a number or a name does."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
