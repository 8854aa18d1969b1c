"""One process at a time writes to a folder; another one is told so, and nothing of the two is mixed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dialog_env import agents
from dialog_env.agents.base import AGENT_FILE
from dialog_env.benchmarks import results
from dialog_env.catalog import Catalog
from dialog_env.io import checkpoint
from dialog_env.io.atomic import locked
from dialog_env.simulators.captioner import load_captioner
from dialog_env.simulators.captioner.user import CAPTIONER_FILE
from dialog_env.training.epochs import CHECKPOINT_FILE
from tests.conftest import REPOSITORY

WORKER = """
import json, sys
from pathlib import Path
import torch
from dialog_env import agents
from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.suites import Suite
from dialog_env.catalog import Catalog
from dialog_env.catalog.__main__ import Build
from dialog_env.catalog.sources.drawn import Drawn
from dialog_env.simulators.captioner.caption_data import DescribedPairs
from dialog_env.simulators.captioner.training import CaptionTraining, CaptionerSettings
from tests.conftest import tiny_contents
from tests.agents.test_training import training_data

torch.set_num_threads(1)
data = training_data(size=48)
tiny = Catalog(tiny_contents(size=60))

def agent(name, folder, seed, **settings):
    made = agents.create(name, gallery=data.gallery, vocabulary=data.simulator.vocabulary, seed=seed, **settings)
    made.train(data, folder, progress=False)
    return getattr(made, "inner", made).trained["seed"]

def captioner(folder, seed):
    recipe = CaptionerSettings("show_tell", epochs=3, hidden=16, embedding=16, threshold=0, seed=seed)
    pairs = [DescribedPairs(tiny.split(split), 200, seed=0) for split in ("train", "validation")]
    return CaptionTraining(recipe, *pairs, folder).run(progress=False).provenance["recipe"]["seed"]

def benchmark(folder, seed):
    suite = Suite(catalog=str(folder.parent / "tiny.h5"), simulator="describer", evaluation_seed=seed)
    return Experiment(suite, folder).run("supervised:epochs=2,batch=8", 0).run.evaluation_seed

def catalog(folder, seed):
    built = Build(Drawn(folder / "catalog.h5", size=60, seed=seed))
    built()
    return Catalog.open(built.source.output).provenance["seed"]

KINDS = {
    "catalog": catalog,
    "agent": lambda folder, seed: agent("supervised", folder, seed, epochs=4, batch=8, statistics=1),
    "unseen": lambda folder, seed: agent("unseen", folder, seed, settings={"epochs": 2, "batch": 8}),
    "sb3": lambda folder, seed: agent("sb3-ppo", folder, seed, steps=640, dialogs=16, evaluations=2),
    "captioner": captioner,
    "benchmark": benchmark,
}
print("ready", flush=True)
for line in sys.stdin:
    kind, folder, seed = json.loads(line)
    try:
        print(json.dumps(["done", KINDS[kind](Path(folder), seed)]), flush=True)
    except (OSError, ValueError) as error:
        print(json.dumps(["refused", str(error)]), flush=True)
"""


@pytest.fixture(scope="module")
def two() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that do, at the same time, what they are told in a line."""
    command = [sys.executable, "-c", WORKER]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, cwd=REPOSITORY, **pipes) as first,
        subprocess.Popen(command, cwd=REPOSITORY, **pipes) as second,
    ):
        assert [answer(process) for process in (first, second)] == ["ready", "ready"]
        yield [first, second]
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.close()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    while True:
        line = process.stdout.readline().strip()
        if not line or line == "ready" or line.startswith(('["done', '["refused')):
            return line


def seeds_in(kind: str, folder: Path) -> set[Any]:
    """Of which trainings (or evaluations) the files in a folder are."""
    if kind == "catalog":
        return {Catalog.open(folder / "catalog.h5").provenance["seed"]}
    if kind == "benchmark":
        return {result.run.evaluation_seed for result in results.read_all(folder)}
    if kind == "captioner":
        identities = [
            load_captioner(folder / CAPTIONER_FILE).provenance,
            checkpoint.read(folder / CHECKPOINT_FILE).facts["identity"],
        ]
        return {identity["recipe"]["seed"] for identity in identities}
    agent = agents.load(folder)
    if kind == "sb3":
        return {agent.seed, json.loads((folder / "training.json").read_text())["identity"]["seed"]}
    inner = folder / "inner" if kind == "unseen" else folder
    return {getattr(agent, "inner", agent).seed} | {
        checkpoint.read(inner / name).facts["seed"] for name in (AGENT_FILE, CHECKPOINT_FILE)
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["agent", "unseen", "sb3", "captioner", "benchmark", "catalog"])
def test_of_two_processes_that_begin_together_one_has_the_folder(
    kind: str, two: list[subprocess.Popen[str]], tmp_path: Path, tiny_file: Path
) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        for seed, process in enumerate(two):
            assert process.stdin is not None
            process.stdin.write(json.dumps([kind, str(folder), seed]) + "\n")
        for process in two:
            assert process.stdin is not None
            process.stdin.flush()
        ends = [json.loads(answer(process)) for process in two]
        assert sorted(end for end, _ in ends) == ["done", "refused"], ends
        winner = [end for end, _ in ends].index("done")
        said = ends[1 - winner][1]
        assert str(folder) in said
        assert "in use by another process" in said or "give another" in said
        assert ends[winner][1] == winner
        assert seeds_in(kind, folder) == {winner}
        assert not [*folder.rglob("*.lock"), *folder.rglob("*.part")]


def test_a_folder_is_locked_until_the_block_ends_and_a_file_in_it_apart(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with locked(folder), locked(folder, "one.h5"), locked(folder, "other.h5"):
        with (
            pytest.raises(OSError, match=f"^{folder} is in use by another process that writes there; wait"),
            locked(folder),
        ):
            pass
        with pytest.raises(OSError, match=r"folder/one\.h5 is in use"), locked(folder, "one.h5"):
            pass
    assert not list(folder.iterdir())
    with pytest.raises(KeyError), locked(folder):
        raise KeyError
    with locked(folder):
        pass


HOLDER = """
import sys, time
from dialog_env.io.atomic import locked
with locked(sys.argv[1]):
    print("holds", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_gives_its_folder_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        with pytest.raises(OSError, match="is in use by another process"), locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


COUNTER = """
import sys, time
from pathlib import Path
from dialog_env.io.atomic import locked
folder, done = Path(sys.argv[1]), 0
while done < 200:
    try:
        with locked(folder):
            held = folder / "held"
            held.touch(exist_ok=False)
            held.unlink()
            done += 1
    except BlockingIOError:
        time.sleep(0.0002)
"""


def test_no_two_of_four_processes_ever_hold_a_folder_at_once(tmp_path: Path) -> None:
    """The file that carries the lock comes and goes meanwhile."""
    command = [sys.executable, "-c", COUNTER, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 4
