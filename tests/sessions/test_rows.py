"""The memory of agents in rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from dialog_env.sessions.rows import apart, in_rows, joined


class Pair(NamedTuple):
    left: Tensor
    right: Tensor | None


@dataclass(frozen=True)
class Frozen:
    state: Tensor
    more: dict[str, Tensor]


class Plain:
    def __init__(self, state: Tensor) -> None:
        self.state = state


def state(batch: int) -> Tensor:
    return torch.arange(3.0 * batch).view(batch, 3)


@pytest.mark.parametrize(
    "memory",
    [
        None,
        state(4),
        (None, state(4)),
        [state(4), (state(4),)],
        Pair(state(4), None),
        Frozen(state(4), {"more": state(4) > 2}),
        Plain(state(4)),
    ],
    ids=lambda memory: type(memory).__name__,
)
def test_what_is_taken_apart_is_joined_again(memory: object) -> None:
    assert in_rows(memory, 4)
    single = apart(memory, 4)
    assert all(in_rows(each, 1) for each in single)
    assert all(type(each) is type(memory) for each in single)
    assert leaves(joined(single)) == leaves(memory)
    assert leaves(joined(single[::-1])) != leaves(memory) or not leaves(memory)


def test_a_single_memory_keeps_nothing_of_the_others() -> None:
    assert apart(state(1000), 1000)[3].untyped_storage().nbytes() == 3 * 4


@pytest.mark.parametrize("memory", [state(3), state(4)[0, 0], (state(4), 7), "text", {"a": state(5)}])
def test_what_has_other_rows_is_not_in_rows(memory: object) -> None:
    assert not in_rows(memory, 4)


def leaves(memory: object) -> list[object]:
    if isinstance(memory, Tensor):
        return [memory.tolist()]
    if memory is None:
        return []
    parts = (
        memory if isinstance(memory, tuple | list) else (memory if isinstance(memory, dict) else vars(memory)).values()
    )
    return [leaf for part in parts for leaf in leaves(part)]
