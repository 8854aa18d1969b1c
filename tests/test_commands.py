"""Whatever ends a command line early ends it in one line."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from tqdm import tqdm

from dialog_env.io.commands import STOPPED, run_command
from tests.conftest import REPOSITORY


def ends(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Exit status of a command that raises, and what stands on stderr."""

    def command() -> None:
        raise error

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as stopped:
            run_command(command, "stopped, and so on")
    finally:
        signal.signal(signal.SIGINT, handler)
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("batch is 0; give 1 or more"), "error: batch is 0; give 1 or more"),
        (ImportError("give pygame"), "error: give pygame"),
        (FileNotFoundError("no catalogue 'x'"), "error: no catalogue 'x'"),
        (OSError(errno.ENOSPC, "x could not be written"), "error: x could not be written"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "error: /root/x: Permission denied"),
        (MemoryError("Unable to allocate 8 GiB"), "error: Unable to allocate 8 GiB"),
        (MemoryError(), "error: MemoryError"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(error, capsys) == (line, "")


def test_an_interruption_is_one_line_and_the_status_that_shells_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(KeyboardInterrupt(), capsys) == (STOPPED, "stopped, and so on\n")
    assert STOPPED == 130


class Finalized:
    """Ctrl-C comes while Python finalizes it, where an error can end nothing."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("rest", [0, 60])
def test_an_interruption_that_a_finalizer_swallows_still_ends_the_command(
    rest: float, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        thing = Finalized()
        del thing
        time.sleep(rest)

    usual, handler = sys.unraisablehook, signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as stopped:
            run_command(command)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert stopped.value.code == STOPPED
    assert capsys.readouterr().err == "stopped\n"
    assert sys.unraisablehook is usual
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_what_is_said_of_an_interruption_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        bars.append(tqdm(total=8))
        raise KeyboardInterrupt

    bars: list[tqdm[NoReturn]] = []
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            run_command(command)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert capsys.readouterr().err.splitlines()[-1] == "stopped"
    assert not tqdm._instances


def test_a_usage_error_and_a_defect_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(SystemExit(2), capsys) == (2, "")
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


PROGRAMS = ["agent train supervised", "benchmark run", "simulator train", "catalog build synthetic"]


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_pipe_whose_reader_has_gone_is_no_error(program: str) -> None:
    words = [sys.executable, "-m", "dialog_env", *program.split(), "--help"]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def interrupt(command: list[str], rest: float) -> tuple[int, str]:
    """Exit status and stderr of a command that gets Ctrl-C so many seconds after it has begun to load PyTorch."""
    words = [sys.executable, "-m", "dialog_env", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    # What runs the tests may have been told to ignore Ctrl-C, as shells tell what they start in the background.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(words, cwd=REPOSITORY, env=environment, text=True, preexec_fn=heard, **pipes) as process:
        while process.poll() is None and "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.01)
        time.sleep(rest)
        process.send_signal(signal.SIGINT)
        try:
            said = process.communicate(timeout=120)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="/proc tells what a process has loaded")
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_at_any_moment_ends_in_one_line(program: str, tmp_path: Path) -> None:
    draw = random.Random(program)
    for number in range(3):
        status, said = interrupt([*program.split(), f"--output={tmp_path / str(number)}"], draw.uniform(0, 6))
        lines = said.replace("\r", "\n").splitlines()
        # Where Ctrl-C comes while Python runs a text (`exec`), it ends by the signal itself: 130 for shells as well.
        assert status in (STOPPED, -signal.SIGINT), said
        assert lines[-1].startswith("stopped"), said
        assert "Traceback" not in said
