"""Part `options`: command lines one of whose values is something else, is missing, or is nothing that they know."""

from __future__ import annotations

from tools.reliability import works
from tools.reliability.cases import Case, Outcome, Part
from tools.reliability.commands import program, require_told
from tools.reliability.interrupts import COMMANDS
from tools.reliability.processes import Child
from tools.reliability.works import WORKS

VALUES = (
    "", "x", "-1", "0", "1.5", "nan", "1e400", "two\nlines", "/proc/nothing/file", "/dev/null/file", "/dev/zero",
    "synthetic:7", "synthetic:-1", "none:none", "[]", "{}", "None", "True", "--", "--help", "@", ":", "a=b", "é",
    "captioner:/nonexistent", "relative:0", "attributes:99", "supervised:epochs=", "supervised:epochs=nan",
    "supervised:unheard_of=1", "supervised@nothing", "unseen:inner=unseen", "json.JSONDecoder", "os.system", "/tmp",
)  # fmt: skip


def run(case: Case) -> Outcome:
    """One command line."""
    random = case.random
    commands = {name: (work.group, work.arguments) for name, work in WORKS.items()}
    lists = {name: (group, make(case.materials, case.folder / "out", 0)) for name, (group, make) in commands.items()}
    lists |= {
        name: (command.group, command.arguments(case.materials, case.folder / "out"))
        for name, command in COMMANDS.items()
        if name != "paper"
    }
    name = list(lists)[case.number % len(lists)]
    group, arguments = lists[name]
    place = int(random.integers(len(arguments)))
    value = VALUES[random.integers(len(VALUES))]
    chance = random.random()
    if chance < 0.75:
        arguments[place] = value
    elif chance < 0.85:
        del arguments[place]
    else:
        arguments.insert(place, value)
    what = f"dialog-retrieval {group} {' '.join(map(repr, map(str, arguments)))}"
    ended = Child(program(group, arguments, case.folder), case.folder).wait(works.SECONDS)
    require_told(ended, (), what)
    return Outcome(note=f"{what}: status {ended.status}")


PART = Part(
    name="options",
    tries="command lines with a value that is something else, missing, or unheard of: they work, or say one sentence",
    run=run,
    prepare=works.prepare,
    cases=480,
    small=24,
    seconds=200,
    memory=4 << 30,
)
