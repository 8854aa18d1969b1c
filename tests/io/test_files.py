"""Files that are either whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dialog_env.io.atomic import replacing, write_atomically
from dialog_env.io.writing import create_hdf5
from tests.conftest import REPOSITORY

WRITER = """
import sys, time
from dialog_env.io.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print(temporary.name, flush=True)
    time.sleep(600)
"""


def start_writer(path: Path) -> tuple[subprocess.Popen[str], str]:
    """A process in the middle of writing a file, and the name of its temporary file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_what_a_killed_writer_left_behind_goes_with_the_next_write_and_a_live_ones_stays(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    killed, leftover = start_writer(path)
    alive, in_use = start_writer(path)
    try:
        assert sorted(os.listdir(tmp_path)) == sorted([leftover, in_use])
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (tmp_path / ".file.h5.of-an-older-release.part").touch()
        (tmp_path / ".other.h5.abcdefgh.part").touch()
        write_atomically(path, b"whole")
        assert sorted(os.listdir(tmp_path)) == sorted([in_use, ".other.h5.abcdefgh.part", "file.h5"])
        assert path.read_bytes() == b"whole"
    finally:
        for process in (killed, alive):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_a_failing_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    with pytest.raises(TypeError), replacing(tmp_path / "file") as temporary:
        temporary.write_text(5)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which is a disk that is full")
def test_a_full_disk_is_told_by_hdf5_too() -> None:
    with pytest.raises(OSError, match="No space left on device"), create_hdf5(Path("/dev/full")) as file:
        file.create_dataset("numbers", data=np.arange(100_000), compression="gzip")


def test_hdf5_is_written_as_by_h5py_itself(tmp_path: Path) -> None:
    with create_hdf5(tmp_path / "file.h5") as file:
        file.create_dataset("packed", data=np.arange(100_000), compression="gzip")
        file["packed"].attrs["name"] = "text of any length"
        for row in range(50):
            file.create_dataset(f"group/{row}", data=np.full((3, row), row))
    with h5py.File(tmp_path / "file.h5") as file:
        np.testing.assert_array_equal(file["packed"], np.arange(100_000))
        assert file["packed"].attrs["name"] == "text of any length"
        assert sorted(map(int, file["group"])) == list(range(50))
        np.testing.assert_array_equal(file["group/49"], np.full((3, 49), 49))
