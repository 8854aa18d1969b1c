"""Measuring: the fastest of some repeats, the peak of memory, and which part of the work takes how long."""

from __future__ import annotations

import ctypes
import gc
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

REST = "all else"
"""The part of some work that is none of its named parts."""

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def wait_for(device: str) -> None:
    """Until a graphics card has done all it was told."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def fastest(work: Callable[[], object], repeats: int, device: str = "cpu", patience: float = 0.0) -> float:
    """Seconds of the fastest repeat: other load on the machine only ever adds to it.

    Args:
        work: what is repeated.
        repeats: how often at least.
        device: where it is done.
        patience: seconds that short work goes on being repeated.
    """
    return fastest_in_turn([work], repeats, device, patience)[0]


def fastest_in_turn(
    works: Sequence[Callable[[], object]], repeats: int, device: str = "cpu", patience: float = 0.0
) -> list[float]:
    """Seconds of the fastest repeat of each work; all are done in turn, so that other load meets those compared."""
    best = [float("inf")] * len(works)
    rounds, spent = 0, 0.0
    while rounds < repeats or spent < patience:
        for place, work in enumerate(works):
            wait_for(device)
            started = time.perf_counter()
            work()
            wait_for(device)
            taken = time.perf_counter() - started
            best[place] = min(best[place], taken)
            spent += taken
        rounds += 1
    return best


class PeakMemory:
    """Peak of memory within a `with` block, in bytes.

    Attributes:
        before: in use at its beginning.
        peak: the most in use within it, on the device that was named.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.before = self.peak = 0

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
            return self
        _give_back()
        if CLEAR.exists():
            CLEAR.write_text("5")
        self.before = _resident("VmRSS")
        return self

    def __exit__(self, *problem: object) -> None:
        on_card = self.device.type == "cuda"
        self.peak = torch.cuda.max_memory_allocated(self.device) if on_card else _resident("VmHWM")


def _give_back() -> None:
    """Lets the C library hand free memory back to the system, so that what is taken again is seen as taken."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident(which: str) -> int:
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[which].split()[0]) * 1024


class Shares:
    """Which part of some work takes how long; time within a part that another one calls counts for the inner one.

    Args:
        parts: (owner, name of its function, name of the part).
        device: where the work is done.
    """

    def __init__(self, parts: list[tuple[Any, str, str]], device: str) -> None:
        self.parts, self.device = parts, device
        self._seconds: dict[str, float] = defaultdict(float)
        self._within: list[str] = []
        self._since = 0.0

    def of(self, work: Callable[[], object], repeats: int = 1) -> dict[str, float]:
        """Share of every part in the fastest of some repeats; the shares add up to 1."""
        return min((self._once(work) for _ in range(repeats)), key=lambda run: run[0])[1]

    def _once(self, work: Callable[[], object]) -> tuple[float, dict[str, float]]:
        self._seconds.clear()
        with ExitStack() as stack:
            for owner, name, part in self.parts:
                stack.enter_context(mock.patch.object(owner, name, self._timed(getattr(owner, name), part)))
            with self._in(REST):
                work()
        total = sum(self._seconds.values())
        return total, {part: seconds / total for part, seconds in sorted(self._seconds.items())}

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any, **keywords: Any) -> Any:
            with self._in(part):
                return function(*args, **keywords)

        return timed

    @contextmanager
    def _in(self, part: str) -> Iterator[None]:
        self._turn_page()
        self._within.append(part)
        try:
            yield
        finally:
            self._turn_page()
            self._within.pop()

    def _turn_page(self) -> None:
        wait_for(self.device)
        now = time.perf_counter()
        if self._within:
            self._seconds[self._within[-1]] += now - self._since
        self._since = now
