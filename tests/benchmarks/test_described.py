"""Tables of catalogues that know images by descriptions say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dialog_env.benchmarks import __main__ as benchmarks
from dialog_env.catalog import Catalog
from tests.conftest import tiny_contents


@pytest.mark.parametrize("known_from", ["descriptions", ""])
def test_a_table_says_that_images_are_known_from_descriptions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], known_from: str
) -> None:
    provenance = {"source": "shoes", **({"from": known_from} if known_from else {})}
    Catalog(replace(tiny_contents(), provenance=provenance)).write(tmp_path / "tiny.h5")
    arguments = ["--catalog", str(tmp_path / "tiny.h5"), "--simulator", "describer", "--agents", "random"]
    benchmarks.main(["run", *arguments, "--output", str(tmp_path / "runs")])
    said = capsys.readouterr().out
    expected = "(test, from descriptions); user:" if known_from else "(test); user:"
    assert expected in said
    assert any(expected in path.read_text() for path in (tmp_path / "runs").glob("*.md"))
