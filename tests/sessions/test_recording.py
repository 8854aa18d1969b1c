"""What of a session is recorded."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dialog_env.catalog import Catalog
from dialog_env.cli import main
from dialog_env.evaluate.records import RecordFile, read_records
from dialog_env.sessions import Session
from dialog_env.sessions.recording import CONSENT, Recording
from tests.conftest import tiny_contents
from tests.sessions.people import partner_of


@pytest.fixture(scope="module")
def gallery() -> Catalog:
    return Catalog(tiny_contents())


def test_a_record_follows_what_is_said_liked_taken_back_and_forgotten(gallery: Catalog, tmp_path: Path) -> None:
    session = Session(partner_of(gallery), first=3, target=9)
    with RecordFile(tmp_path / "r.jsonl") as file:
        recording = Recording(file, session, seed=7)
        session.say("more0")
        recording.follow(1200)
        session.say("crimson")  # of which nothing is understood
        recording.follow(900)
        session.like("tiny-011")
        recording.follow()
        session.say("less1 crimson")
        recording.follow(700)
        session.undo()
        recording.follow()
        session.say("more2")
        recording.follow(400)
        session.forget(0)
        recording.follow()
        recording.end(rating=2)
    (record,) = read_records(tmp_path / "r.jsonl")
    begin = record.begin
    assert (begin.role, begin.agent, begin.user, begin.seed) == ("find", "ceiling", "person", 7)
    assert (begin.first, begin.target, begin.gallery) == ("tiny-003", "tiny-009", gallery.fingerprint)
    assert [(turn.candidate, turn.said) for turn in record.turns] == [("tiny-011", "more2")]
    assert record.turns[0].best == tuple(image.id for image in session.answer.best)
    assert record.turns[0].rank == session.answer.rank
    assert record.taken_back == 3
    assert record.end is not None
    assert (record.end.found, record.end.gave_up, record.end.rating) == (session.found, not session.found, 2)


def test_two_records_have_different_ids(gallery: Catalog, tmp_path: Path) -> None:
    with RecordFile(tmp_path / "r.jsonl") as file:
        ids = {Recording(file, Session(partner_of(gallery), first=3), seed=None).id for _ in range(5)}
    assert len(ids) == 5


class FullDisk:
    def append(self, *lines: object) -> None:
        raise OSError(28, "No space left on device")


def test_where_the_disk_is_full_the_session_goes_on_unrecorded(gallery: Catalog, tmp_path: Path) -> None:
    session = Session(partner_of(gallery), first=3)
    with RecordFile(tmp_path / "r.jsonl") as file:
        recording = Recording(file, session, seed=None)
        recording._file = FullDisk()  # type: ignore[assignment]
        session.say("more0")
        with pytest.raises(OSError, match="No space"):
            recording.follow()
        assert recording.failed
        recording._file = file
        session.say("more1")
        recording.follow()
        recording.end()
    (record,) = read_records(tmp_path / "r.jsonl")
    assert (record.turns, record.end) == ([], None)
    assert session.turns == 2


@pytest.mark.parametrize("answer", ["yes", "Y", "no", "", "perhaps"])
def test_the_terminal_asks_before_it_records(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\nis red\n" if answer else ""))
    words = ["talk", "--catalog", str(tmp_path / "tiny.h5"), "--split", "all", "--simulator", "describer"]
    main([*words, "--agent", "greedy", "--record", str(tmp_path / "r.jsonl")])
    assert CONSENT in capsys.readouterr().out
    if answer.lower() in ("yes", "y"):
        (record,) = read_records(tmp_path / "r.jsonl")
        assert [turn.said for turn in record.turns] == ["is red"]
        assert record.end is not None
        assert record.turns[0].milliseconds is not None
    else:
        assert not (tmp_path / "r.jsonl").exists()
