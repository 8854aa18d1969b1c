"""The memory of agents, of single dialogs and of many: joined to one batch, and taken apart again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dialog_env.agents.base import Memory


def in_rows(memory: Memory, batch: int) -> bool:
    """Whether all tensors in a memory have B rows, and all else in it is nothing but what holds them."""
    if isinstance(memory, Tensor):
        return memory.ndim > 0 and len(memory) == batch
    return memory is None or (_holds(memory) and all(in_rows(part, batch) for part in _parts(memory)))


def joined(memories: Sequence[Memory]) -> Memory:
    """The memory of several dialogs that took as many turns; each is in rows."""
    first = memories[0]
    if len(memories) == 1 or first is None:
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(memories))
    return _rebuilt(first, [joined(parts) for parts in zip(*map(_parts, memories), strict=True)])


def apart(memory: Memory, batch: int) -> list[Memory]:
    """The memory of each of B dialogs, in tensors of its own: none keeps that of all the others."""
    if batch == 1:
        return [memory]
    return [_row(memory, row) for row in range(batch)]


def _row(memory: Memory, row: int) -> Memory:
    if memory is None:
        return None
    if isinstance(memory, Tensor):
        return memory[row : row + 1].clone()
    return _rebuilt(memory, [_row(part, row) for part in _parts(memory)])


def _holds(memory: Any) -> bool:
    return isinstance(memory, tuple | list | dict) or hasattr(memory, "__dict__")


def _parts(memory: Any) -> list[Any]:
    if isinstance(memory, tuple | list):
        return list(memory)
    return list((memory if isinstance(memory, dict) else vars(memory)).values())


def _rebuilt(like: Any, parts: list[Any]) -> Any:
    if isinstance(like, list):
        return parts
    if isinstance(like, tuple):
        return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)
    if isinstance(like, dict):
        return dict(zip(like, parts, strict=True))
    rebuilt = copy.copy(like)
    vars(rebuilt).update(zip(vars(like), parts, strict=True))  # past what may be frozen
    return rebuilt
