"""Catalogues that are built on full disks: wrong never, whole once there is room."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder below which a tmpfs can be mounted; skips the test where it cannot."""
    probe = tmp_path / "probe"
    probe.mkdir()
    try:
        shown = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", probe], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no command `mount`, which makes a small disk")
    if shown.returncode:
        pytest.skip(f"no small disk can be mounted here ({shown.stderr.strip()})")
    subprocess.run(["umount", probe], check=True)
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path / "disk"], capture_output=True, check=False)


def play(folder: Path, rounds: int, seed: int) -> None:
    """Every round ends with the right catalogue and nothing beside it, and every failure before is one sentence."""
    command = [sys.executable, "-m", "tests.full_disk", str(folder), str(rounds), str(seed)]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert shown.returncode == 0, shown.stderr
    found = [json.loads(line) for line in shown.stdout.splitlines() if line.startswith("{")]
    assert len(found) == rounds
    for each in found:
        assert each["right"], each
        assert each["left"] == ["out.h5"], each
        for sentence in each["said"]:
            assert "out.h5" in sentence, each
            assert "No space left on device" in sentence, each
            assert "make room" in sentence, each
            assert "\n" not in sentence, each
    assert sum(map(len, (each["said"] for each in found))) >= rounds / 2
    assert "Traceback" not in shown.stderr


@pytest.mark.slow
def test_a_disk_that_fills_up_never_makes_a_wrong_catalogue(folder: Path) -> None:
    play(folder, rounds=6, seed=1)


@pytest.mark.long
def test_no_catalogue_is_wrong_in_fifty_rounds_on_disks_that_fill_up(folder: Path) -> None:
    play(folder, rounds=50, seed=0)
