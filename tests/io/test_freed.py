"""Memory that a turn has freed is used by the next one without asking the system."""

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import resource
import gymnasium, torch

settings = {"catalog": "synthetic", "simulator": "describer", "action": "query", "output": "torch"}
envs = gymnasium.make_vec("dialog_env:DialogRetrieval-v0", num_envs=1024, **settings)
envs.reset(seed=0)
envs.action_space.seed(0)
actions = [torch.as_tensor(envs.action_space.sample()) for _ in range(5)]

def turns(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for turn in range(count):
        envs.step(actions[turn % len(actions)])
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

turns(20)  # until pieces are free that are large enough for all that follow
print(turns(20))
"""
A_TURN = 20
"""Pages that the system may fill; of memory that it gets back every turn it fills hundreds to thousands."""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="another system counts otherwise")
def test_turns_are_soon_held_in_memory_that_is_there() -> None:
    if "libc.so" not in Path("/proc/self/maps").read_text():
        pytest.skip("another C library")
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20 * A_TURN
