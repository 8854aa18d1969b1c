"""Processes forked from a warm one: cheap, bounded in memory, and gone when their parent is."""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from tqdm import tqdm

from tools.reliability.cases import fail

PARENT_DEATH_SIGNAL = 1
TICK = 0.0005
"""Seconds between two looks at a process."""
LIBC = ctypes.CDLL(None, use_errno=True)


def own_cache(scratch: Path) -> AbstractContextManager[Any]:
    """Keeps what the package keeps in the user's cache folder in a folder of the campaign instead."""
    return mock.patch.dict(os.environ, XDG_CACHE_HOME=str(scratch / "cache"))


def die_with_parent() -> None:
    """Asks the kernel to kill this process when the one that forked it ends."""
    LIBC.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


def limit_memory(more: int) -> None:
    """Lets this process take so many bytes of address space beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def own_bars() -> None:
    """Gives the progress bars of this process a lock of its own.

    By default forked processes share one, and a process that is killed while it holds it would stop all others.
    """
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())


def warm_up() -> None:
    """Imports what is imported when first needed, so that forked processes have it."""
    torch.set_num_threads(1)  # also so that this process may be forked
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    importlib.import_module("transformers.models.auto.modeling_auto")


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Args:
        status: its exit status, or minus the signal that ended it.
        printed: standard output.
        complained: standard error.
    """

    status: int
    printed: str
    complained: str


class Child:
    """A forked process that calls a function as an interpreter would run a program.

    Args:
        function: its status is 0 when it returns; SystemExit and errors end it as they end an interpreter.
        folder: where standard output and error are kept.
        name: of those files.
    """

    def __init__(self, function: Callable[[], Any], folder: Path, name: str = "child") -> None:
        self._files = [folder / f".{name}.{stream}" for stream in ("out", "err")]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(function, self._files)
        self._clock = (~self.pid << 3) | 2  # the kernel's number for the processor time of another process
        self._status: int | None = None

    def processor_seconds(self) -> float:
        """Processor time that it has taken."""
        return time.clock_gettime(self._clock)

    def signal_after(self, seconds: float, number: int) -> None:
        """Sends a signal once it has taken so much processor time, unless it has ended by then."""
        while not self._ended():
            if self.processor_seconds() >= seconds:
                os.kill(self.pid, number)
                return
            time.sleep(TICK)

    def wait(self, seconds: float = 60) -> Ended:
        """Waits for its end; the case ends as a hang where that does not come in time."""
        deadline = time.monotonic() + seconds
        while not self._ended():
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                fail("hang", f"no end after {seconds:.0f} seconds; it said {self._texts()}")
            time.sleep(TICK)
        assert self._status is not None
        return Ended(os.waitstatus_to_exitcode(self._status), *self._texts())

    def _ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def _texts(self) -> tuple[str, str]:
        printed, complained = (path.read_text(errors="replace") if path.exists() else "" for path in self._files)
        return printed, complained


def _live(function: Callable[[], Any], files: list[Path]) -> None:
    """Never returns."""
    status = 1
    try:
        die_with_parent()
        own_bars()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, path in enumerate(files, 1):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, number)
            os.close(handle)
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        status = _as_interpreter(function)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _as_interpreter(function: Callable[[], Any]) -> int:
    try:
        function()
        return 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exc()
        return 130 if isinstance(error, KeyboardInterrupt) else 1
