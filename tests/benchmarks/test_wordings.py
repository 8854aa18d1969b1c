"""Agents who hear the same in other words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dialog_env.benchmarks import results, wordings
from dialog_env.benchmarks.wordings import WordingsCommand

LEARNER = "supervised:epochs=1,batch=8,statistics=1"


@pytest.fixture
def suite(tiny_file: Path, tmp_path: Path) -> str:
    """The file of a suite of six tiny images and the describer."""
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps({"name": "tiny", "catalog": str(tiny_file), "simulator": "describer", "seeds": [0]}))
    return str(path)


def test_every_agent_hears_every_phrasing_in_every_way_and_is_trained_once(suite: str, tmp_path: Path) -> None:
    command = WordingsCommand(suite, ("random", LEARNER), None, tmp_path / "out", tmp_path / "trained", device="cpu")
    command()
    found = [results.read(path.parent) for path in sorted((tmp_path / "out").rglob("result.json"))]
    heard = sorted((each.run.agent, each.run.simulator) for each in found)
    assert len(heard) == len(set(heard)) == 2 * (1 + 2 * 3)
    assert len(list((tmp_path / "trained").glob("*/training.json"))) == 1
    text = (tmp_path / "out" / "wordings.md").read_text()
    assert text.count(f"| {LEARNER} |") == 6
    assert "please show me something that … thank you" in text
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    command()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == before
    assert (tmp_path / "out" / "wordings.md").read_text() == text


def test_politeness_that_is_passed_over_changes_nothing(suite: str, tmp_path: Path) -> None:
    command = WordingsCommand(suite, (LEARNER,), None, tmp_path / "out", tmp_path / "trained", device="cpu")
    plans = wordings.variations(command.opened(), ("polite",), ("exact",), tmp_path / "out")
    heard = command.run(plans, command.agents)[LEARNER]
    row = wordings.table({LEARNER: heard}, ("polite",), ("exact",), "R@10").rows[0]
    assert row[1] == "are passed over"
    assert (
        heard["polite", "exact"][0].record.closer.tolist() == heard[wordings.AS_LEARNED, ""][0].record.closer.tolist()
    )


def test_what_is_no_phrasing_or_hearing_is_refused(suite: str, tmp_path: Path) -> None:
    for settings, sentence in (
        ({"phrasings": ("rude",)}, "phrasings='rude' is not known"),
        ({"hearings": ()}, "nothing is said in other words"),
        ({"hearings": ("loud",)}, "neither exact nor mended, and no folder"),
    ):
        command = WordingsCommand(suite, ("random",), None, tmp_path / "out", tmp_path / "trained", **settings)
        with pytest.raises((ValueError, FileNotFoundError), match=sentence):
            command()
        assert not (tmp_path / "out").exists()
