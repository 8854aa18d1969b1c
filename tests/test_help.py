"""Help of every command is there at once: it loads nothing slow, and says the same as if it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dialog_env import cli
from dialog_env.cli import GROUPS, main
from dialog_env.io import stand_ins
from tests.conftest import REPOSITORY

COMMANDS = [
    "environment check",
    "catalog build",
    "catalog build folder",
    "catalog build synthetic",
    "catalog add products",
    "catalog info",
    *(f"simulator {name}" for name in ("train", "evaluate", "sheet", "fill")),
    *(f"agent train{name}" for name in ("", " supervised", " policy_improvement", " belief", " sb3-ppo")),
    *(f"benchmark {name}" for name in ("run", "paper", "carry", "noise", "composed", "gap", "replay")),
    *(f"benchmark {name}" for name in ("table", "publish", "leaderboard", "film")),
    *GROUPS,
]

TOLD = """
import contextlib, io, json, sys
from dialog_env import cli
from dialog_env.io import stand_ins

group, *commands = json.loads(sys.argv.pop())
assert stand_ins.install(cli.NEEDED.get(group, ""))
told = {}
for command in commands:
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        cli.run([*command.split(), "--help"])
    told[command] = text.getvalue()
assert not hasattr(sys.modules["torch"], "__file__")
print(json.dumps(told))
"""


def test_the_help_of_every_command_says_the_same_without_torch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    told = {}
    for group in ("agent", "all others"):
        commands = [command for command in COMMANDS if (command.split()[0] == "agent") == (group == "agent")]
        listed = json.dumps([group, *commands])
        done = subprocess.run([sys.executable, "-c", TOLD, listed], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told.update(json.loads(done.stdout))
    for command in COMMANDS:
        with suppress(SystemExit):
            main([*command.split(), "--help"])
        assert told[command] == capsys.readouterr().out
        assert f"dialog-retrieval {command.split()[0]}" in told[command]


def start(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command, in a process that tells on stderr which of some slow modules were loaded."""
    (folder / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "slow = ('torch', 'h5py', 'PIL', 'asyncio', 'pydantic')\n"
        "loaded = lambda name: getattr(sys.modules.get(name), '__file__', None)\n"
        "atexit.register(lambda: print('loaded:', *filter(loaded, slow), file=sys.stderr))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}"}
    environment.pop(stand_ins.SWITCH, None)
    return subprocess.run(
        [sys.executable, "-m", "dialog_env", *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("command", ["benchmark run --help", "catalog build -h", "agent train belief -h"])
def test_help_loads_nothing_slow(command: str, tmp_path: Path) -> None:
    done = start(command.split(), tmp_path)
    needed = cli.NEEDED.get(command.split()[0], "")
    assert (done.returncode, done.stderr) == (0, f"loaded: {needed}".rstrip() + "\n")
    assert done.stdout.startswith("usage: dialog-retrieval")


@pytest.mark.slow
def test_a_part_that_computes_while_it_is_imported_gets_the_real_thing(tmp_path: Path) -> None:
    (tmp_path / "my_source.py").write_text(
        "from dataclasses import dataclass\n"
        "from pathlib import Path\n\n"
        "import torch\n\n"
        "SIZE = int(torch.arange(5).sum())\n\n\n"
        "@dataclass\n"
        "class Few:\n"
        '    """A few things."""\n\n'
        "    output: Path\n"
        "    size: int = SIZE\n\n"
        "    def build(self):\n"
        "        pass\n"
    )
    done = start(["catalog", "build", "my_source:Few", "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("loaded: torch ")
    assert "(default: 10)" in done.stdout


def test_stand_ins_can_be_derived_from_decorate_and_stand_in_annotations() -> None:
    code = """
from abc import ABC
from dialog_env.io import stand_ins
assert stand_ins.install()
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from stable_baselines3.common.policies import BasePolicy

class Network(nn.Module, ABC):
    def __init__(self, width): self.width = width

class Policy(BasePolicy[int], Network): pass

@torch.no_grad()
def twice(number): return 2 * number

Pair = tuple[Tensor, Tensor | None]
assert twice(3) == 6 and torch.inference_mode(False)(twice)(4) == 8
assert Policy(5).width == 5 and not hasattr(Policy, "other")
assert F.relu is F.relu
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
