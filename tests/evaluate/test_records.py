"""Records of dialogs: appended, read, refused, exported; what is killed loses nothing that was finished."""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dialog_env import agents
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.logs import DialogLog, log_of
from dialog_env.evaluate.minari_export import to_minari
from dialog_env.evaluate.record_export import to_arrays, to_csv
from dialog_env.evaluate.records import (
    Back,
    Begin,
    DialogRecord,
    End,
    Line,
    RecordFile,
    Turn,
    read_records,
    records_of,
    write_records,
)
from tests.conftest import tiny_contents
from tests.damage import damaged, flipped, refusal
from tests.toys import ToyUser


@pytest.fixture(scope="module")
def gallery() -> Catalog:
    return Catalog(tiny_contents())


def begin(gallery: Catalog, dialog: str = "a", **changes: object) -> Begin:
    facts = {"role": "find", "agent": "greedy", "user": "person", "first": "tiny-001", "target": "tiny-005", **changes}
    return Begin(dialog=dialog, gallery=gallery.fingerprint, images=len(gallery), **facts)  # type: ignore[arg-type]


def turn(dialog: str = "a", number: int = 1, **changes: object) -> Turn:
    facts = {
        "candidate": "tiny-001",
        "said": "is red",
        "shown": "tiny-002",
        "rank": 3.5,
        "milliseconds": 810,
        **changes,
    }
    return Turn(dialog, number, **facts)  # type: ignore[arg-type]


def recorded(path: Path, *lines: Line) -> Path:
    with RecordFile(path) as file:
        for line in lines:
            file.append(line)
    return path


@pytest.fixture
def path(tmp_path: Path, gallery: Catalog) -> Path:
    """A file of three dialogs: one taken back in part, one without a target that never ended, one without a turn."""
    return recorded(
        tmp_path / "records.jsonl",
        begin(gallery),
        begin(gallery, "b", target=None, role="guess"),
        turn(),
        turn("b", options=("tiny-001", "tiny-002"), rank=None),
        turn(number=2, candidate="tiny-007"),
        Back("a", 1),
        turn(number=2, said="=1+1, \n is «rot» 👠\x00", best=("tiny-002",)),
        turn(number=3, shown="tiny-005", rank=0.0, milliseconds=None),
        begin(gallery, "c"),
        End("a", found=True, gave_up=False, rating=4),
    )


def test_what_is_appended_is_read_back(path: Path, gallery: Catalog) -> None:
    first, second, third = read_records(path)
    assert (first.begin, second.begin, third.begin) == (
        begin(gallery),
        begin(gallery, "b", target=None, role="guess"),
        begin(gallery, "c"),
    )
    assert [each.candidate for each in first.turns] == ["tiny-001"] * 3
    assert first.turns[1].said == "=1+1, \n is «rot» 👠\x00"
    assert (first.taken_back, first.end) == (1, End("a", found=True, gave_up=False, rating=4))
    assert second.turns[0].options == ("tiny-001", "tiny-002")
    assert second.end is None
    assert third.turns == []


def test_what_is_written_is_read_back(path: Path, tmp_path: Path) -> None:
    records = read_records(path)
    write_records(tmp_path / "again.jsonl", records)
    assert read_records(tmp_path / "again.jsonl") == [replace(each, taken_back=0) for each in records]


def test_a_line_names_no_more_than_it_knows(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert "target" in lines[0]
    assert "target" not in lines[1]
    assert set(lines[5]) == {"event", "dialog", "turns", "sha256"}
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_goes_on_where_a_killed_process_left_it(path: Path) -> None:
    whole = path.read_bytes()
    for cut in (1, 20, len(whole.splitlines()[-1])):
        path.write_bytes(whole[:-cut])
        assert [len(each.turns) for each in read_records(path)] == [3, 1, 0]
        recorded(path, End("b", found=False, gave_up=True))
        first, second, _ = read_records(path)
        assert (first.end, second.end) == (None, End("b", found=False, gave_up=True))
        assert len(path.read_bytes().splitlines()) == 10


def test_only_one_process_writes_to_a_file(path: Path) -> None:
    with RecordFile(path), pytest.raises(BlockingIOError, match="in use by another process"):
        RecordFile(path)
    RecordFile(path).close()


@pytest.mark.parametrize("content", ["my diary\n", "my diary", '{"a": 1}\n', "\n\n", "\x00\x01"])
def test_a_file_of_something_else_is_left_alone(content: str, tmp_path: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"diary\.txt"):
        RecordFile(path)
    assert path.read_text() == content


def test_threads_append_whole_lines(tmp_path: Path, gallery: Catalog) -> None:
    with RecordFile(tmp_path / "r.jsonl") as file:

        def hold(name: str) -> None:
            file.append(begin(gallery, name))
            for number in range(1, 20):
                file.append(turn(name, number))

        threads = [threading.Thread(target=hold, args=(f"dialog {number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(each.turns) for each in read_records(tmp_path / "r.jsonl")] == [19] * 6


def test_a_full_disk_leaves_the_file_as_it_was(path: Path) -> None:
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    with RecordFile(path) as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, limits[1]))
        try:
            with pytest.raises(OSError, match=r"records\.jsonl could not be written .*; what it held is kept"):
                file.append(turn("b", 2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        file.append(turn("b", 2))
    assert len(read_records(path)[1].turns) == 2


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (turn(number=4), "dialog a has ended before"),
        (End("a", found=True, gave_up=False), "dialog a has ended before"),
        (turn("c", 2), "turn 2 follows 0"),
        (turn("nobody"), "dialog nobody has not begun"),
        (turn("c", rank=24.0), r"rank 24.0 is outside 0\.\.23"),
        (Back("b", 1), "1 turns cannot be left of 1"),
        (turn("c", rank=-1.0), "greater than or equal to 0"),
        (End("b", found=False, gave_up=True, rating=6), "less than or equal to 5"),
        (turn("c", milliseconds=1.5), "milliseconds"),
        (turn("c", said=None), "said"),
        (turn("c", verdict="me"), "verdict"),
    ],
)
def test_lines_that_cannot_follow_are_refused(line: Line, sentence: str, path: Path) -> None:
    with pytest.raises(ValueError, match=rf"line 11 .*{sentence}"):
        read_records(recorded(path, line))


def test_begun_twice_is_refused(path: Path, gallery: Catalog) -> None:
    with pytest.raises(ValueError, match=r"line 11 cannot be .dialog b has begun before"):
        read_records(recorded(path, begin(gallery, "b")))


def test_damaged_records_are_refused_or_read_as_they_were(path: Path) -> None:
    whole, records = path.read_bytes(), read_records(path)
    for content in [*flipped(whole, seed=1, count=150), *damaged(whole, seed=2, count=150), b"\xff\xfe", b"[" * 10**5]:
        path.write_bytes(content)
        sentence = refusal(read_records, path)
        if sentence:
            assert str(path) in sentence
            assert "\n" not in sentence
        else:  # cut after a whole line, or within the last
            read = read_records(path)
            assert all(one.begin == other.begin for one, other in zip(read, records, strict=False))


def append_until_killed(path: Path, name: str) -> tuple[int, int]:
    """A process of its own that appends turns and tells of each; its id, and where to hear it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        with RecordFile(path) as file:
            file.append(Begin(name, "find", "greedy", "person", "g", 24, "x"))
            for number in range(1, 100_000):
                file.append(Turn(name, number, "x", "is red " * 40, "y"))
                os.write(writing, b".")
    finally:
        os._exit(1)


def test_a_process_that_is_killed_loses_no_turn_that_was_finished(tmp_path: Path) -> None:
    path, draw, finished = tmp_path / "r.jsonl", random.Random(0), []
    for number in range(10):
        child, told = append_until_killed(path, f"dialog {number}")
        with os.fdopen(told, "rb", buffering=0) as pipe:
            heard = pipe.read(draw.randrange(1, 30))
            time.sleep(draw.random() / 50)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            finished.append(len(heard) + len(pipe.read()))
        kept = [len(record.turns) for record in read_records(path)]
        assert len(kept) == number + 1
        assert all(turns - 1 <= told <= turns for told, turns in zip(finished, kept, strict=True)), (finished, kept)


@pytest.fixture(scope="module")
def log(gallery: Catalog) -> DialogLog:
    user = ToyUser(gallery)
    record = protocol.run(agents.create("random"), gallery, user, seed=4, turns=3)
    return log_of(record, gallery, user, agent="random", seed=4)


def test_dialog_logs_are_read_as_records(log: DialogLog, tmp_path: Path) -> None:
    log.write(tmp_path / "log.jsonl")
    records = read_records(tmp_path / "log.jsonl")
    assert records == records_of(log)
    assert [each.begin.target for each in records] == log.target.tolist()
    assert [[each.said for each in record.turns] for record in records] == log.feedback.tolist()
    write_records(tmp_path / "records.jsonl", records)
    assert read_records(tmp_path / "records.jsonl") == records


def test_records_become_arrays(path: Path, gallery: Catalog) -> None:
    arrays = to_arrays(read_records(path), gallery)
    assert arrays.turns.tolist() == [3, 1, 0]
    assert arrays.target.tolist() == [5, -1, 5]
    assert arrays.candidate.tolist() == [[1, 1, 1], [1, -1, -1], [-1, -1, -1]]
    assert arrays.shown.tolist() == [[2, 2, 5], [2, -1, -1], [-1, -1, -1]]
    assert arrays.said[1].tolist() == ["is red", "", ""]
    assert np.isnan(arrays.rank).tolist() == [[False] * 3, [True] * 3, [True] * 3]
    assert arrays.milliseconds[0, :2].tolist() == [810, 810]
    assert to_arrays([], gallery).said.shape == (0, 0)
    other = Catalog(tiny_contents(seed=1))
    with pytest.raises(ValueError, match="give the gallery that the dialogs were held in"):
        to_arrays(read_records(path), other)
    with pytest.raises(ValueError, match="has image 'nobody'"):
        to_arrays([DialogRecord(begin(gallery, first="nobody"))], gallery)


def test_records_become_a_table(path: Path, tmp_path: Path) -> None:
    to_csv(read_records(path), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["dialog"], row["turn"]) for row in rows] == [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "")]
    assert rows[1]["said"] == "'=1+1, \n is «rot» 👠\x00"
    assert (rows[0]["rating"], rows[3]["rating"], rows[0]["taken_back"], rows[2]["rank"]) == ("4", "", "1", "0.0")
    assert {row["images"] for row in rows} == {"24"}


def test_a_data_set_of_minari_gives_its_environment_again(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    gallery = Catalog.open(tmp_path / "tiny.h5")
    environment = {"catalog": str(tmp_path / "tiny.h5"), "split": "all", "simulator": "describer"}
    words = ToyUser(gallery).vocabulary
    to_minari(read_records(path), gallery, words, "person/find-v0", environment=environment)
    data = minari.load_dataset("person/find-v0")
    (episode,) = data
    assert episode.actions.tolist() == [2, 2, 5]
    assert np.allclose(episode.rewards, 1 - np.array([3.5, 3.5, 0]) / 24)
    assert episode.terminations.tolist() == [False, False, True]
    env = data.recover_environment()
    assert env.unwrapped.gallery.fingerprint == gallery.fingerprint
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    with pytest.raises(ValueError, match="give the keywords that make that gallery"):
        to_minari(read_records(path), gallery, words, "person/b-v0", environment={**environment, "turns": 2})
    with pytest.raises(ValueError, match="none of 1 dialogs has turns and a target"):
        to_minari(read_records(path)[2:], gallery, words, "person/c-v0")


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(OSError, match=r"folder\.jsonl"):
        RecordFile(tmp_path / "folder.jsonl")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is a pipe"):
        RecordFile(tmp_path / "pipe")
