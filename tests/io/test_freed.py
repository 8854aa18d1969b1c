"""Memory that was freed is used again without asking the system."""

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import resource, torch
from dialog_env.io.freed import keep_freed_memory

keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(2 << 20).fill_(1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = (8 << 20) // 4096


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="another system counts otherwise")
def test_a_piece_of_memory_is_filled_by_the_system_once() -> None:
    if "libc.so" not in Path("/proc/self/maps").read_text():
        pytest.skip("another C library")
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 3 * PAGES
