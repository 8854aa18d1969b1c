"""A user is kept for long and shared: by evaluations and trainings, by environments, and by threads."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import dialog_env  # noqa: F401, registers the environment
from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.logs import log_of
from dialog_env.simulators import SIMULATORS, make_simulator
from dialog_env.simulators.captioner import ARCHITECTURES, PrecomputedCaptioner, save_captioner
from dialog_env.simulators.captioner.user import CaptioningUser
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from dialog_env.world.user import UserSimulator
from tests.conftest import tiny_contents
from tests.simulators.test_captioners_precomputed import Case
from tests.simulators.test_captioning_user import WORDS, all_pairs, network
from tests.toys import ToyUser

THREADS = 8


@pytest.fixture
def hurried() -> Iterator[None]:
    """Lets threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(params=sorted(SIMULATORS))
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every registered user, the captioner and the recorded one being made for the tiny catalogue."""
    name: str = request.param
    if name == "noisy":
        return "noisy:inner=describer,dropped=0.2,replaced=0.1,misspelt=0.1"
    if name == "phrased":
        return "phrased:inner=describer,phrasing=colours"
    if name == "recorded":
        lines = [
            f"tiny-{a:03d},tiny-{b:03d},is {'less' if a < b else 'more'} red {a}" for a in range(24) for b in range(a)
        ]
        (tmp_path / "pairs.csv").write_text("\n".join(["target,candidate,sentence", *lines]))
        return f"recorded:{tmp_path / 'pairs.csv'}"
    if name != "captioner":
        return name
    save_captioner(tmp_path / "captioner.safetensors", network(), WORDS)
    return f"captioner:{tmp_path}"


class Hoarder(ToyUser):
    """Writes its answers into memory that it made at the first question."""

    room = torch.empty(0)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        answers = super().feedback(targets, candidates, previous)
        if len(self.room) < len(answers):
            self.room = torch.empty_like(answers)
        return self.room[: len(answers)].copy_(answers).clone()


def learn(
    gallery: Catalog, user: UserSimulator, folder: Path, names: tuple[str, ...] = ("supervised", "policy_improvement")
) -> None:
    """An epoch of agents that learn from a user."""
    training_data = TrainingData(gallery, user, gallery, user, pretrained=folder)
    short = {"epochs": 1, "statistics": 1}
    for name in names:
        settings = short if name == "supervised" else {**short, "pretraining": short}
        agent = agents.create(name, gallery=gallery, vocabulary=user.vocabulary, **settings)
        agent.train(training_data, folder / name, progress=False)


def test_after_an_evaluation_the_same_user_takes_part_in_dialogs_and_trainings(spec: str, tmp_path: Path) -> None:
    gallery = Catalog(tiny_contents())
    env = gym.make("DialogRetrieval-v0", catalog=gallery, split="all", simulator=spec)
    env.reset(seed=0)
    user = env.unwrapped.simulator  # type: ignore[attr-defined]
    record = protocol.run(agents.create("random"), gallery, user, seed=0)
    log_of(record, gallery, user, agent="random", seed=0)
    env.reset()
    env.step(1)
    again = gym.make("DialogRetrieval-v0", catalog=gallery, split="all", simulator=spec)
    assert again.unwrapped.simulator is user  # type: ignore[attr-defined]
    again.reset(seed=0)
    again.step(2)
    learn(gallery, user, tmp_path)


def test_a_user_made_and_asked_in_inference_mode_answers_as_ever_outside_of_it(spec: str, tmp_path: Path) -> None:
    gallery = Catalog(tiny_contents(seed=1))
    targets, candidates = all_pairs(len(gallery))
    expected = make_simulator(spec, gallery).feedback(targets, candidates, targets)
    with torch.inference_mode():
        env = gym.make("DialogRetrieval-v0", catalog=gallery, split="all", simulator=spec)
        user = env.unwrapped.simulator  # type: ignore[attr-defined]
        assert torch.equal(user.feedback(targets[:9], candidates[:9], targets[:9]), expected[:9])
        env.reset(seed=0)
    assert torch.equal(user.feedback(targets, candidates, targets), expected)
    env.reset()
    env.step(3)
    learn(gallery, user, tmp_path, ("supervised",))


def test_the_protocol_and_the_log_let_a_user_make_what_it_keeps(tmp_path: Path) -> None:
    gallery = Catalog(tiny_contents())
    user = Hoarder(gallery)
    record = protocol.run(agents.create("random"), gallery, user, seed=0)
    log_of(record, gallery, user, agent="random", seed=0)
    assert len(user.room)
    assert not user.room.is_inference()
    learn(gallery, user, tmp_path)


def test_what_a_gallery_keeps_for_rankings_is_of_use_outside_inference_mode() -> None:
    generator = torch.Generator().manual_seed(0)
    gallery = EmbeddedGallery(torch.randn(50, 4, generator=generator))
    queries = torch.randn(3, 4, generator=generator)
    with torch.inference_mode():
        QueryRanking(queries, gallery).top(2)
        kept = gallery.norms, gallery.rounded_norms[0], gallery.resident
    assert all(tensor is not None and not tensor.is_inference() for tensor in kept)
    weight = torch.ones(50, dtype=torch.float64, requires_grad=True)
    (weight * gallery.norms).sum().backward()
    assert weight.grad is not None


def ask_in_threads(ask: Callable[[Tensor], Tensor], expected: Tensor, rounds: int) -> None:
    """Every thread asks for rows (B,) of its own drawing, all beginning at once; each answer has to be the expected."""
    barrier = Barrier(THREADS)

    def converse(seed: int) -> int:
        generator = torch.Generator().manual_seed(seed)
        barrier.wait()
        wrong = 0
        for _ in range(rounds):
            size = int(torch.randint(1, 40, (1,), generator=generator))
            rows = torch.randint(len(expected), (size,), generator=generator)
            wrong += not torch.equal(ask(rows), expected[rows])
        return wrong

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(converse, range(THREADS))) == [0] * THREADS


@pytest.mark.parametrize("kept", ["all", "few"])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.usefixtures("hurried")
def test_eight_threads_hear_from_one_captioner_what_one_thread_hears(architecture: str, kept: str) -> None:
    case = Case(architecture)
    alone = case.precomputed()
    expected = alone.feedback(case.targets, case.candidates)
    limit = alone.table_bytes + 4 * alone.image_bytes
    shared = case.precomputed(**({"memory_limit": limit} if kept == "few" else {}))
    ask_in_threads(lambda rows: shared.feedback(case.targets[rows], case.candidates[rows]), expected, rounds=8)


@pytest.mark.usefixtures("hurried")
def test_eight_threads_hear_from_every_user_what_one_thread_hears(spec: str) -> None:
    gallery = Catalog(tiny_contents())
    targets, candidates = all_pairs(len(gallery))
    previous = targets.flip(0)
    expected = make_simulator(spec, gallery).feedback(targets, candidates, previous)
    shared = make_simulator(spec, gallery)
    ask_in_threads(lambda rows: shared.feedback(targets[rows], candidates[rows], previous[rows]), expected, rounds=20)


@pytest.mark.usefixtures("hurried")
def test_environments_in_eight_threads_hold_the_dialogs_that_they_hold_alone(spec: str) -> None:
    gallery = Catalog(tiny_contents(seed=2))

    def dialog(seed: int) -> list[Any]:
        env = gym.make("DialogRetrieval-v0", catalog=gallery, split="all", simulator=spec)
        observation, info = env.reset(seed=seed)
        env.action_space.seed(seed)
        said: list[Any] = [info["sentence"], observation["feedback"].tolist()]
        over = False
        while not over:
            observation, reward, over, _, info = env.step(env.action_space.sample())
            said += [info["sentence"], observation["feedback"].tolist(), reward]
        return said

    alone = [dialog(seed) for seed in range(3 * THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(dialog, range(3 * THREADS))) == alone


def test_a_copy_of_a_captioner_speaks_alike_whatever_its_original_is_doing() -> None:
    case = Case("show_attend_tell")
    original = case.precomputed()
    expected = original.feedback(case.targets, case.candidates)
    with original._lock:
        copies = [copy.deepcopy(original), pickle.loads(pickle.dumps(original))]
        for each in copies:
            assert isinstance(each, PrecomputedCaptioner)
            assert torch.equal(each.feedback(case.targets, case.candidates), expected)


def test_a_captioner_that_fails_in_one_thread_goes_on_speaking_in_the_others(tmp_path: Path) -> None:
    contents = tiny_contents()
    contents.features[5] = np.nan
    save_captioner(tmp_path / "captioner.safetensors", network(), WORDS)
    user = CaptioningUser(Catalog(contents), argument=tmp_path)

    def ask(candidate: int) -> Tensor | None:
        try:
            return user.feedback(torch.tensor([0]), torch.tensor([candidate]), torch.tensor([-1]))
        except ValueError:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(ask, [5, 1, 2, 5, 3, 1] * 4))
    assert [number for number, answer in enumerate(answers[:6]) if answer is None] == [0, 3]
    assert all((answer is None) == (number % 6 in (0, 3)) for number, answer in enumerate(answers))
