"""Every code block of the documents, and every example in a docstring, runs."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import dialog_env
from dialog_env.envs import DialogRetrievalEnv

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks():
    for document in DOCUMENTS:
        for number, match in enumerate(BLOCK.finditer(document.read_text()), 1):
            yield pytest.param(document.parent, match[1], id=f"{document.name}-{number}")


def modules():
    for module in pkgutil.walk_packages(dialog_env.__path__, "dialog_env."):
        if not module.name.endswith("__main__"):
            yield module.name


@pytest.mark.parametrize(("folder", "code"), list(blocks()))
def test_code_blocks_run(folder, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if ">>>" in code:
        example = doctest.DocTestParser().get_doctest(code, {}, "block", None, 0)
        assert doctest.DocTestRunner().run(example).failed == 0
    else:
        exec(compile(code, "block", "exec"), {"__name__": "__main__"})


def test_examples_in_docstrings_run():
    tried = 0
    for name in modules():
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        tried += result.attempted
    assert tried > 0


def test_links_and_pictures_of_the_documents_exist():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text()):
            assert target.startswith("http") or (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_docstring_of_the_environment_names_every_keyword_and_value():
    import inspect

    from dialog_env.envs.actions import ACTIONS
    from dialog_env.envs.observations import OBSERVATIONS
    from dialog_env.envs.rewards import REWARDS

    text = DialogRetrievalEnv.__doc__
    for keyword in inspect.signature(DialogRetrievalEnv).parameters:
        assert f"`{keyword}`" in text or f"`{keyword}=" in text, keyword
    for value in [*ACTIONS, *OBSERVATIONS, *REWARDS]:
        assert f'"{value}"' in text, value


def test_the_readme_shows_the_figures_of_the_throughput_kept_as_they_were_generated():
    """After a new measurement, the part of `table.md` before its rates goes into the README."""
    table = (ROOT / "benchmarks" / "results" / "throughput-cpu" / "table.md").read_text()
    assert table.split("\n| work | at once")[0].strip() in (ROOT / "README.md").read_text()
