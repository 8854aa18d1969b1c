"""Long-lived processes that do cases one after the other; one that hangs or dies is replaced, and its case counted."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tools.reliability.cases import Case, Failed, Outcome, Part
from tools.reliability.processes import die_with_parent, limit_memory, own_cache

FORK = multiprocessing.get_context("fork")
CASES_OF_A_WORKER = 250
"""After so many cases a fresh one takes over, so that what a reader leaves open does not add up."""


def do(part: Part, number: int, seed: int, scratch: Path) -> Outcome:
    """Does one case in this process."""
    case = Case(part.name, number, seed, scratch / "cases" / f"{part.name}-{number}", scratch / "materials")
    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir(parents=True)
    here = os.getcwd()
    try:
        with own_cache(scratch):
            return part.run(case)
    except Failed as failed:
        return Outcome(failed.verdict, note=failed.note)
    except MemoryError:
        return Outcome("hang", note=f"it took more than {part.memory >> 20} MiB: {_trace()}")
    except Exception:
        return Outcome("unclear", note=f"an error escaped: {_trace()}")
    finally:
        os.chdir(here)
        shutil.rmtree(case.folder, ignore_errors=True)


def _trace() -> str:
    """The error being handled, and where it came from, innermost first."""
    kind, error, trace = sys.exc_info()
    frames = reversed(traceback.extract_tb(trace))
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return f"{kind.__name__ if kind else ''}: {str(error)[:300]!r} at {' < '.join(places[:8])}"


class Worker:
    """A process that does cases of one part."""

    def __init__(self, part: Part, seed: int, scratch: Path) -> None:
        self.part = part
        self.connection, theirs = FORK.Pipe()
        self.process = FORK.Process(target=_serve, args=(part, seed, scratch, theirs), daemon=False)
        self.process.start()
        theirs.close()
        self.number = -1
        self.deadline = 0.0
        self.done = 0

    def give(self, number: int) -> None:
        """Hands over a case."""
        self.number, self.deadline, self.done = number, time.monotonic() + self.part.seconds, self.done + 1
        self.connection.send(number)

    def take(self) -> Outcome:
        """What came of the case, or how the worker died of it."""
        try:
            outcome: Outcome = self.connection.recv()
            return outcome
        except EOFError:
            self.process.join(5)
            return Outcome("hang", note=f"the process died of it, status {self.process.exitcode}")

    def kill(self) -> None:
        """Ends the worker and all that it has started."""
        if self.process.pid is not None and self.process.is_alive():
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(part: Part, seed: int, scratch: Path, connection: Connection) -> None:
    os.setpgid(0, 0)
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    limit_memory(part.memory)
    while True:
        connection.send(do(part, connection.recv(), seed, scratch))
        gc.collect()


def outcomes(
    part: Part, numbers: Iterable[int], seed: int, scratch: Path, workers: int
) -> Iterator[tuple[int, Outcome]]:
    """Does the cases `numbers` of a part; gives each with its outcome as soon as that is known."""
    waiting = deque(numbers)
    crew: list[Worker] = []
    try:
        while waiting or crew:
            while waiting and len(crew) < (workers if part.together else 1):
                crew.append(Worker(part, seed, scratch))
                crew[-1].give(waiting.popleft())
            wait([worker.connection for worker in crew], max(0.0, min(w.deadline for w in crew) - time.monotonic()))
            for worker in list(crew):
                if worker.connection.poll():
                    outcome = worker.take()
                elif time.monotonic() > worker.deadline:
                    outcome = Outcome("hang", note=f"no end after {part.seconds:.0f} seconds")
                    worker.done = CASES_OF_A_WORKER
                    worker.kill()
                else:
                    continue
                yield worker.number, outcome
                if worker.done < CASES_OF_A_WORKER and worker.process.is_alive() and waiting:
                    worker.give(waiting.popleft())
                else:
                    worker.kill()
                    crew.remove(worker)
    finally:
        for worker in crew:
            worker.kill()
