"""The command that opens the page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from dialog_env.catalog import Catalog
from dialog_env.cli import main
from dialog_env.io.commands import STOPPED
from tests.conftest import REPOSITORY, tiny_contents
from tests.sessions.web import Browser


@pytest.mark.slow
def test_the_page_is_served_until_ctrl_c(tmp_path: Path) -> None:
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    words = ["play", "--catalog", "tiny.h5", "--split", "all", "--simulator", "describer", "--agent", "greedy"]
    words += ["--port", "0", "--no-browser", "--record", "records.jsonl"]
    command = [sys.executable, "-m", "dialog_env", *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, preexec_fn=heard, **pipes) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        browser = Browser(int(address.split(":")[2].strip("/")))
        assert "May it be recorded?" in browser.get("/").words
        assert "Heard" in (browser.post("/", agree="yes"), browser.do("/find", "say", sentence="is red <b>"))[1].words
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode in (STOPPED, -signal.SIGINT)
    assert told == "stopped\n"
    assert "is red <b>" in (tmp_path / "records.jsonl").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 is an address that others can reach; give --token as well"),
        (["--catalog", "nowhere.h5"], "no catalogue 'nowhere.h5'"),
        (["--agent", "nobody"], "nobody is no folder of a trained agent"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(options: list[str], sentence: str) -> None:
    with pytest.raises(SystemExit, match=sentence):
        main(["play", "--no-browser", "--port", "0", "--catalog", "synthetic:60:1", "--split", "all", *options])


def test_without_what_the_page_needs_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dialog_env.sessions.page.app")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SystemExit, match=r'the page needs jinja2; run pip install "dialog-retrieval\[web\]"'):
        main(["play", "--no-browser"])
