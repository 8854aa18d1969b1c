"""Agents against recorded sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dialog_env.catalog import Catalog
from dialog_env.cli import main
from dialog_env.evaluate import protocol
from dialog_env.evaluate.logs import log_of
from dialog_env.evaluate.records import Begin, DialogRecord, RecordFile, Turn, read_records, records_of
from dialog_env.sessions import Session
from dialog_env.sessions.recording import Recording
from dialog_env.sessions.replay import replay
from tests.conftest import tiny_contents
from tests.sessions.people import ToyPerson, partner_of, sentence

GALLERY = Catalog(tiny_contents(size=30))


def held(name: str, **settings: object) -> tuple[protocol.Record, list[DialogRecord]]:
    """Dialogs of an agent with the toy user."""
    user = ToyPerson(GALLERY)
    agent = partner_of(GALLERY, name, **settings).agent
    record = protocol.run(agent, GALLERY, user, seed=3, turns=4)
    return record, records_of(log_of(record, GALLERY, user, agent=name, seed=3))


@pytest.mark.parametrize("name", ["greedy", "supervised", "unseen", "belief"])
def test_an_agent_that_hears_its_own_dialogs_again_ranks_and_shows_the_same(name: str) -> None:
    record, records = held(name)
    again = replay(partner_of(GALLERY, name), records)
    for part in ("target", "shown", "closer", "equal"):
        assert np.array_equal(getattr(again, part), getattr(record, part)), part


def test_an_agent_hears_the_dialogs_of_another_of_the_images_that_were_shown_then() -> None:
    record, records = held("greedy")
    partner = partner_of(GALLERY)
    again = replay(partner, records, turns=3)
    for row in (0, 11, 29):
        session = Session(partner, first=int(record.shown[row, 0]), target=int(record.target[row]))
        for turn in range(3):
            if session.candidate.position != record.shown[row, turn]:
                session.like(int(record.shown[row, turn]))
            answer = session.say(records[row].turns[turn].said)
            assert answer.rank == again.rank[row, turn]
            assert answer.candidate.position == again.shown[row, turn + 1]


def test_what_a_person_said_gives_the_ranks_that_were_recorded(tmp_path: Path) -> None:
    partner, user = partner_of(GALLERY), ToyPerson(GALLERY)
    with RecordFile(tmp_path / "r.jsonl") as file:
        for target in range(8):
            session = Session(partner, target=target, seed=target)
            recording = Recording(file, session, seed=target)
            for turn in range(3):
                session.say(sentence(user, target, session.candidate.position) + " please")
                recording.follow(100)
                if turn == 0:
                    session.like(target + 9)
    records = read_records(tmp_path / "r.jsonl")
    again = replay(partner, records)
    assert again.rank.tolist() == [[turn.rank for turn in record.turns] for record in records]


def test_a_sentence_of_which_nothing_is_understood_leaves_the_ranking_as_it_was() -> None:
    _, records = held("greedy")
    records[0].turns[1] = replace(records[0].turns[1], said="crimson 👠")
    records[1].turns[0] = replace(records[1].turns[0], said="")
    record = replay(partner_of(GALLERY), records)
    assert record.rank[0, 1] == record.rank[0, 0]
    assert record.rank[1, 0] == record.initial_rank[1]
    assert record.shown[1, 1] == record.shown[1, 0]


def test_dialogs_that_are_too_short_or_have_no_target_are_left_out() -> None:
    _, records = held("greedy")
    records[4] = replace(records[4], turns=records[4].turns[:2])
    records[5] = replace(records[5], begin=replace(records[5].begin, target=None))
    records[6] = replace(records[6], turns=[])
    partner = partner_of(GALLERY)
    assert replay(partner, records).rank.shape == (28, 2)
    assert replay(partner, records, turns=4).rank.shape == (27, 4)
    with pytest.raises(ValueError, match="none of 30 dialogs has 9 turns and a target"):
        replay(partner, records, turns=9)


def test_the_table_says_that_the_sentences_were_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    GALLERY.write(tmp_path / "tiny.h5")
    gallery = Catalog.open(tmp_path / "tiny.h5")
    with RecordFile(tmp_path / "r.jsonl") as file:
        for number in range(6):
            names = [str(gallery.ids[each]) for each in (number, number + 7)]
            facts = {"gallery": gallery.fingerprint, "images": 30, "first": names[1], "target": names[0]}
            file.append(Begin(f"{number}", "find", "ceiling", "person", **facts))  # type: ignore[arg-type]
            file.append(Turn(f"{number}", 1, names[1], "is red"), Turn(f"{number}", 2, names[1], "is blue"))
    words = ["benchmark", "replay", "--records", str(tmp_path / "r.jsonl"), "--catalog", str(tmp_path / "tiny.h5")]
    words += ["--split", "all", "--simulator", "describer", "--output", str(tmp_path / "out")]
    main([*words, "--agents", "greedy", "random"])
    told = capsys.readouterr().out
    assert "user: `recorded:" in told
    assert "6 dialogs of 2 turns" in told
    assert "| greedy |" in told
    assert "0 left out" in told
    assert (tmp_path / "out" / "turns.png").exists()
    with pytest.raises(SystemExit, match="give fewer turns"):
        main([*words, "--agents", "greedy", "--turns", "3"])
