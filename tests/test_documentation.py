"""Every code block of the documents, and every example in a docstring, runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import dialog_env
from dialog_env import cli
from dialog_env.envs import DialogRetrievalEnv
from dialog_env.envs.actions import ACTIONS
from dialog_env.envs.observations import OBSERVATIONS
from dialog_env.envs.rewards import REWARDS
from dialog_env.evaluate.metrics import METRICS
from tests.own_pictures import write_own_pictures

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
MODULE = re.compile(r"[Ss]ave\s+it\s+as\s+`(\w+)\.py`:\n\n```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
AT_THE_TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (ROOT / name).exists()]
DOCUMENTS = [*AT_THE_TOP, *sorted((ROOT / "docs").rglob("*.md"))]
PARTS = [page for page in DOCUMENTS if page.parent.name == "tutorial" and page.name != "index.md"]
"""Pages of the tutorial, each of which adds a part in one file."""
OWN_PICTURES = [ROOT / "docs" / f"{name}.md" for name in ("folder", "folder-alone")]
"""Pages that begin with a folder of pictures."""
NEEDS = {"dialog_env.agents.rllib.modules": "ray"}
"""Modules that cannot be imported without a package that is no part of what is always installed."""
STEP = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks() -> Iterator[object]:
    for document in DOCUMENTS:
        for number, match in enumerate(BLOCK.finditer(document.read_text()), 1):
            if document not in (*PARTS, *OWN_PICTURES):
                yield pytest.param(match[1], id=f"{document.relative_to(ROOT)}-{number}")


def modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(dialog_env.__path__, "dialog_env."):
        if not module.name.endswith("__main__") and find_spec(NEEDS.get(module.name, "dialog_env")):
            yield module.name


def run(code: str) -> None:
    exec(compile(code, "block", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("code", list(blocks()))
def test_code_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if ">>>" in code:
        example = doctest.DocTestParser().get_doctest(code, {}, "block", None, 0)
        assert doctest.DocTestRunner().run(example).failed == 0
    else:
        run(code)


@pytest.fixture
def saved(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The text of a page, in a folder that holds the file which it has written."""
    text: str = request.param.read_text()
    [(name, code)] = MODULE.findall(text)
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield text
    sys.modules.pop(name, None)


@pytest.mark.parametrize("saved", PARTS, ids=lambda page: page.stem, indirect=True)
def test_a_part_in_one_file_is_used_as_an_object(saved: str) -> None:
    _, *others = BLOCK.findall(saved)  # the first is the file
    assert others
    for code in others:
        run(code)


@pytest.mark.slow
@pytest.mark.parametrize("page", OWN_PICTURES, ids=lambda page: page.stem)
def test_a_page_about_a_folder_of_pictures_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="extraction needs the extra `images`")
    write_own_pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    kinds = []
    for kind, step in STEP.findall(page.read_text()):
        kinds.append(kind)
        if kind == "python":
            exec(compile(step, page.name, "exec"), names)
        for line in step.replace("\\\n", " ").splitlines() if kind == "console" else ():
            cli.main(shlex.split(line.removeprefix("$ dialog-retrieval ")))
    assert {"python", "console"} == set(kinds)
    for film in (tmp_path / "runs").glob("*-film"):
        assert len(list(film.glob("*.png"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("saved", PARTS, ids=lambda page: page.stem, indirect=True)
def test_a_part_in_one_file_is_used_on_the_command_line(saved: str) -> None:
    lines = "".join(COMMANDS.findall(saved)).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line.removeprefix("$ dialog-retrieval ")) for line in lines]
    assert any(re.search(r"my_\w+:[A-Z]", argument) for command in commands for argument in command)
    for command in commands:
        cli.main(command)


def test_examples_in_docstrings_run() -> None:
    tried = 0
    for name in modules():
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        tried += result.attempted
    assert tried > 0


def test_links_and_pictures_of_the_documents_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
            assert target.startswith("http") or (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_docstring_of_the_environment_names_every_keyword_and_value() -> None:
    text = DialogRetrievalEnv.__doc__ or ""
    for keyword in inspect.signature(DialogRetrievalEnv).parameters:
        assert f"`{keyword}`" in text or f"`{keyword}=" in text, keyword
    for value in [*ACTIONS, *OBSERVATIONS, *REWARDS]:
        assert f'"{value}"' in text, value


def test_the_glossary_defines_every_metric() -> None:
    defined = [line.split("|")[1] for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if "|" in line]
    names = {name.strip() for cell in defined for name in cell.split(",")}
    assert set(METRICS) <= names


def test_the_documents_name_every_command() -> None:
    text = (ROOT / "docs" / "index.md").read_text()
    commands = re.findall(r"^    (dialog-retrieval \w+)(?: ([\w|]+))?$", cli.__doc__ or "", re.MULTILINE)
    assert {group.split()[1] for group, _ in commands} == set(cli.GROUPS)
    for group, verbs in commands:
        for verb in verbs.split("|"):
            assert f"`{group} {verb}".rstrip() + "`" in text


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for needed in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(needed, reason=f"{needed} is not installed; `make docs` installs it")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page, text in {
        "environment.html": "Target and first candidate are uniform",
        "api/agents.html": "bind_user",
    }.items():
        assert text in (tmp_path / page).read_text()


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_a_page_shows_the_figures_of_the_throughput_kept_as_they_were_generated() -> None:
    """After a new measurement, the part of `table.md` before its rates goes into that page."""
    for machine in ("throughput-cpu", "throughput-h100"):
        table = (ROOT / "benchmarks" / "results" / machine / "table.md").read_text()
        assert table.split("\n| work | at once")[0].strip() in (ROOT / "docs" / "throughput.md").read_text()


def test_the_page_of_robustness_shows_the_tables_kept_as_they_were_generated() -> None:
    page = (ROOT / "docs" / "robustness.md").read_text()
    for name in ("carry", "noise"):
        kept = (ROOT / "benchmarks" / "results" / "robustness" / f"{name}.md").read_text().split("\n\n")
        assert {table.partition(":")[0] for table in kept[:2]} == {"| found", "| R@1"}
        for table in kept[:2]:
            assert table in page, table.splitlines()[0]
