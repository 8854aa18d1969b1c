"""Runs by Ray: the tables of the serial run, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from dialog_env.agents.baselines.random import Random
from dialog_env.benchmarks.__main__ import main
from dialog_env.benchmarks.jobs.cluster import Cluster
from dialog_env.benchmarks.jobs.task import Plan, Task
from dialog_env.benchmarks.suites import Suite
from tests.conftest import REPOSITORY
from tests.damage import refusal

TRAINING = '{"epochs": 1, "batch": 8}'
CONTINUED, SCST = (f"{name}:epochs=1,batch=8,pretraining={TRAINING}" for name in ("continued", "scst"))
KILL_ONCE = Path("kill-once")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is absent; pip install 'dialog-retrieval[ray]'")


class Killed(Random):
    """Ends its process at its first turn, where a file asks for it."""

    name = "killed"

    def act(self, *arguments: object, **keywords: object) -> object:  # type: ignore[override]
        if KILL_ONCE.exists():
            KILL_ONCE.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(*arguments, **keywords)


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The benchmark in a process of its own, as from a command line."""
    agents = ["random", "tests.benchmarks.test_cluster:Killed", CONTINUED, SCST]
    command = ["benchmark", "run", "--suite", "tiny.json", "--device", "cpu", "--seeds", "0", "--agents", *agents]
    return subprocess.run(
        [sys.executable, "-m", "dialog_env", *command, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


@needs_ray
@pytest.mark.slow
def test_ray_gives_the_tables_of_the_serial_run_with_a_worker_killed_and_a_failure_beside(
    tmp_path: Path, tiny_file: Path
) -> None:
    suite = Suite(name="tiny", catalog=str(tiny_file), simulator="tests.toys:ToyUser")
    (tmp_path / "tiny.json").write_text(json.dumps(asdict(suite)))
    serial = run(tmp_path, "--output", "serial", "--trained", "serial/trained")
    assert serial.returncode == 0, serial.stderr
    broken = "tests.benchmarks.test_suites:Broken"
    (tmp_path / KILL_ONCE).touch()
    failing = run(tmp_path, broken, "--output", "ray", "--trained", "ray/trained", "--ray")
    assert failing.returncode == 1, failing.stderr
    assert f"error: 1 runs failed: {broken}, seed 0: nothing goes (see ray/logs/" in failing.stderr
    assert not (tmp_path / KILL_ONCE).exists()
    assert len(list((tmp_path / "ray" / "logs").glob("pretraining*"))) == 1
    assert len(list((tmp_path / "ray" / "trained" / "pretrained").iterdir())) == 1
    assert not (tmp_path / ".ray").exists()
    again = run(tmp_path, "--output", "ray", "--trained", "ray/trained", "--ray")
    assert again.stdout.count("already there, not run again") == 4
    for name in ("table.md", "table.csv", "table.tex", "index.html", "turns.png"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "serial" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray", "--jobs", "2"], "--jobs and --ray are two ways to run; give one of them"),
        (["--ray", "here", "there"], "--ray takes one address, not 2"),
        (["--cpus", "2"], "--cpus and --gpus say what a run has with --ray"),
        (["--ray", "--device", "cuda"], "--device cuda with --ray needs GPUs for each run; give --gpus"),
        (["--ray", "--cpus", "0"], "a run cannot have 0.0 CPUs and 0 GPUs"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("run", "paper"):
        with pytest.raises(SystemExit) as ended:
            main([command, *options])
        assert str(ended.value).startswith(f"error: {said}")
    assert not capsys.readouterr().out


def planned(folder: Path, catalog: Path) -> tuple[Task, dict[Plan, object]]:
    plan = Plan(Suite(catalog=str(catalog), simulator="tests.toys:ToyUser"), folder, "cpu", None)
    return Task(plan, "random", 0), {plan: plan.open()}


def test_without_ray_one_sentence_says_how_to_install_it(
    tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    task, experiments = planned(tmp_path, tiny_file)
    with pytest.raises(ImportError, match=r"^--ray needs Ray, which is not installed; pip install .*, or give --jobs"):
        list(Cluster().run([task], experiments))


@needs_ray
def test_an_address_at_which_nobody_answers_is_named(tmp_path: Path, tiny_file: Path) -> None:
    task, experiments = planned(tmp_path, tiny_file)
    with pytest.raises(OSError, match=r"Ray could not be reached at 127\.0\.0\.1:9 \(.*refused\); start it there"):
        list(Cluster("127.0.0.1:9").run([task], experiments))


def test_a_run_that_fits_on_no_machine_is_refused_and_does_not_wait() -> None:
    machines = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}]
    ray = SimpleNamespace(nodes=lambda: machines)
    Cluster(cpus=2)._require_room(ray)  # type: ignore[arg-type]
    said = refusal(Cluster(cpus=4)._require_room, ray)
    assert said.startswith("no machine has the 4 CPUs and 0 GPUs that a run asks for (there: 2 and 0)")
