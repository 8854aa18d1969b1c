"""How far a simulated user is from people."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from dialog_env.benchmarks import gap
from dialog_env.benchmarks.gap import Floats, GapCommand, Pairs
from dialog_env.benchmarks.tables import Cell, Table
from dialog_env.catalog import Catalog
from dialog_env.cli import main
from dialog_env.evaluate.records import Begin, RecordFile, Turn
from dialog_env.sessions import Session
from tests.conftest import tiny_contents
from tests.sessions.people import ToyPerson, partner_of

pytest.importorskip("pycocoevalcap")

GALLERY = Catalog(tiny_contents(size=60))


@pytest.fixture
def pairs() -> Pairs:
    targets = torch.arange(40)
    return Pairs(GALLERY, targets, targets + 11, [])


def said(pairs: Pairs, sentences: Sequence[str]) -> Pairs:
    return Pairs(pairs.gallery, pairs.targets, pairs.candidates, sentences)


def cells(table: Table) -> dict[str, list[float]]:
    return {str(row[0]): [each.interval.value for each in row[1:] if isinstance(each, Cell)] for row in table.rows}


def lengths(sentences: Sequence[str]) -> Floats:
    """Hears nothing but how many words there are."""
    return np.array([20.0 - 2 * len(sentence.split()) for sentence in sentences])


def test_who_says_the_same_differs_in_nothing(pairs: Pairs) -> None:
    user = ToyPerson(GALLERY)
    alike = said(pairs, [each.upper() + "!" for each in pairs.said_by(user)])
    words, moved = gap.gap(alike, user, {"lengths": lengths}, seed=0)
    found = cells(words)
    assert found["words a sentence"] == [4, 4, 0]
    assert found["words that the other never says, %"] == [0, 0, 0]
    assert found["words that the simulator cannot say, %"] == [0, 0, 0]
    assert found["CIDEr, the other being right"][0] == found["CIDEr, the other being right"][1] > 300
    assert [[each.interval.value for each in row[2:] if isinstance(each, Cell)] for row in moved.rows] == [
        pytest.approx([100 * (1 - 20 / 60), 100 * (1 - 12 / 60), 100 * (1 - 12 / 60), 0]),
        [0, 0, 0, 0],
    ]


def test_what_people_say_more_is_counted_and_takes_further(pairs: Pairs) -> None:
    user = ToyPerson(GALLERY)
    longer = said(pairs, [f"{each} really truly red-hot" for each in pairs.said_by(user)])
    words, moved = gap.gap(longer, user, {"lengths": lengths}, seed=0)
    found = cells(words)
    assert found["words a sentence"] == [7, 4, 3]
    assert found["words that the other never says, %"] == pytest.approx([300 / 7, 0, 300 / 7])
    percentile, recall = moved.rows
    assert isinstance(percentile[5], Cell)
    assert percentile[5].interval.value == pytest.approx(100 * 6 / 60)
    assert percentile[6] == "< 0.001"
    assert isinstance(recall[3], Cell)
    assert recall[3].interval.value == 100
    different = [row[1:3] for row in words.rows if row[0] == "different words"]
    assert different == [["11", "8"]]


def test_an_agent_hears_what_a_session_hears(pairs: Pairs) -> None:
    partner = partner_of(GALLERY)
    sentences = pairs.said_by(ToyPerson(GALLERY))
    ranks = gap.hearing_of(partner, pairs)(sentences)
    for target in (0, 17, 39):
        answer = Session(partner, first=target + 11, target=target).say(sentences[target])
        assert answer.rank == ranks[target]


@pytest.fixture
def catalog(tmp_path: Path) -> str:
    GALLERY.write(tmp_path / "tiny.h5")
    return str(tmp_path / "tiny.h5")


def test_captions_of_people_are_compared_by_two_listeners(
    catalog: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "people.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["target", "candidate", "sentence"])
        for number in range(59):
            table.writerow(
                [f"tiny-{number:03d}", f"tiny-{number + 1:03d}", f"is wonderful and red number {number % 7}"]
            )
    words = ["benchmark", "gap", "--people", str(tmp_path / "people.csv"), "--simulator", "describer"]
    main([*words, "--catalog", catalog, "--output", str(tmp_path / "out")])
    told = capsys.readouterr().out
    assert "People and the simulator on tiny (test): what they say" in told
    assert "14 sentences of people on pairs of 15 images" in told
    assert told.count("listener, taught by people") == told.count("listener, taught by the simulator") == 2
    assert (tmp_path / "out" / "gap.md").read_text() in told
    assert (tmp_path / "out" / "gap.csv").exists()


def test_records_of_people_are_compared_by_agents(
    catalog: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = Catalog.open(catalog).split("test")
    with RecordFile(tmp_path / "r.jsonl") as file:
        for number in range(1, 9):
            begin = {"gallery": gallery.fingerprint, "images": len(gallery), "target": str(gallery.ids[number])}
            first = str(gallery.ids[0])
            file.append(Begin(f"{number}", "find", "greedy", "person", first=first, **begin))  # type: ignore[arg-type]
            file.append(Turn(f"{number}", 1, first, "is red and wonderful"))
    words = ["benchmark", "gap", "--people", str(tmp_path / "r.jsonl"), "--simulator", "describer"]
    main([*words, "--catalog", catalog, "--output", str(tmp_path / "out"), "--agents", "greedy"])
    told = capsys.readouterr().out
    assert "8 sentences of people" in told
    assert "| `greedy` | percentile |" in told
    with pytest.raises(SystemExit, match="give --agents"):
        main([*words, "--catalog", catalog, "--output", str(tmp_path / "out")])


def test_what_cannot_be_compared_is_told(catalog: str, tmp_path: Path) -> None:
    class Taught(ToyPerson):
        provenance = {"image digests": gap.image_digests(GALLERY)[:3]}  # noqa: RUF012

    with pytest.raises(ValueError, match="learned from 3 images"):
        gap.refuse_taught(Taught(GALLERY), GALLERY)
    with pytest.raises(FileNotFoundError, match="no captions at"):
        GapCommand("nowhere.csv", "describer", catalog=catalog, output=tmp_path)()
    RecordFile(tmp_path / "r.jsonl").close()
    with pytest.raises(ValueError, match="holds 0 sentences of people on pairs; record at least 2"):
        GapCommand(str(tmp_path / "r.jsonl"), "describer", catalog=catalog, output=tmp_path)()
