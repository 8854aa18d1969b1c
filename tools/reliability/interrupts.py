"""Part `interrupts`: Ctrl-C at random moments of every command: one line, no traceback, and what was done is kept."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.reliability import materials, works
from tools.reliability.cases import Case, Outcome, Part, fail
from tools.reliability.commands import TRACEBACK, complaints, last, program
from tools.reliability.kinds import BENCHMARKS, CATALOGS, ENVIRONMENT, SIMULATORS
from tools.reliability.processes import Child, Ended
from tools.reliability.works import WORKS, at_event, former_of, require_end

LONGEST = 1.5
"""Processor seconds after which commands that are no works are interrupted at the latest."""
SOONEST = 0.005
MOST_EVENTS = 8


@dataclass(frozen=True)
class Command:
    """A command that is no work.

    Args:
        group: of the command line.
        arguments: for a folder of materials and one for its output.
    """

    group: str
    arguments: Callable[[Path, Path], list[object]]


def _evaluate(folder: Path, output: Path) -> list[object]:
    sizes = ["--pairs", 8, "--references", 2, "--listener-pairs", 50, "--output", output / "scores.json"]
    captioner = ["--captioner", folder / materials.CAPTIONER, "--device", "cpu"]
    return ["evaluate", "--catalog", folder / materials.CATALOG, *captioner, *sizes]


def _sheet(folder: Path, output: Path) -> list[object]:
    catalog = ["--catalog", folder / materials.CATALOG, "--captioner", folder / materials.CAPTIONER]
    return ["sheet", *catalog, "--output", output / "sheet.png"]


def _film(folder: Path, output: Path) -> list[object]:
    gallery = ["--catalog", folder / materials.CATALOG, "--split", "train", "--simulator", "describer"]
    return ["film", "--agent", folder / materials.AGENT, *gallery, "--output", output]


def _paper(folder: Path, output: Path) -> list[object]:
    gallery = ["--catalog", folder / materials.CATALOG, "--simulator", "describer"]
    return ["paper", *gallery, "--seeds", 0, "--output", output]


def _check(folder: Path, output: Path) -> list[object]:
    return ["check", "--catalog", folder / materials.CATALOG, "--simulator", "describer", "--turns", 2, "--dialogs", 2]


COMMANDS: dict[str, Command] = {
    "check": Command(ENVIRONMENT, _check),
    "info": Command(CATALOGS, lambda folder, output: ["info", folder / materials.CATALOG]),
    "evaluate": Command(SIMULATORS, _evaluate),
    "sheet": Command(SIMULATORS, _sheet),
    "table": Command(BENCHMARKS, lambda folder, output: ["table", "--output", folder / materials.RESULT]),
    "film": Command(BENCHMARKS, _film),
    "paper": Command(BENCHMARKS, _paper),
}
"""Name to command; the works come to them."""


def interrupt() -> None:
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def interrupted(run: Callable[[], None], output: Path, seconds: float, event: int) -> Callable[[], None]:
    """The program for a forked process, with Ctrl-C at an event, or after some processor seconds where that is 0."""

    def disturbed() -> None:
        if event:
            at_event(output, event, interrupt)
        else:
            signal.signal(signal.SIGPROF, lambda *_: interrupt())
            signal.setitimer(signal.ITIMER_PROF, max(seconds, SOONEST))
        run()

    return disturbed


def require_one_line(ended: Ended, what: str) -> None:
    """Ends the case unless a command ended well or said one line."""
    text = ended.complained + ended.printed
    if TRACEBACK in text or "Exception ignored" in text:
        fail("traceback", f"{what}: {last(ended.complained)}")
    if ended.status < 0:
        fail("unclear", f"{what}: it died of signal {-ended.status}")
    lines = complaints(ended)
    if ended.status and len(lines) != 1:
        fail("unclear", f"{what}: {len(lines)} lines: {lines[-3:]}")


def run(case: Case) -> Outcome:
    """Interrupts one command, and gives it again where it is a work."""
    random = case.random
    names = [*WORKS, *COMMANDS]
    name = names[case.number % len(names)]
    output = case.folder / "out"
    output.mkdir()
    seconds, event = 0.0, 0
    if name in WORKS:
        former = former_of(case.materials, name)
        longest, events = former.seconds, former.events
        command = WORKS[name].program(case.materials, output)
    else:
        longest, events = LONGEST, MOST_EVENTS
        given = COMMANDS[name]
        command = program(given.group, given.arguments(case.materials, output), case.folder)
    if random.random() < 0.4:
        event = int(random.integers(1, events + 1))
    else:
        seconds = float(random.uniform(0, longest))
    what = f"{name}, interrupted at " + (f"event {event} of {events}" if event else f"{seconds:.3f} of {longest:.3f} s")
    ended = Child(interrupted(command, output, seconds, event), case.folder).wait(works.SECONDS)
    require_one_line(ended, what)
    if name in WORKS:
        require_end(WORKS[name], case.folder, case.materials, output, former, what)
    return Outcome(note=f"{what}: status {ended.status}")


PART = Part(
    name="interrupts",
    tries="Ctrl-C at random moments of every command: one line, no traceback, and the same command then ends as always",
    run=run,
    prepare=works.prepare,
    cases=140,
    small=14,
    seconds=600,
    memory=6 << 30,
)
