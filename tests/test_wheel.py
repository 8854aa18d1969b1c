"""The wheel in a fresh environment, beside code of a stranger that has the names of the folders of the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import dialog_env
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

FOLDERS = ("agents", "benchmarks", "simulators")

DIALOGS = """
import gymnasium as gym

dialogs = dict(catalog="synthetic:60:1", simulator="describer")
env = gym.make("dialog_env:DialogRetrieval-v0", **dialogs)
env.reset(seed=0)
assert "feedback" in env.step(env.action_space.sample())[0]
vector = gym.make_vec("dialog_env:DialogRetrieval-v0", num_envs=3, **dialogs)
vector.reset(seed=0)
assert vector.step(vector.action_space.sample())[1].shape == (3,)
"""

STRANGERS = """
from agents import own
from benchmarks import own
from simulators import own
assert own == "simulators"
"""


def run(*words: str | Path, folder: Path) -> str:
    """What a command prints that succeeds in a folder, with no path to this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([str(word) for word in words], cwd=folder, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout, so that nothing is left in it, and nothing of an older build gets in."""
    pytest.importorskip("setuptools", minversion="77", reason="a wheel is built by setuptools 77 or newer")
    folder = tmp_path_factory.mktemp("build")
    for path in REPOSITORY.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
        elif path.name in ("dialog_env", *FOLDERS):
            shutil.copytree(path, folder / path.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", "made", ".", folder=folder)
    (made,) = (folder / "made").iterdir()
    return made


class Environment:
    """A fresh environment with the wheel, which finds what the wheel needs where the running interpreter has it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder.parent)
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.command = self.python.with_name("dialog-retrieval")
        self.packages = Path(
            run(self.python, "-c", "import site; print(site.getsitepackages()[0])", folder=folder)[:-1]
        )
        self.install(wheel)
        # The `.pth` files in a folder that another one names are not read, so this checkout is not found by its own.
        (self.packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def install(self, package: str | Path) -> None:
        """Adds a package, and nothing that it needs."""
        pip = (sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-deps")
        run(*pip, "--retries", "0", package, folder=self.packages)


def check_dialogs_and_benchmark(environment: Environment, folder: Path, more: str = "") -> None:
    """Plays dialogs and runs a small benchmark, in a folder."""
    loaded = run(environment.python, "-c", f"{DIALOGS}{more}\nprint(gym.__name__, env.unwrapped)", folder=folder)
    assert loaded.startswith("gymnasium")
    words = "benchmark run --catalog synthetic:60:1 --simulator describer --agents random --output"
    table = run(environment.command, *words.split(), folder / "results", folder=folder)
    assert "random" in table
    assert list((folder / "results").rglob("*.json"))


def test_the_wheel_has_one_top_level_name_and_all_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "dialog_env",
        f"dialog_retrieval-{dialog_env.__version__}.dist-info",
    }
    for folder in (REPOSITORY / "dialog_env", *(REPOSITORY / "dialog_env" / name for name in FOLDERS)):
        files = {path.relative_to(REPOSITORY) for path in folder.rglob("*") if path.is_file()}
        wanted = {path.as_posix() for path in files if not {"__pycache__", "results"} & set(path.parts)}
        assert wanted - set(names) == set()
    for data in (
        "py.typed",
        "catalog/synthetic/default.h5",
        "simulators/captioner/weights/synthetic/captioner.safetensors",
    ):
        assert f"dialog_env/{data}" in names


def test_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment", wheel)
    folder = tmp_path / "empty"
    folder.mkdir()
    where = "import dialog_env; print(dialog_env.__file__)"
    assert Path(run(environment.python, "-c", where, folder=folder)).is_relative_to(environment.packages)
    assert run(environment.command, "--version", folder=folder) == f"dialog-retrieval {dialog_env.__version__}\n"
    check_dialogs_and_benchmark(environment, folder)


def test_in_a_folder_with_packages_of_the_same_names(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment", wheel)
    folder = tmp_path / "research"
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f'own = "{name}"\n')
    run("git", "init", "--quiet", folder=tmp_path)
    author = ("-c", "user.name=one", "-c", "user.email=one@x")
    run("git", *author, "commit", "--quiet", "--allow-empty", "-m", "one", folder=tmp_path)
    check_dialogs_and_benchmark(environment, folder, STRANGERS)
    (result,) = (folder / "results").rglob("result.json")
    assert json.loads(result.read_text())["provenance"]["git"] == "unknown"


def test_beside_an_installed_package_of_the_same_name(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment", wheel)
    for name in FOLDERS:
        (environment.packages / name).mkdir()
        (environment.packages / name / "__init__.py").write_text(f'own = "{name}"\n')
    folder = tmp_path / "empty"
    folder.mkdir()
    check_dialogs_and_benchmark(environment, folder, STRANGERS)


def test_beside_openai_agents(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment", wheel)
    try:
        environment.install("openai-agents==0.24.0")
    except AssertionError as error:
        pytest.skip(f"openai-agents cannot be had: {str(error)[:200]}")
    assert (environment.packages / "agents" / "run.py").is_file()
    folder = tmp_path / "empty"
    folder.mkdir()
    check_dialogs_and_benchmark(environment, folder)
