"""Commands that take a while and leave files, what they must leave, and what they leave when nothing disturbs them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from dialog_env.io import checkpoint
from tools.reliability import materials
from tools.reliability.cases import fail
from tools.reliability.commands import complaints, last, program
from tools.reliability.kinds import AGENTS, BENCHMARKS, CATALOGS, SIMULATORS, comparable, difference, options
from tools.reliability.processes import Child, Ended

CLOCKS = {
    "updates_per_second",
    "pairs_per_second",
    "seconds",
    "time",
    "sha256",
    "digest",
    "dialogs sha256",
    "model sha256",
}
"""What files say that differs from run to run because clocks go on, and digests over it."""
IGNORED = ("tensorboard",)
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.truncate", "os.rmdir", "tempfile.mkstemp")
SECONDS = 120
FORMER = "undisturbed"


@dataclass(frozen=True)
class Work:
    """A command that leaves files in a folder.

    Args:
        group: of the command line.
        arguments: for a folder of materials, a folder for its files, and a seed.
    """

    group: str
    arguments: Callable[[Path, Path, int], list[object]]

    def program(self, folder: Path, output: Path, seed: int = 0) -> Callable[[], None]:
        """For a forked process."""
        return program(self.group, self.arguments(folder, output, seed), folder)


def _setting(folder: Path, output: Path) -> list[object]:
    return ["--catalog", folder / materials.CATALOG, "--simulator", "describer", "--output", output]


def _supervised(folder: Path, output: Path, seed: int) -> list[object]:
    settings = {**materials.SUPERVISED, "epochs": 4, "seed": seed}
    return ["train", "supervised", *_setting(folder, output), *options(settings)]


def _improvement(folder: Path, output: Path, seed: int) -> list[object]:
    settings = {**materials.SUPERVISED, "nearest": 2, "seed": seed}
    before = {f"pretraining.{name}": value for name, value in materials.SUPERVISED.items()}
    return ["train", "policy_improvement", *_setting(folder, output / "agent"), *options(settings), *options(before)]


def _stable(folder: Path, output: Path, seed: int) -> list[object]:
    settings = {**materials.STABLE_SETTINGS, "seed": seed}
    return ["train", materials.STABLE_NAME, *_setting(folder, output), *options(settings)]


def _captioner(folder: Path, output: Path, seed: int) -> list[object]:
    pairs = materials.CAPTION_PAIRS
    settings = {**vars(materials.RECIPE), "epochs": 4, "seed": seed, "pairs": pairs, "validation_pairs": pairs}
    return ["train", "--catalog", folder / materials.CATALOG, "--output", output, "--device", "cpu", *options(settings)]


def _photographs(folder: Path, output: Path, seed: int) -> list[object]:
    paths = ["--root", folder / materials.PHOTOGRAPHS, "--backbone", folder / materials.BACKBONE]
    sizes = ["--grid", 2, "--batch", 4, "--dimensions", 3 - seed]
    return ["build", "products", *paths, "--output", output / "built.h5", *sizes]


def _drawn(folder: Path, output: Path, seed: int) -> list[object]:
    return ["build", "synthetic", "--size", 24, "--seed", seed, "--output", output / "drawn.h5"]


def _benchmark(folder: Path, output: Path, seed: int) -> list[object]:
    agent = "supervised:epochs=2,batch=8,turns=2,statistics=1"
    return ["run", *_setting(folder, output), "--turns", 2, "--seeds", seed, "--agents", "random", agent]


WORKS: dict[str, Work] = {
    "agent": Work(AGENTS, _supervised),
    "captioner": Work(SIMULATORS, _captioner),
    "photographs": Work(CATALOGS, _photographs),
    "benchmark": Work(BENCHMARKS, _benchmark),
    "stable agent": Work(AGENTS, _stable),
    "agent that looks ahead": Work(AGENTS, _improvement),
    "drawn catalogue": Work(CATALOGS, _drawn),
}
"""Name to work."""


@dataclass(frozen=True)
class Former:
    """What a work did when nothing disturbed it.

    Args:
        state: what it left.
        seconds: processor time that it took.
        events: how often it opened, renamed, … something in its folder.
        size: bytes that it left.
    """

    state: Any
    seconds: float
    events: int
    size: int


def state(output: Path) -> dict[str, Any]:
    """What lies in a folder, comparable between runs; tells of logs nothing."""
    return {
        str(path.relative_to(output)): _plain(json.loads(json.dumps(comparable_file(path))), str(output))
        for path in sorted(output.rglob("*"))
        if path.is_file() and not set(path.relative_to(output).parts) & set(IGNORED) and not _is_lock(path)
    }


def _is_lock(path: Path) -> bool:
    return "lock" in path.name and not path.stat().st_size


def comparable_file(path: Path) -> Any:
    """What a file holds but for clocks."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
        return [comparable(checkpoint.read(path).tensors), facts]
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: _digest(archive.read(name)) for name in archive.namelist() if name.endswith(".pth")}
    return _digest(path.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plain(value: Any, output: str) -> Any:
    """JSON data without clocks, and without the folder in which they lie."""
    if isinstance(value, dict):
        return {key: _plain(part, output) for key, part in value.items() if key not in CLOCKS}
    if isinstance(value, list):
        return [_plain(part, output) for part in value]
    return value.replace(output, "<output>") if isinstance(value, str) else value


def at_event(output: Path, number: int, action: Callable[[], None]) -> Callable[[], int]:
    """Does something at the event of that number in a folder; gives what counts them."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in EVENTS and arguments and str(output) in str(arguments[0]):
            seen += 1
            if seen == number:
                action()

    sys.addaudithook(hook)
    return lambda: seen


def disturbed(work: Work, folder: Path, output: Path, number: int, action: Callable[[], None]) -> Callable[[], None]:
    """The work for a forked process, in which something is done at an event."""

    def run() -> None:
        at_event(output, number, action)
        work.program(folder, output)()

    return run


def run_whole(work: Work, folder: Path, output: Path, where: Path, seed: int = 0) -> Ended:
    """Runs a work to its end."""
    return Child(work.program(folder, output, seed), where).wait(SECONDS)


def require_end(work: Work, case_folder: Path, folder: Path, output: Path, former: Former, what: str) -> None:
    """Gives the same command again, and ends the case unless it ends as if nothing had happened."""
    ended = run_whole(work, folder, output, case_folder)
    if ended.status:
        fail("lost", f"{what}: the same command again said {complaints(ended)[-2:] or last(ended.complained)}")
    found = state(output)
    if found != former.state:
        fail("lost", f"{what}: {first_difference(former.state, found)}")


def first_difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Which file is missing, too many, or another one."""
    missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or more:
        return f"missing {missing}, left over {more}"
    name = next(name for name in expected if expected[name] != found[name])
    return f"another {name}: {difference(expected[name], found[name])}"


def prepare(folder: Path) -> None:
    """Makes the materials, and runs every work once with each of two seeds."""
    names = (materials.CATALOG, materials.PHOTOGRAPHS, materials.BACKBONE, materials.RESULT, materials.AGENT)
    materials.make(folder, *names, materials.CAPTIONER)
    for name, work in WORKS.items():
        for seed in (0, 1):
            path = folder / f"{FORMER}-{name}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(vars(_undisturbed(work, folder, seed))))


def _undisturbed(work: Work, folder: Path, seed: int) -> Former:
    output = folder / f"{FORMER}-{time.monotonic_ns()}"
    output.mkdir()
    counted = folder / "counted.json"

    def run() -> None:
        begun = time.process_time()
        count = at_event(output, -1, lambda: None)
        work.program(folder, output, seed)()
        counted.write_text(json.dumps([count(), time.process_time() - begun]))

    ended = Child(run, folder).wait(SECONDS)
    if ended.status:
        raise RuntimeError(f"{work.group} failed where nothing disturbed it: {ended.complained}")
    events, seconds = json.loads(counted.read_text())
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    former = Former(state(output), max(seconds, 0.1), events, size)
    for path in sorted(output.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    output.rmdir()
    return former


def former_of(folder: Path, name: str, seed: int = 0) -> Former:
    """What a work did when nothing disturbed it."""
    return Former(**json.loads((folder / f"{FORMER}-{name}-{seed}.json").read_text()))


def kill_self() -> None:
    """Ends this process at once."""
    os.kill(os.getpid(), 9)
