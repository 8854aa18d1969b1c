"""Part `files`: damaged files of every kind, read in Python and by the command lines."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tools.reliability import materials
from tools.reliability.cases import Case, Failed, Outcome, Part, expect, fail
from tools.reliability.commands import program, require_told
from tools.reliability.damage.any_file import ANY
from tools.reliability.damage.target import Target
from tools.reliability.damage.text import edit_json, edit_json_line
from tools.reliability.damage.ways import FORGED, ways
from tools.reliability.kinds import KINDS, Kind, Place, comparable, difference
from tools.reliability.processes import Child
from tools.reliability.refusals import attempt, require_clear

SPECIAL_SHARE, COMMAND_SHARE = 0.6, 0.2
COMMAND_SECONDS = 60
SEARCH_PATH = os.environ["PATH"]
EVIL = (
    "import pathlib\npathlib.Path({canary!r}).touch()\n\n\nclass Evil:\n    pass\n\n\nEvilConfig = EvilModel = Evil\n"
)
GHOSTSCRIPT = "#!/bin/sh\ntouch {canary}\n"


def copy(kind: Kind, case: Case) -> Place:
    """A copy of the kind's material in the folder of a case."""
    source, path = case.materials / kind.material, case.folder / kind.material
    if source.is_dir():
        shutil.copytree(source, path, ignore=shutil.ignore_patterns("tensorboard"))
    else:
        shutil.copyfile(source, path)
    return Place(path, case.materials)


def choose_file(kind: Kind, place: Place, random: Any) -> Path:
    """The file that is to be damaged."""
    if not kind.files:
        return place.path
    found = sorted(place.path.glob(kind.files[random.integers(len(kind.files))]))
    return found[random.integers(len(found))]


def lay_traps(folder: Path, near: Path) -> Path:
    """Code that leaves a mark when it is imported, in the folder and near a file, and a Ghostscript that does too."""
    canary = folder / "executed"
    for place in {folder, near}:
        (place / "evil.py").write_text(EVIL.format(canary=str(canary)))
    (folder / "bin").mkdir()
    for name in ("gs", "gswin32c", "gswin64c"):
        script = folder / "bin" / name
        script.write_text(GHOSTSCRIPT.format(canary=canary))
        script.chmod(0o755)
    os.environ["PATH"] = f"{folder / 'bin'}:{SEARCH_PATH}"
    os.chdir(folder)
    sys.path[:] = [str(folder), *(entry for entry in sys.path if "/cases/" not in entry)]
    sys.modules.pop("evil", None)
    return canary


def run(case: Case) -> Outcome:
    """One damaged file."""
    random = case.random
    name = list(KINDS)[case.number % len(KINDS)]
    kind = KINDS[name]
    place = copy(kind, case)
    pristine = comparable(kind.read(place))
    place = again(kind, place, case)
    path = choose_file(kind, place, random)
    canary = lay_traps(case.folder, path.parent)
    special = ways(path.name)
    pool = special if special and random.random() < SPECIAL_SHARE else ANY
    damage = pool[random.integers(len(pool))]
    others = sorted(p for p in case.materials.iterdir() if p.is_file())
    damage(Target(path, random, others, canary))
    what = f"{name}, {path.relative_to(case.folder)}: {(damage.__doc__ or '').strip()}"
    commands = kind.commands(place)
    try:
        if commands and random.random() < COMMAND_SHARE:
            group, arguments = commands[random.integers(len(commands))]
            ended = Child(program(group, arguments, case.folder), case.folder).wait(COMMAND_SECONDS)
            require_told(ended, names_of(path, place), f"dialog-retrieval {group} {arguments[0]}")
        else:
            read(kind, place, path, pristine, forged=damage in FORGED, lawful=damage in (edit_json, edit_json_line))
    except Failed as failed:
        if not canary.exists():
            raise Failed(failed.verdict, f"{what}: {failed.note}") from failed
    except MemoryError as error:
        raise Failed("hang", f"{what}: it took too much memory") from error
    expect(not canary.exists(), "executed", f"{what}: code in a file was run")
    return Outcome(note=what)


def again(kind: Kind, place: Place, case: Case) -> Place:
    """A fresh copy, since reading may have gone on with a training."""
    shutil.rmtree(place.path) if place.path.is_dir() else place.path.unlink()
    return copy(kind, case)


def names_of(path: Path, place: Place) -> list[str]:
    """What a message may call a damaged file: its path, or the folder that was given."""
    return [str(path), path.name, str(place.path)]


def read(kind: Kind, place: Place, path: Path, pristine: Any, *, forged: bool, lawful: bool) -> None:
    """Reads it, and ends the case where that is not refused clearly, and not harmless either."""
    answer = attempt(kind.read, place)
    if answer.error is not None:
        require_clear(answer.error, names_of(path, place), "reading it")
        return
    found = comparable(answer.value)
    if found == pristine or forged:
        return
    if kind.ours:
        fail("silent", f"it was read as something else: {difference(pristine, found)}")
    if kind.entries is not None:
        whole = kind.read(Place(place.materials / kind.material, place.materials))
        before, now = kind.entries(whole), kind.entries(answer.value)
        if not lawful:  # a list of others that is whole JSON again cannot tell what is missing
            expect(now >= before, "silent", f"it was read as {now} entries instead of {before}")


PART = Part(
    name="files",
    tries="files cut off, overwritten, swapped, forged, or replaced by pipes, devices, bombs and code; read or refused",
    run=run,
    prepare=lambda folder: materials.make(folder, *materials.MAKERS),
    cases=1000,
    small=44,
    seconds=90,
    memory=3 << 30,
)
