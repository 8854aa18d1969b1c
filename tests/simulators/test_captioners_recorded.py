"""Recordings of a captioner, on a stand-in for a graphics card: it writes down every operation and does it again."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dialog_env.simulators.captioner import PrecomputedCaptioner
from dialog_env.simulators.captioner.recorded import MOST, RecordedDecoding
from tests.simulators.test_captioners_precomputed import ALL, Case

WAITS = ("_local_scalar_dense", "nonzero", "lift_fresh", "bincount", "unique", "equal")
"""Operations in which the host waits for the card, or memory of the host is read."""

CPU = torch.device("cpu")


class Graph(TorchDispatchMode):
    """Operations with the memory that they read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = function.overloadpacket.__name__ in WAITS or (kwargs or {}).get("device") not in (None, CPU)
        assert not waits, f"{function} cannot be recorded"
        made = function(*args, **(kwargs or {}))
        self.steps.append((function, args, kwargs or {}, made))
        return made

    def pool(self) -> int:
        return 0

    def replay(self) -> None:
        for function, args, kwargs, made in self.steps:
            for old, new in zip(tree_leaves(made), tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Stream:
    def wait_stream(self, other: Stream) -> None:
        pass

    def wait_event(self, event: Event) -> None:
        pass


class Event:
    def record(self, stream: Stream) -> None:
        pass


@contextmanager
def recorded(graph: Graph, pool: object, stream: Stream, capture_error_mode: str) -> Iterator[None]:
    with graph:
        yield


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, stand_in in {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "Event": Event,
        "graph": recorded,
        "current_stream": Stream,
        "stream": nullcontext,
        "device": nullcontext,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)


def on_the_card(case: Case, **settings: Any) -> PrecomputedCaptioner:
    captioner = case.precomputed(**settings)
    captioner._chunk = 2 * MOST  # as on a card
    captioner._recorded = RecordedDecoding(CPU)
    captioner.precompute()
    return captioner


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.usefixtures("card")
def test_recordings_say_what_is_said_step_by_step(architecture: str, half: bool) -> None:
    case = Case(architecture)
    expected = case.precomputed(half=half).feedback(case.targets, case.candidates)
    captioner = on_the_card(case, half=half)
    for mine in (captioner, copy.deepcopy(captioner)):
        assert mine._recorded is not None
        assert not mine._recorded.recordings
        for size in (300, 1, 2, 17, 64, 300):
            with torch.inference_mode(size == 2):
                said = mine.feedback(case.targets[-size:], case.candidates[-size:])
            assert torch.equal(said, expected[-size:])
        assert sorted(mine._recorded.recordings) == [16, 32, 64, 512]
    assert mine._recorded is not captioner._recorded


@pytest.mark.usefixtures("card")
def test_more_pairs_than_the_largest_recording_has_go_step_by_step() -> None:
    case = Case("fc")
    expected = case.precomputed().feedback(case.targets, case.candidates)
    captioner = on_the_card(case)
    assert captioner._recorded is not None
    said = captioner.feedback(case.targets.repeat(3), case.candidates.repeat(3))
    assert torch.equal(said, expected.repeat(3, 1))
    assert not captioner._recorded.recordings


@pytest.mark.usefixtures("card")
def test_threads_share_recordings() -> None:
    case = Case("show_attend_tell")
    expected = case.precomputed().feedback(case.targets, case.candidates)
    captioner = on_the_card(case)
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(captioner.feedback, case.targets.split(13), case.candidates.split(13))
        assert torch.equal(torch.cat(list(parts)), expected)


@pytest.mark.usefixtures("card")
def test_what_cannot_be_recorded_is_said_step_by_step_after_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("show_tell")
    expected = case.precomputed().feedback(case.targets, case.candidates)
    captioner = on_the_card(case)

    def full(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("none is left\nmore about it")

    monkeypatch.setattr(torch.cuda, "graph", full)
    with pytest.warns(UserWarning, match="decodes step by step, as it cannot be recorded: none is left$") as told:
        said = [captioner.feedback(case.targets, case.candidates) for _ in range(2)]
    assert torch.equal(torch.cat(said), expected.repeat(2, 1))
    assert len(told) == 1
    assert captioner._recorded is not None
    assert not captioner._recorded.recordings
