"""Damage to safetensors files, checkpoints among them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dialog_env.io import checkpoint
from tools.reliability.damage.target import Random, Target
from tools.reliability.damage.text import edited


def forge_facts(target: Target) -> None:
    """A checkpoint whose facts are something else, written as checkpoints are, digest and all."""
    rewrite(target, lambda tensors, facts: (tensors, edited(facts, target.random)))


def forge_agent(target: Target) -> None:
    """A checkpoint of an agent whose class lies in a module that leaves a mark when it is imported."""
    name = str(target.random.choice(["evil.Evil", "evil:Evil", "os.system", "evil", "agents.evil.Evil", ""]))
    rewrite(target, lambda tensors, facts: (tensors, {**facts, "agent": name}))


def forge_tensors(target: Target) -> None:
    """A checkpoint that lacks a tensor, or has one of another shape, type or name, digest and all."""
    rewrite(target, lambda tensors, facts: (other_tensors(tensors, target.random), facts))


def rewrite(target: Target, change: Callable[[dict[str, Tensor], Any], tuple[dict[str, Tensor], Any]]) -> None:
    """Writes a checkpoint as checkpoints are written, with what `change` makes of its tensors and facts.

    A safetensors file that is no checkpoint has another header.
    """
    with safe_open(target.path, framework="pt") as file:
        ours = "format" in (file.metadata() or {}) and "facts" in file.metadata()
    if not ours:
        edit_tensor_header(target)
        return
    saved = checkpoint.read(target.path)
    checkpoint.write(target.path, *change(saved.tensors, saved.facts))


def other_tensors(tensors: dict[str, Tensor], random: Random) -> dict[str, Tensor]:
    """Tensors of which one is missing or another one."""
    if not tensors:
        return {"unheard_of": torch.zeros(2)}
    name = sorted(tensors)[random.integers(len(tensors))]
    tensor = tensors[name]
    others = (
        tensor.reshape(-1), tensor[None], tensor.double(), tensor.to(torch.int8), tensor.bool(), torch.zeros(()),
        torch.full_like(tensor.float(), torch.nan), torch.full_like(tensor.float(), torch.inf),
    )  # fmt: skip
    changed = {**tensors, name: others[random.integers(len(others))]}
    if random.random() < 0.2:
        changed[f"{name}.more"] = tensor
    if random.random() < 0.2:
        del changed[name]
    return changed


def edit_tensor_header(target: Target) -> None:
    """A safetensors file whose header is something else."""
    content = target.content
    length = struct.unpack("<Q", content[:8])[0]
    header = json.dumps(edited(json.loads(content[8 : 8 + length]), target.random)).encode()
    target.path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


def long_tensor_header(target: Target) -> None:
    """A safetensors file that promises an enormous header."""
    content = target.content
    content[:8] = struct.pack("<Q", int(target.random.choice([2**63, 2**40, 10**8, 0])))
    target.path.write_bytes(content)


def without_metadata(target: Target) -> None:
    """Its tensors, as another program writes them."""
    save_file(load_file(target.path), target.path)
