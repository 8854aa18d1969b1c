"""A dialog in a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from dialog_env import agents
from dialog_env.catalog import Catalog
from dialog_env.cli import main
from dialog_env.sessions import Session, talk
from dialog_env.sessions.choice import Choice
from dialog_env.simulators import make_simulator
from tests.conftest import tiny_contents
from tests.sessions.people import sentence

CHOICE = ["--simulator", "describer", "--split", "all", "--seed", "1"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    return str(tmp_path / "tiny.h5")


def hold(lines: list[str], file: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    main(["talk", "--catalog", file, "--agent", "greedy", *CHOICE, *options])


def test_a_dialog_in_a_terminal(file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    hold(["odd", "is red, truly", "/like 2", "/undo", "/json", "/quit", "is blue"], file, monkeypatch)
    told = capsys.readouterr().out
    assert "You talk to 'greedy' about 24 images of 'tiny'." in told
    assert "Lead it to this one: tiny-" in told
    assert "I understood no word of it." in told
    assert "understood: is red; not: truly" in told
    assert "yours is number" in told
    saved = json.loads(next(line for line in told.splitlines() if line.startswith("{")))
    assert saved["events"] == [{"say": "is red, truly"}]


@pytest.mark.parametrize("line", ["/fly", "/like", "/like 9", "/like x", "/like -1", "/forget 7", "/undo", "x" * 2000])
def test_what_cannot_be_done_is_said_and_the_dialog_goes_on(
    line: str, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hold([line, "", "red"], file, monkeypatch, "--own")
    told = capsys.readouterr().out
    assert "understood: red" in told
    assert "Lead it" not in told
    assert "Traceback" not in told


def test_it_ends_when_the_target_is_shown(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(["red"] * 40, file, monkeypatch)
    told = capsys.readouterr().out
    assert told.rstrip().endswith("Found.")
    assert told.count("understood:") < 24


def test_a_picture_in_letters_has_the_colours_of_its_pixels(tiny_catalog: Catalog) -> None:
    lines = talk.half_blocks(tiny_catalog, 3).split("\n")
    pixels = tiny_catalog.image(3, (talk.WIDTH, talk.WIDTH))
    assert len(lines) == talk.WIDTH // 2
    assert lines[4].count("▀") == talk.WIDTH
    upper, lower = ";".join(map(str, pixels[8, 0])), ";".join(map(str, pixels[9, 0]))
    assert lines[4].startswith(f"\x1b[38;2;{upper};48;2;{lower}m▀")


def test_an_agent_that_has_to_be_trained_first_is_refused_with_the_command(file: str) -> None:
    with pytest.raises(ValueError, match="give `dialog-retrieval agent train supervised --output FOLDER`"):
        Choice(agent="supervised", catalog=file, split="all", simulator="describer").open()
    with pytest.raises(ValueError, match="shoe is no folder of a trained agent, and as a name: no agent 'shoe'"):
        Choice(agent="shoe", catalog=file, split="all", simulator="describer").open()


def test_an_agent_that_comes_along_is_had_by_its_name() -> None:
    partner, _ = Choice(agent="belief", catalog="synthetic:40:5", split="all").open()
    assert partner.agent.trained == agents.load("belief").trained


@pytest.mark.slow
def test_the_default_agent_finds_shoes_by_what_the_describer_says() -> None:
    partner, _ = Choice(catalog="synthetic:300:5", split="all").open()
    describer, found = make_simulator("describer", partner.gallery), 0
    for target in range(10):
        session = Session(partner, target=target, seed=target)
        for _ in range(5):
            found += session.say(sentence(describer, target, session.candidate.position)).candidate.position == target
            if session.found:
                break
    assert found >= 6


def test_the_shipped_belief_is_talked_to_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(tiny_contents())
    catalog.write(tmp_path / "tiny.h5")
    words = make_simulator("describer", catalog).vocabulary
    belief = agents.create("belief", gallery=catalog, vocabulary=words)
    belief.bind(catalog)
    belief.trained = {"epochs": 1}  # type: ignore[attr-defined]
    monkeypatch.setattr("dialog_env.sessions.choice.SHIPPED", tmp_path)
    monkeypatch.setattr("dialog_env.agents.belief.agent.SHIPPED", tmp_path)
    assert Choice().agent == "ceiling"
    belief.save(tmp_path)
    choice = Choice(catalog=str(tmp_path / "tiny.h5"), split="all", simulator="describer")
    assert choice.agent == "belief@shipped"
    partner, _ = choice.open()
    answer = Session(partner).say("is red")
    assert partner.agent.name == "belief"
    assert answer.certainty is not None
    assert answer.certainty.images is not None
    assert 1 <= answer.certainty.images <= 24
