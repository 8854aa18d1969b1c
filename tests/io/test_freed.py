"""Memory that was freed is used again without asking the system."""

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import resource, torch
from dialog_env.io.freed import keep_freed_memory

keep_freed_memory()
for _ in range(60):  # until one is free that is large enough for the next, its alignment included
    torch.empty(2 << 20).fill_(1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(2 << 20).fill_(1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = (8 << 20) // 4096


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="another system counts otherwise")
def test_pieces_of_memory_are_soon_filled_by_the_system_no_more() -> None:
    if "libc.so" not in Path("/proc/self/maps").read_text():
        pytest.skip("another C library")
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < PAGES
