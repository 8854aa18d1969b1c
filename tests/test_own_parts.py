"""A stranger's part of every kind, in one file outside the repository: by `module:Class`, and as an object."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from dialog_env.benchmarks import report
from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.suites import Suite
from dialog_env.catalog import Catalog
from dialog_env.envs import DialogRetrievalEnv, DialogRetrievalVectorEnv
from dialog_env.envs.wrappers import DialogHistory, DialogHistoryVector
from dialog_env.evaluate.metrics import METRICS, Metric
from tests.conftest import REPOSITORY, tiny_contents
from tests.toys import ToyUser

THEIRS = '''
import torch
from gymnasium import spaces

from dialog_env.agents import Agent
from dialog_env.evaluate.metrics import Metric
from dialog_env.world.ranking import ScoreRanking
from dialog_env.world.vocabulary import Vocabulary


class Parrot:
    """Says "yes" where the image shown has an even position, else "no no": two words, no padding."""

    def __init__(self, gallery, volume: int = 1):
        self.id = f"parrot-{volume}"
        self.vocabulary = Vocabulary(("yes", "no", "UNK"))
        self.gallery_fingerprint = gallery.fingerprint

    def feedback(self, targets, candidates, previous):
        even = (candidates % 2 == 0)[:, None]
        return torch.where(even, torch.tensor([1, 0]), torch.tensor([2, 2]))


class Last(Agent):
    """Prefers the images of high position."""

    name = "last"

    def bind(self, gallery):
        self.scores = torch.arange(len(gallery)).float()

    def rank(self, observation, memory):
        return ScoreRanking(self.scores.expand(len(observation), -1).clone()), None


class Position:
    """How far down the gallery the candidate is."""

    key = "position"

    def __init__(self, world):
        self.images = len(world.gallery)
        self.space = spaces.Box(0.0, 1.0, (1,))

    def observe(self, observation):
        return (observation.candidate / self.images).float()[:, None]


class Said:
    """The number of words instead of the words."""

    key = "feedback"

    def __init__(self, world):
        self.space = spaces.Box(0, 16, (1,), int)

    def observe(self, observation):
        return (observation.feedback != 0).sum(dim=1, keepdim=True)


class Half:
    """The first or the second half of the gallery comes first."""

    def __init__(self, world):
        self.images = len(world.gallery)
        self.space = spaces.Discrete(2)

    def decide(self, actions):
        second = torch.as_tensor(actions)[:, None]
        position = torch.arange(self.images)
        return ScoreRanking(((position >= self.images // 2) == (second == 1)).float() - position / 1000), None


class Moved:
    """A point for every image that was not on show a turn before, twice as much after the first turn."""

    def __init__(self, points: float = 1.0):
        self.points = points

    def __call__(self, before, outcome, after):
        moved = (after.state.candidate != before.state.candidate).float()
        return self.points * moved * torch.where(after.state.turn > 1, 2.0, 1.0)


def turn_number(before, outcome, after):
    return after.state.turn.float()


FIRST_HALF = Metric(lambda record: 100.0 * (record.rank < record.images / 2), meaning="First half: of the ranking.")
'''


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "their_parts.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("their_parts", None)
    return import_module("their_parts")


@pytest.fixture
def gallery() -> Catalog:
    return Catalog(tiny_contents())


@pytest.fixture
def catalog_file(tmp_path: Path, gallery: Catalog) -> Path:
    path = tmp_path / "tiny.h5"
    gallery.write(path)
    return path


def command(folder: Path, *words: str) -> str:
    """What `dialog-retrieval` prints in a folder."""
    run = [sys.executable, "-c", "from dialog_env.cli import main; main()", *map(str, words)]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def environments(gallery: Catalog, **keywords: Any) -> tuple[DialogRetrievalEnv, DialogRetrievalVectorEnv]:
    keywords = {"catalog": gallery, "split": "all", "simulator": ToyUser(gallery), **keywords}
    return DialogRetrievalEnv(**keywords), DialogRetrievalVectorEnv(2, **keywords)


@pytest.mark.parametrize("by", ["place", "class", "object"])
def test_a_simulator(theirs: ModuleType, gallery: Catalog, by: str) -> None:
    user = {"place": "their_parts:Parrot:volume=3", "class": theirs.Parrot, "object": theirs.Parrot(gallery, 3)}[by]
    env = gymnasium.make("dialog_env:DialogRetrieval-v0", catalog=gallery, split="all", simulator=user)
    observation, info = env.reset(seed=0, options={"target": 3, "candidate": 4})
    assert (info["sentence"], observation["feedback"].shape) == ("yes", (16,))
    observation, _, _, _, info = env.step(5)
    assert info["sentence"] == "no no"
    assert observation in env.observation_space


@pytest.mark.parametrize("by", ["place", "class", "object"])
def test_an_observation(theirs: ModuleType, gallery: Catalog, by: str) -> None:
    part = {"place": "their_parts:Position", "class": theirs.Position, "object": None}[by]
    if part is None:
        part = theirs.Position(environments(gallery)[0].dialogs.world)
    single, many = environments(gallery, observation=("features", part))
    for env in (single, many):
        observation, _ = env.reset(seed=0)
        assert set(observation) == {"image", "position", "feedback", "turn"}
        assert observation in env.observation_space
    single.reset(seed=0)
    observation, *_ = single.step(6)
    assert observation["position"].tolist() == [0.25]
    for wrapped in (DialogHistory(single), DialogHistoryVector(many)):
        observation, _ = wrapped.reset(seed=0)
        assert observation["position"].shape[-2:] == (6, 1)


def test_an_observation_takes_the_place_of_one_with_its_key(theirs: ModuleType, gallery: Catalog) -> None:
    for env in environments(gallery, observation=(theirs.Said, theirs.Position)):
        observation, _ = env.reset(seed=0)
        assert set(observation) == {"feedback", "position", "turn"}
        assert observation in env.observation_space


@pytest.mark.parametrize("by", ["place", "class", "object"])
def test_an_action(theirs: ModuleType, gallery: Catalog, by: str) -> None:
    action = {"place": "their_parts:Half", "class": theirs.Half, "object": None}[by]
    if action is None:
        action = theirs.Half(environments(gallery)[0].dialogs.world)
    single, many = environments(gallery, action=action)
    single.reset(seed=0)
    assert [single.step(half)[-1]["candidate"] for half in (1, 0, 1)] == [12, 0, 12]
    many.reset(seed=0)
    assert many.step(np.array([1, 0]))[-1]["candidate"].tolist() == [12, 0]


@pytest.mark.parametrize("by", ["place", "class", "object"])
def test_a_reward(theirs: ModuleType, gallery: Catalog, by: str) -> None:
    reward = {"place": "their_parts:Moved:points=0.5", "class": theirs.Moved, "object": theirs.Moved(0.5)}[by]
    points = 1.0 if by == "class" else 0.5
    single, many = environments(gallery, reward=reward)
    single.reset(seed=0, options={"candidate": 1})
    assert [single.step(position)[1] for position in (2, 3, 3)] == [points, 2 * points, 0]
    many.reset(seed=0)
    assert many.step(np.array([2, 3]))[1].shape == (2,)


def test_a_reward_may_be_a_function_and_needs_a_bonus_for_ending_early(theirs: ModuleType, gallery: Catalog) -> None:
    single, _ = environments(gallery, reward=theirs.turn_number)
    single.reset(seed=0)
    assert [single.step(2)[1] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ValueError, match="reward 'turn_number' has no early_bonus"):
        environments(gallery, reward=theirs.turn_number, stop_when_found=True)


def test_an_environment_with_parts_of_ones_own_is_checked_from_the_command_line(
    theirs: ModuleType, tmp_path: Path, catalog_file: Path
) -> None:
    own = ["--action", "their_parts:Half", "--reward", "their_parts:Moved:points=0.5"]
    seen = ["--observation", "features", "their_parts:Position", "--simulator", "their_parts:Parrot"]
    told = command(tmp_path, "environment", "check", "--catalog", str(catalog_file), *own, *seen)
    assert "actions: Discrete(2)" in told
    assert "observation 'position'" in told
    assert "dialog 2: 5 turns, rewards" in told


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("observation", "their_parts:Moved", "'their_parts:Moved' is no observation: it has no observe"),
        ("observation", ("features", "features"), "two parts of one key"),
        ("action", "their_parts:Moved", "'their_parts:Moved' is no action: it has no decide"),
        ("reward", "their_parts:Half", "cannot be made"),
        ("reward", "their_parts:Moved:speed=1", "cannot be made (got an unexpected keyword argument 'speed')"),
        ("simulator", "their_parts:Moved", "'their_parts:Moved' is no user simulator: it has no method 'feedback'"),
    ],
)
def test_what_is_of_another_kind_is_refused(
    theirs: ModuleType, gallery: Catalog, keyword: str, value: Any, told: str
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        environments(gallery, **{keyword: value})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_user_of_long_sentences_is_refused_at_once(theirs: ModuleType, gallery: Catalog) -> None:
    class Talker(theirs.Parrot):  # type: ignore[name-defined, misc]
        def feedback(self, targets: torch.Tensor, candidates: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(targets), 17, dtype=torch.int64)

    with pytest.raises(ValueError, match="answered with 17 words; a sentence has at most 16, cut it"):
        environments(gallery, simulator=Talker)[0].reset(seed=0)


def test_an_agent_a_simulator_and_a_metric_stand_in_a_table(
    theirs: ModuleType, tmp_path: Path, catalog_file: Path
) -> None:
    words = ["--simulator", "their_parts:Parrot", "--agents", "random", "their_parts:Last"]
    metrics = ["--metrics", "found", "their_parts:FIRST_HALF"]
    told = command(tmp_path, "benchmark", "run", "--catalog", str(catalog_file), *words, *metrics, "--output", "out")
    assert "| their_parts:Last |" in told
    assert "| agent, turn 5 | found | FIRST_HALF |" in told
    assert "First half: of the ranking." in told


def test_an_agent_and_a_metric_as_objects(theirs: ModuleType, tmp_path: Path, catalog_file: Path) -> None:
    experiment = Experiment(Suite(catalog=str(catalog_file), simulator="their_parts:Parrot"), tmp_path / "objects")
    results = [experiment.run(agent, 0) for agent in ("random", "their_parts:Last")]
    METRICS.register("first half", theirs.FIRST_HALF)
    assert isinstance(METRICS["first half"], Metric)
    table = report.table(results, ["first half", "R@1"])
    assert "| agent, turn 5 | first half | R@1 |" in table
    assert len(results[1].values("first half")) == results[1].dialogs
