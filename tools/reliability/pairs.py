"""Part `pairs`: two processes with the same folder: one of them is refused, or both end right; nothing is mixed."""

from __future__ import annotations

import time

from tools.reliability import works
from tools.reliability.cases import Case, Outcome, Part, fail
from tools.reliability.commands import require_told
from tools.reliability.processes import Child
from tools.reliability.works import WORKS, former_of, state

OF_THE_LAST = {
    "benchmark": ("table.md", "table.csv", "table.tex", "turns.png", "index.html"),
    "photographs": ("built.h5",),
    "drawn catalogue": ("drawn.h5",),
}
"""Work to its files that are of whoever came last."""


def run(case: Case) -> Outcome:
    """The same work twice at once, with the same seed or with another one."""
    random = case.random
    name = list(WORKS)[case.number % len(WORKS)]
    work = WORKS[name]
    seeds = (0, int(random.integers(2)))
    output = case.folder / "out"
    output.mkdir()
    rest = float(random.uniform(0, 0.5)) * former_of(case.materials, name).seconds
    children = []
    for number, seed in enumerate(seeds):
        children.append(Child(work.program(case.materials, output, seed), case.folder, f"process-{number}"))
        if not number:
            time.sleep(rest)
    ends = [child.wait(works.SECONDS) for child in children]
    what = f"{name} twice, seeds {seeds}, {rest:.3f} seconds apart"
    for ended in ends:
        require_told(ended, (str(output), "another process"), what)
    well = [seed for seed, ended in zip(seeds, ends, strict=True) if not ended.status]
    if not well:
        fail("lost", f"{what}: neither worked: {[works.complaints(ended)[-1:] for ended in ends]}")
    every = [former_of(case.materials, name, seed).state for seed in set(seeds)]
    found = state(output)
    for file, content in found.items():
        if all(former.get(file) != content for former in every):
            fail("wrong", f"{what}: {file} is of neither")
    shared = OF_THE_LAST.get(name, ())
    for seed in set(well):
        former = former_of(case.materials, name, seed).state
        gone = [file for file in former if file not in shared and found.get(file) != former[file]]
        if gone:
            fail("wrong", f"{what}: seed {seed} said that all was well, and {gone} are not its own")
    return Outcome(note=what)


PART = Part(
    name="pairs",
    tries="two processes with one folder, with the same settings or others: one is refused or both end right",
    run=run,
    prepare=works.prepare,
    cases=35,
    small=7,
    seconds=600,
    memory=6 << 30,
    together=False,
)
