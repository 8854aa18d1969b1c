"""In a checkout nothing is loaded under two names, and the commands are found under both."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

FOLDERS = ("agents", "benchmarks", "simulators")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What a fresh process says, in the checkout."""
    return subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_not_imported_under_its_bare_name(folder: str) -> None:
    done = python("-c", f"import {folder}")
    assert done.returncode != 0
    assert done.stderr.strip().endswith(f"import dialog_env.{folder}")


def test_a_command_typed_in_a_checkout_loads_every_module_under_one_name() -> None:
    done = python("-X", "importtime", "-m", "benchmarks", "run", "--help")
    assert done.returncode == 0
    assert "--agents" in done.stdout
    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert "dialog_env.benchmarks.experiment" in loaded
    assert not [name for name in loaded if name.startswith(tuple(f"{folder}." for folder in FOLDERS))]
