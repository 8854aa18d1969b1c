"""Part `kills`: SIGKILL at random moments of trainings, builds and benchmarks; the same command then ends as always."""

from __future__ import annotations

import signal

from tools.reliability import works
from tools.reliability.cases import Case, Outcome, Part
from tools.reliability.processes import Child
from tools.reliability.works import WORKS, disturbed, former_of, kill_self, require_end

MOST_KILLS = 3


def run(case: Case) -> Outcome:
    """Kills one work up to three times, at a moment of its processor time or when it opens or renames a file."""
    random = case.random
    name = list(WORKS)[case.number % len(WORKS)]
    work, former = WORKS[name], former_of(case.materials, name)
    output = case.folder / "out"
    output.mkdir()
    moments, kills = [], 0
    for number in range(int(random.integers(1, MOST_KILLS + 1))):
        if random.random() < 0.5:
            event = int(random.integers(1, former.events + 1))
            program = disturbed(work, case.materials, output, event, kill_self)
            child = Child(program, case.folder, f"killed-{number}")
            moments.append(f"event {event} of {former.events}")
        else:
            seconds = float(random.uniform(0, former.seconds))
            child = Child(work.program(case.materials, output), case.folder, f"killed-{number}")
            child.signal_after(seconds, signal.SIGKILL)
            moments.append(f"{seconds:.3f} of {former.seconds:.3f} seconds")
        kills += child.wait(works.SECONDS).status == -signal.SIGKILL
    what = f"{name}, killed at {', '.join(moments)}"
    require_end(work, case.folder, case.materials, output, former, what)
    return Outcome(count=max(kills, 1), note=what)


PART = Part(
    name="kills",
    tries="SIGKILL at random moments of trainings, builds and benchmarks; the same command again: equal, no leftovers",
    run=run,
    prepare=works.prepare,
    cases=84,
    small=7,
    seconds=600,
    memory=6 << 30,
)
