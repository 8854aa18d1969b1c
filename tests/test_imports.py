"""Imports run one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

LAYERS = ("io", "training", "catalog", "world", "simulators", "envs", "evaluate", "agents", "sessions", "benchmarks")
"""Each imports from itself and from those before it."""

BESIDE = ("checkout", "registry")
"""Import nothing of the project, so that everybody may use them."""

NUMBERS_ALONE = "dialog_env.evaluate.intervals"
"""Imports nothing of the project, so that everybody may use it."""

WITHOUT_GYMNASIUM = ("io", "training", "catalog", "world", "simulators", "evaluate", "sessions", "benchmarks")
ADAPTERS = {REPOSITORY / "dialog_env" / "evaluate" / "minari_export.py"}


def files(layer: str) -> list[Path]:
    """The modules of a layer, wherever its folder lies."""
    folders = [REPOSITORY / layer, REPOSITORY / "dialog_env" / layer]
    return sorted(next(folder for folder in folders if folder.is_dir() and not folder.is_symlink()).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The dotted names that a module imports, at the top, in functions, or by `import_module`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (each.value for each in node.args if isinstance(each, ast.Constant))


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_one_way(layer: str) -> None:
    below = LAYERS[: LAYERS.index(layer) + 1]
    found = files(layer)
    assert found
    for file in found:
        for name in imported(file):
            parts = name.split(".")
            assert parts[0] not in ("agents", "benchmarks", "simulators", "tests", "tools"), f"{file} imports {name}"
            if parts[0] == "dialog_env" and len(parts) > 1 and not name.startswith(NUMBERS_ALONE):
                assert parts[1] in (*below, *BESIDE), f"{file} imports {name}"


@pytest.mark.parametrize("layer", WITHOUT_GYMNASIUM)
def test_only_adapters_import_gymnasium(layer: str) -> None:
    for file in set(files(layer)) - ADAPTERS:
        assert not [name for name in imported(file) if name.split(".")[0] in ("gymnasium", "stable_baselines3")], file


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = {}
    for layer in LAYERS:
        for file in files(layer):
            place = file.relative_to(REPOSITORY).with_suffix("").parts
            parts = place if place[0] == "dialog_env" else ("dialog_env", *place)
            modules[".".join(parts).removesuffix(".__init__")] = file
    edges = {
        module: {name if name in modules else name.rpartition(".")[0] for name in imported(file)} & modules.keys()
        for module, file in modules.items()
    }
    while free := [module for module, needs in edges.items() if not needs]:
        edges = {module: needs - set(free) for module, needs in edges.items() if module not in free}
    assert not edges, edges
