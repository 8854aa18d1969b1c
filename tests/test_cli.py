"""One command for everything, which imports no more than it needs."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import dialog_env
from dialog_env.cli import GROUPS, main
from tests.conftest import REPOSITORY


def test_help_lists_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        main(arguments)
        told = capsys.readouterr().out
        assert told.startswith("usage: dialog-retrieval")
        for name, (_, purpose) in GROUPS.items():
            assert f"  {name}" in told
            assert purpose in told


def test_an_unknown_command_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fly"])
    assert stopped.value.code == 2
    assert (
        capsys.readouterr().err
        == "error: no command 'fly'; known are environment, catalog, simulator, agent, benchmark, talk, play, serve\n"
    )


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"dialog-retrieval {dialog_env.__version__}\n"


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_group_has_help_of_its_own(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main([group, "--help"])
    assert f"dialog-retrieval {group}" in capsys.readouterr().out


def test_help_imports_no_torch() -> None:
    code = "import sys; from dialog_env.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_part_is_looked_for_where_the_command_is_given(tmp_path: Path) -> None:
    (tmp_path / "my_source.py").write_text(
        "from dataclasses import dataclass\n"
        "from pathlib import Path\n\n"
        "from dialog_env.catalog import Catalog\n"
        "from dialog_env.catalog.sources.drawn import drawn_contents\n\n\n"
        "@dataclass\n"
        "class Few:\n"
        '    """A few drawn shoes."""\n\n'
        "    output: Path\n"
        "    size: int = 40\n\n"
        "    def build(self):\n"
        "        Catalog(drawn_contents(self.size, 3)).write(self.output)\n"
        "        return Catalog.open(self.output)\n"
    )
    words = ["catalog", "build", "my_source:Few", "--output", "few.h5", "--size", "30"]
    command = [sys.executable, "-c", f"from dialog_env.cli import main; main({words!r})"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    assert "30 images" in done.stdout
    assert (tmp_path / "few.h5").is_file()
