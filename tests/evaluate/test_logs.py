"""Dialog logs: written, read, refused, exported."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from dialog_env import agents
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.logs import log_of, read_log
from dialog_env.evaluate.minari_export import to_minari
from dialog_env.io.atomic import signed
from dialog_env.world.dialog import Dialog
from tests.damage import damaged, flipped, refusal
from tests.toys import ToyUser


@pytest.fixture
def gallery(make_tiny):
    return Catalog(make_tiny(size=30))


@pytest.fixture
def user(gallery):
    return ToyUser(gallery)


@pytest.fixture
def record(gallery, user):
    agent = agents.create("supervised", gallery=gallery, vocabulary=user.vocabulary)
    return protocol.run(agent, gallery, user, seed=4, turns=3)


@pytest.fixture
def log(record, gallery, user):
    return log_of(record, gallery, user, agent="supervised", seed=4, batch=7)


def test_a_line_tells_one_dialog(log, record, gallery, user, tmp_path):
    log.write(tmp_path / "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 30
    assert lines[5] == {
        "dialog": 5,
        "target": gallery.ids[record.target[5]],
        "shown": gallery.ids[record.shown[5]].tolist(),
        "feedback": log.feedback[5].tolist(),
        "rank": [record.initial_rank[5], *record.rank[5]],
        "agent": "supervised",
        "simulator": "toy-1",
        "seed": 4,
        "gallery": gallery.fingerprint,
        "images": 30,
        "dialogs": 30,
        "sha256": lines[5]["sha256"],
    }
    assert lines[5] == signed(lines[5])


def test_sentences_are_those_of_the_dialogs(log, record, gallery):
    class Listener(ToyUser):
        """Says which image was shown before, so that a wrong question gives a wrong answer."""

        def feedback(self, targets, candidates, previous):
            tokens = super().feedback(targets, candidates, previous)
            tokens[:, 4] = 1 + (previous + 1) % 9
            return tokens

    user = Listener(gallery)
    world = Dialog(gallery, user, turns=3)
    observation = world.reset(torch.from_numpy(record.target), torch.from_numpy(record.shown[:, 0]))
    said = []
    for turn in range(3):
        said.append(user.vocabulary.decode(observation.feedback))
        chosen = torch.from_numpy(record.shown[:, turn + 1])
        observation, _ = world.step(protocol.QueryRanking(world.features[chosen], world.embedded), chosen)
    assert log_of(record, gallery, user, agent="x", seed=4).feedback.T.tolist() == said


def test_reading_gives_back_what_was_written(log, record, gallery, tmp_path):
    log.write(tmp_path / "log.jsonl")
    again = read_log(tmp_path / "log.jsonl")
    for name in ("target", "shown", "feedback", "rank", "percentile"):
        assert np.array_equal(getattr(again, name), getattr(log, name)), name
    assert (again.agent, again.simulator, again.seed, again.images) == ("supervised", "toy-1", 4, 30)
    target, shown = again.positions(gallery)
    assert np.array_equal(target, record.target)
    assert np.array_equal(shown, record.shown)
    assert not list(tmp_path.glob(".*"))


def test_files_that_are_no_logs_are_refused(log, tmp_path):
    path = tmp_path / "log.jsonl"
    with pytest.raises(FileNotFoundError, match=r"no dialog log at .*log.jsonl"):
        read_log(path)
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read_log(path)
    log.write(path)
    whole = path.read_text()
    lines = [json.loads(line) for line in whole.splitlines()]

    def add(**changes):
        path.write_text(whole + json.dumps(signed({**lines[0], **changes})))

    path.write_text(whole[:-40])
    with pytest.raises(ValueError, match=r"line 30 is no dialog \(Invalid JSON"):
        read_log(path)
    path.write_text("\n".join(whole.splitlines()[:20]))
    with pytest.raises(ValueError, match="has 20 of 30 dialogs; it was cut"):
        read_log(path)
    path.write_text("\n".join(reversed(whole.splitlines())))
    with pytest.raises(ValueError, match="line 1 has dialog 29, not 0"):
        read_log(path)
    path.write_text(whole.replace(lines[3]["feedback"][1], "is blue", 1))
    with pytest.raises(ValueError, match=r"line \d+ is a damaged dialog"):
        read_log(path)
    add(seed=5)
    with pytest.raises(ValueError, match="line 31 is of another run"):
        read_log(path)
    add(**{name: lines[0][name][:-1] for name in ("shown", "feedback", "rank")})
    with pytest.raises(ValueError, match="line 31 has another number of turns"):
        read_log(path)
    path.write_text('{"target": "x", "shown": ["a", "b"], "feedback": ["c"], "rank": [0, 1]}\n')
    with pytest.raises(ValueError, match=r"line 1 is no dialog \(it lacks 'dialog'\)"):
        read_log(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="is a pipe"):
        read_log(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": [None, 1, 2, 3]},
        {"rank": [-1, 1, 2, 3]},
        {"rank": [float("nan"), 1, 2, 3]},
        {"rank": [0, 1, 2, 30]},
        {"rank": [0, 1, 2]},
        {"rank": "0123"},
        {"images": 0},
        {"images": None},
        {"shown": [1, 2, 3, 4]},
        {"feedback": [], "shown": ["a"], "rank": [0]},
        {"target": None},
        {"seed": "0"},
        {"dialog": "first"},
        {"agent": [[[]]]},
    ],
)
def test_lines_that_no_dialog_can_have_given_are_refused(log, tmp_path, changes):
    path = tmp_path / "log.jsonl"
    log.write(path)
    first, *others = path.read_text().splitlines()
    old = {**json.loads(first), **changes}
    del old["sha256"]
    for line in (signed(old), old):
        path.write_text("\n".join([json.dumps(line), *others]))
        assert refusal(read_log, path).startswith(f"{path}, line 1 is no dialog (")


def test_damaged_logs_are_refused_or_read_as_they_were(log, tmp_path):
    path = tmp_path / "log.jsonl"
    log.write(path)
    whole = path.read_bytes()
    for content in [*flipped(whole, seed=1, count=100), *damaged(whole, seed=2, count=100), b"\xff\xfe", b"[" * 10**5]:
        path.write_bytes(content)
        sentence = refusal(read_log, path)
        if sentence:
            assert str(path) in sentence
            assert "\n" not in sentence
        else:
            assert list(read_log(path).lines()) == list(log.lines())


def test_logs_of_before_there_were_digests_are_read(log, tmp_path):
    path = tmp_path / "log.jsonl"
    old = [{key: value for key, value in line.items() if key != "dialogs"} for line in log.lines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    assert list(read_log(path).lines()) == list(log.lines())


def test_images_that_the_gallery_has_not_are_refused(log, gallery):
    other = replace(log, target=np.array(["nobody", *log.target[1:]], dtype=object))
    with pytest.raises(ValueError, match="image 'nobody', which"):
        other.positions(gallery)


def test_galleries_and_users_that_do_not_fit_are_refused(log, record, gallery, user, make_tiny):
    other = Catalog(make_tiny(size=30, seed=1))
    with pytest.raises(ValueError, match="give the gallery that the dialogs were held in"):
        log.positions(other)
    with pytest.raises(ValueError, match="user toy-1 belongs to"):
        log_of(record, other, user, agent="supervised", seed=4)


def test_minari_gets_every_dialog_as_an_episode(log, record, gallery, user, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    to_minari(log, gallery, user.vocabulary, "dialog/toy-v0", description="toy dialogs")
    episodes = list(minari.load_dataset("dialog/toy-v0"))
    assert len(episodes) == 30
    for number in (0, 17):
        episode = episodes[number]
        assert np.array_equal(episode.actions, record.shown[number, 1:])
        assert np.array_equal(episode.observations["image"], gallery.features[record.shown[number]])
        assert np.allclose(episode.rewards, 1 - record.rank[number] / 30)
        assert user.vocabulary.decode(episode.observations["feedback"]) == [*log.feedback[number], ""]
        assert episode.observations["turn"].tolist() == [0, 1, 2, 3]
        assert episode.terminations.tolist() == [False, False, True]
        assert not episode.truncations.any()


def test_without_minari_the_remedy_is_named(log, gallery, user, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "minari", None)
    with pytest.raises(ImportError, match=r"pip install .*\[minari\]"):
        to_minari(log, gallery, user.vocabulary, "dialog/toy-v0")
