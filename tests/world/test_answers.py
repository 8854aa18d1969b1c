"""Answers that are kept: the same as ever, shared with other processes, and unknown rather than wrong."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dialog_env.agents.training.cached_user import CachedUser
from dialog_env.catalog import Catalog
from dialog_env.simulators import make_simulator
from dialog_env.simulators.__main__ import main
from dialog_env.simulators.captioner import save_captioner
from dialog_env.world import answers
from dialog_env.world.answers import FREE, HEADER, SWITCH, KeptAnswers
from dialog_env.world.dialog import Dialog
from dialog_env.world.user import ask
from dialog_env.world.vocabulary import UNKNOWN, Vocabulary
from tests.conftest import REPOSITORY, tiny_contents
from tests.simulators.test_captioning_user import WORDS, all_pairs, network
from tests.toys import ToyUser

IMAGES = 24


class Keeper(ToyUser):
    """A user of many words that keeps its answers."""

    uses_previous = False

    def __init__(self, gallery: Catalog, words: int = 8, id: str = "keeper-1") -> None:
        super().__init__(gallery)
        self.id = id
        self.vocabulary = Vocabulary((*(f"word{number}" for number in range(words)), UNKNOWN))
        self.kept_answers = KeptAnswers(id, gallery.fingerprint, len(gallery), words + 1, Keeper.feedback)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        tokens = super().feedback(targets, candidates, previous)
        tokens[:, 4] = len(self.vocabulary)  # the highest token
        tokens[:, 5] = 1 + (7 * targets + 3 * candidates) % len(self.vocabulary)
        return tokens


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(SWITCH, "file")
    return tmp_path / "cache" / "dialog_retrieval"


@pytest.fixture
def gallery() -> Catalog:
    return Catalog(tiny_contents(size=IMAGES))


def asked_of_all(user: Any, *, rows: Tensor | None = None) -> Tensor:
    targets, candidates = all_pairs(IMAGES)
    if rows is not None:
        targets, candidates = targets[rows], candidates[rows]
    return ask(user, targets, candidates, torch.full_like(targets, -1))


def said_of_all(user: Any) -> Tensor:
    targets, candidates = all_pairs(IMAGES)
    answers: Tensor = user.feedback(targets, candidates, targets)
    return answers


def tables(cache: Path) -> list[Path]:
    return sorted(cache.glob("answers-*.table"))


@pytest.mark.parametrize("words", [8, 254, 255, 1000, 65_534])
@pytest.mark.parametrize("place", ["file", "memory", "nowhere"])
def test_tokens_are_the_same_wherever_answers_are_kept(
    gallery: Catalog, words: int, place: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv(SWITCH, place)
    user = Keeper(gallery, words)
    expected = said_of_all(Keeper(gallery, words))
    for batch in torch.randint(IMAGES**2, (40, 30), generator=torch.Generator().manual_seed(0)):
        assert torch.equal(asked_of_all(user, rows=batch), expected[batch])
    for _ in range(2):
        answers = asked_of_all(user)
        assert torch.equal(answers, expected)
        assert answers.dtype == torch.int64
    questions = sum(user.asked)
    assert questions == (40 * 30 + 2 * IMAGES**2 if place == "nowhere" else IMAGES**2)
    assert len(tables(cache)) == (place == "file")


def test_the_captioner_keeps_its_answers_unless_told_not_to(gallery: Catalog, tmp_path: Path, cache: Path) -> None:
    save_captioner(tmp_path / "captioner.safetensors", network(), WORDS)
    silent = make_simulator(f"captioner:{tmp_path}", gallery, keep_answers=False)
    expected = asked_of_all(silent)
    assert not tables(cache)
    user = make_simulator(f"captioner:{tmp_path}", gallery)
    for some in torch.arange(IMAGES**2).split(17):
        assert torch.equal(asked_of_all(user, rows=some), expected[some])
    again = make_simulator(f"captioner:{tmp_path}", gallery)
    again._captioner = None  # type: ignore[attr-defined]
    assert torch.equal(asked_of_all(again), expected)
    assert [again.id] == [silent.id]
    half = make_simulator(f"captioner:{tmp_path}", gallery, half=True)
    assert torch.equal(asked_of_all(half), half.feedback(*all_pairs(IMAGES), torch.zeros(IMAGES**2)))
    assert len(tables(cache)) == 2


def test_dialogs_and_learners_look_in_the_same_table(gallery: Catalog) -> None:
    user = Keeper(gallery)
    asked_of_all(user)
    world = Dialog(gallery, CachedUser(user, gallery))
    observation = world.reset(torch.arange(IMAGES), torch.arange(IMAGES).flip(0))
    rows = torch.arange(IMAGES) * IMAGES + torch.arange(IMAGES).flip(0)
    assert torch.equal(observation.feedback, said_of_all(Keeper(gallery))[rows])
    assert user.asked == [IMAGES**2]


@pytest.mark.slow
def test_a_second_process_reads_what_the_first_wrote(gallery: Catalog) -> None:
    script = """
from tests.world.test_answers import *
os.environ[SWITCH] = "file"
user = Keeper(Catalog(tiny_contents(size=IMAGES)))
asked_of_all(user, rows=torch.arange(300))
print(user.asked)
"""
    user = Keeper(gallery)
    asked_of_all(user, rows=torch.arange(200))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "[100]"
    asked_of_all(user)
    assert user.asked == [200, IMAGES**2 - 300]


@pytest.mark.parametrize("words", [8, 1000])
def test_a_flipped_bit_makes_an_answer_unknown_and_never_wrong(gallery: Catalog, words: int, cache: Path) -> None:
    expected = asked_of_all(Keeper(gallery, words))
    [path] = tables(cache)
    content = np.fromfile(path, dtype=np.uint8)
    row_bytes = (len(content) - HEADER) // IMAGES**2
    flips = np.arange(min(8 * row_bytes, IMAGES**2))  # another bit in every row
    damaged = content.copy()
    damaged[HEADER + flips * row_bytes + flips // 8] ^= (1 << (flips % 8)).astype(np.uint8)
    path.write_bytes(damaged.tobytes())
    user = Keeper(gallery, words)
    assert torch.equal(asked_of_all(user), expected)
    assert user.asked == [len(flips)]
    assert np.array_equal(np.fromfile(path, dtype=np.uint8), content)


@pytest.mark.parametrize("damage", ["header", "short", "long", "empty", "noise", "swapped"])
def test_a_damaged_file_costs_time_alone(gallery: Catalog, damage: str, cache: Path) -> None:
    expected = asked_of_all(Keeper(gallery))
    [path] = tables(cache)
    content = bytearray(path.read_bytes())
    row_bytes = (len(content) - HEADER) // IMAGES**2
    if damage == "header":
        content[20] ^= 1
    elif damage == "short":
        content = content[:-1]
    elif damage == "long":
        content += b"\0"
    elif damage == "empty":
        content = bytearray()
    elif damage == "noise":
        content[HEADER:] = np.random.default_rng(0).bytes(len(content) - HEADER)
    else:
        content[HEADER : HEADER + 2 * row_bytes] = (
            content[HEADER + row_bytes : HEADER + 2 * row_bytes] + content[HEADER : HEADER + row_bytes]
        )
    path.write_bytes(content)
    user = Keeper(gallery)
    assert torch.equal(asked_of_all(user), expected)
    assert user.asked == [2 if damage == "swapped" else IMAGES**2]
    after = Keeper(gallery)
    assert torch.equal(asked_of_all(after), expected)
    assert after.asked == []


def test_no_single_flipped_bit_of_any_row_keeps_its_check() -> None:
    random = np.random.default_rng(0)
    for lanes in (4, 8):
        rows = random.integers(0, 2**32, (200, lanes), dtype=np.uint32)
        rows[0] = 0
        places = random.integers(0, 2**27, 200)
        checks = answers._checks(rows, places)
        assert (checks % 2 == 1).all()
        for bit in range(32 * lanes):
            flipped = rows.copy()
            flipped[:, bit // 32] ^= np.uint32(1 << (bit % 32))
            assert (answers._checks(flipped, places) != checks).all()


def test_where_no_file_can_be_made_answers_are_kept_in_memory(gallery: Catalog, cache: Path) -> None:
    cache.parent.write_bytes(b"a file stands where the folder should")
    user = Keeper(gallery)
    for _ in range(2):
        assert torch.equal(asked_of_all(user), said_of_all(Keeper(gallery)))
    assert user.asked == [IMAGES**2]


def test_a_disk_with_little_room_is_left_to_others(
    gallery: Catalog, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2 * FREE, FREE + 1, FREE - 1))
    user = Keeper(gallery)
    for _ in range(2):
        assert torch.equal(asked_of_all(user), said_of_all(Keeper(gallery)))
    assert user.asked == [IMAGES**2]
    assert not tables(cache)


def test_on_a_file_system_whose_holes_take_room_when_read_a_table_has_its_room_beforehand(
    gallery: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        pytest.skip("no file system in memory")
    monkeypatch.setattr(answers, "FREE", 0)
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        monkeypatch.setenv("XDG_CACHE_HOME", folder)
        user = Keeper(gallery)
        assert torch.equal(asked_of_all(user, rows=torch.arange(1)), said_of_all(Keeper(gallery))[:1])
        path = user.kept_answers.path
        assert path is not None
        assert path.stat().st_blocks * 512 >= user.kept_answers.bytes
        monkeypatch.setattr(answers, "LARGEST_IN_MEMORY", 0)
        other = Keeper(gallery, id="keeper-2")
        asked_of_all(other)
        assert other.kept_answers.path is None


@pytest.mark.parametrize("in_memory", [answers.LARGEST_IN_MEMORY, 0])
@pytest.mark.parametrize("failure", ["error", "half"])
def test_a_disk_that_fills_up_between_two_questions_stops_nothing(
    gallery: Catalog, failure: str, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = said_of_all(Keeper(gallery))
    user = Keeper(gallery)
    asked_of_all(user, rows=torch.arange(100))
    write = os.pwrite

    def full(file: int, content: bytes, offset: int) -> int:
        if failure == "error":
            raise OSError(28, "No space left on device")
        return write(file, content[: len(content) // 2], offset)

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(answers, "LARGEST_IN_MEMORY", in_memory)
    for _ in range(2):
        assert torch.equal(asked_of_all(user), expected)
    if in_memory:
        assert user.asked == [100, IMAGES**2 - 100]
    else:
        assert user.asked[:2] == [100, IMAGES**2 - 100]
    monkeypatch.undo()


def test_only_the_user_whose_answers_they_are_is_answered_for(gallery: Catalog, cache: Path) -> None:
    class Noisy(Keeper):
        def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
            return super().feedback(targets, candidates, previous) * torch.randint(2, (len(targets), 16))

    class Wrapper:
        def __init__(self, user: Keeper) -> None:
            self.user = user

        def __getattr__(self, name: str) -> Any:
            return getattr(self.user, name)

        def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
            return self.user.feedback(targets, candidates, previous)

    renamed, replaced = Keeper(gallery), Keeper(gallery)
    renamed.id = "keeper-2"
    replaced.feedback = lambda *asked: Keeper.feedback(replaced, *asked)  # type: ignore[method-assign]
    asked_of_all(Keeper(gallery))
    for user in (Noisy(gallery), Wrapper(Keeper(gallery)), renamed, replaced, ToyUser(gallery)):
        for _ in range(2):
            asked_of_all(user)
        assert user.asked == [IMAGES**2] * 2
    for user in (make_simulator(name, gallery) for name in ("describer", "relevance", "attributes:3", "relative:1")):
        asked_of_all(user)
    assert len(tables(cache)) == 1


def test_another_user_or_gallery_has_a_table_of_its_own(gallery: Catalog, cache: Path) -> None:
    other = Catalog(tiny_contents(size=IMAGES, seed=1))
    users = [Keeper(gallery), Keeper(gallery, id="keeper-2"), Keeper(other)]
    for user in users:
        asked_of_all(user)
    assert [user.asked for user in users] == [[IMAGES**2]] * 3
    assert len(tables(cache)) == 3


def test_a_gallery_beyond_the_limit_is_asked_about_as_ever(
    gallery: Catalog, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = Keeper(gallery)
    assert user.kept_answers.bytes == HEADER + IMAGES**2 * 20
    monkeypatch.setattr(answers, "LARGEST_TABLE", user.kept_answers.bytes - 1)
    monkeypatch.setattr(answers, "LARGEST_IN_MEMORY", user.kept_answers.bytes - 1)
    for _ in range(2):
        assert torch.equal(asked_of_all(user), said_of_all(Keeper(gallery)))
    assert user.asked == [IMAGES**2] * 2
    assert not tables(cache)


def test_questions_that_are_none_are_left_to_the_user(gallery: Catalog) -> None:
    user = Keeper(gallery)
    nothing = torch.zeros(0, dtype=torch.int64)
    assert ask(user, nothing, nothing, nothing).shape == (0, 16)
    with pytest.raises(IndexError):
        ask(user, torch.tensor([IMAGES]), torch.tensor([0]), torch.tensor([-1]))


def test_answers_given_in_inference_mode_take_part_in_a_training(gallery: Catalog) -> None:
    user = Keeper(gallery)
    with torch.inference_mode():
        first, second = asked_of_all(user), asked_of_all(user)
    assert not first.is_inference()
    assert not second.is_inference()


def test_copies_of_a_user_know_what_it_said(gallery: Catalog) -> None:
    user = Keeper(gallery)
    expected = asked_of_all(user)
    for twin in (copy.deepcopy(user), pickle.loads(pickle.dumps(user))):
        assert torch.equal(asked_of_all(twin), expected)
        assert twin.asked == [IMAGES**2]


def test_a_place_that_is_none_is_refused(gallery: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "cellar")
    with pytest.raises(ValueError, match="DIALOG_RETRIEVAL_ANSWERS is 'cellar'; give one of file, memory, nowhere"):
        asked_of_all(Keeper(gallery))


def test_a_table_is_filled_by_a_command(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = Catalog(tiny_contents(size=2 * IMAGES))
    catalog.write(tmp_path / "tiny.h5")
    save_captioner(tmp_path / "captioner.safetensors", network(), WORDS)
    named = f"captioner:{tmp_path}"
    main(["fill", "--catalog", str(tmp_path / "tiny.h5"), "--simulator", named, "--device", "cpu"])
    [path] = tables(cache)
    assert str(path) in capsys.readouterr().out
    user = make_simulator(named, catalog.split("train"))
    expected = said_of_all(user)
    user._captioner = None  # type: ignore[attr-defined]
    assert torch.equal(asked_of_all(user), expected)
    with pytest.raises(SystemExit, match="simulator 'describer' keeps no answers"):
        main(["fill", "--catalog", str(tmp_path / "tiny.h5"), "--simulator", "describer"])
