"""A training that is killed at any moment loses nothing but time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dialog_env.agents.base import AGENT_FILE
from dialog_env.io import checkpoint
from dialog_env.training.epochs import CHECKPOINT_FILE
from tests.conftest import REPOSITORY

PROGRAM = """
import os, sys
from pathlib import Path
import torch
from dialog_env import agents
from dialog_env.agents.guo2018.policy_improvement import PolicyImprovementLearner
from tests.agents.test_agents_learning_from_users import QUICK, training_data

def telling(function):
    def tell(*arguments, **keywords):
        print("step", flush=True)
        return function(*arguments, **keywords)
    return tell

os.replace, os.fsync = telling(os.replace), telling(os.fsync)
PolicyImprovementLearner.update = telling(PolicyImprovementLearner.update)
torch.set_num_threads(1)
data = training_data(size=48)
agent = agents.create(
    "policy_improvement", gallery=data.gallery, vocabulary=data.simulator.vocabulary,
    epochs=12, batch=24, statistics=1, pretraining=QUICK,
)
agent.train(data, Path(sys.argv[1]), progress=False)
print("end", flush=True)
"""


def run(folder: Path, steps: int, rest: float) -> bool:
    """Trains in `folder`; True where it was killed, so many steps and so much of a second later.

    A step is an update or a stage of writing a file.
    """
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(steps):
            if process.stdout.readline() != "step\n":
                break
        else:
            time.sleep(rest)
            process.send_signal(signal.SIGKILL)
    return process.returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long)])
def test_kills_at_random_moments_end_in_the_weights_of_a_training_never_killed(kills: int, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole" / "agent", tmp_path / "killed" / "agent"
    assert not run(whole, steps=10_000, rest=0)
    random = np.random.default_rng(0)
    assert all(run(killed, int(random.integers(1, 14)), random.uniform(0, 0.05)) for _ in range(kills))
    assert not run(killed, steps=10_000, rest=0)
    for name in (CHECKPOINT_FILE, AGENT_FILE):
        states = [checkpoint.fingerprint(checkpoint.read(folder / name).tensors) for folder in (whole, killed)]
        assert states[0] == states[1]
    assert not list((tmp_path / "killed").rglob("*.part"))
