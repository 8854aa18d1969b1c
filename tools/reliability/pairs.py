"""Part `pairs`: two processes with the same folder: one of them is refused, or both end right; nothing is mixed."""

from __future__ import annotations

import time

from tools.reliability import works
from tools.reliability.cases import Case, Outcome, Part, fail
from tools.reliability.commands import require_told
from tools.reliability.processes import Child
from tools.reliability.works import WORKS, first_difference, former_of, state


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
    found = state(output)
    formers = {seed: former_of(case.materials, name, seed).state for seed in set(well)}
    if len(formers) > 1 and name == "benchmark":
        return both_results(what, found, formers)
    if all(found != former for former in formers.values()):
        fail("wrong", f"{what}: {first_difference(formers[well[0]], found)}")
    if len(formers) > 1 and not work.one_file:
        fail("wrong", f"{what}: both said that all was well, and one of them has lost its work")
    return Outcome(note=what)


def both_results(what: str, found: dict[str, object], formers: dict[int, dict[str, object]]) -> Outcome:
    """Benchmarks of two seeds may share a folder: each must have its own results in it, and the table is of either."""
    for former in formers.values():
        own = {file: content for file, content in former.items() if "/" in file}
        if {file: found.get(file) for file in own} != own:
            fail("wrong", f"{what}: {first_difference(own, {f: c for f, c in found.items() if f in own})}")
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
