"""Gymnasium's own tools, each with every registered id."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers import (
    FlattenObservation,
    NumpyToTorch,
    RecordEpisodeStatistics,
    RecordVideo,
    TimeLimit,
)
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

import dialog_env
from dialog_env.catalog import Catalog
from dialog_env.envs import DialogRetrievalEnv
from tests.conftest import tiny_contents
from tests.envs.test_vector_environment import assert_same

IDS = [name for name, keywords in dialog_env.ENVIRONMENTS.items() if not keywords]
"""The others stand for a preset: `test_presets`."""
VARIANTS = [
    {"split": "all"},
    {"turns": 2},
    {"stop_when_found": True},
    {"reveal_target": True},
    {"device": "cpu"},
    {"preset": "vector"},
    {"preset": "discrete"},
    {"preset": "vector", "flatten": True},
    {"preset": "discrete", "flatten": True},
    *({"render_mode": mode} for mode in DialogRetrievalEnv.metadata["render_modes"]),
    *(
        {"action": action, "observation": observation, "reward": reward}
        for action, observation, reward in itertools.product(
            ("candidate", "query", "score"), ("features", "pixels"), ("percentile", "change", "log_rank", "found")
        )
    ),
]

pytestmark = pytest.mark.parametrize("name", IDS)

TOY = "tests.toys:ToyUser"


@pytest.fixture(scope="module")
def keywords(tmp_path_factory):
    """A catalogue file and a toy user: what a spawned process can open by itself."""
    contents = tiny_contents(size=40)
    path = tmp_path_factory.mktemp("catalogue") / "tiny.h5"
    Catalog(contents).write(path)
    return {"catalog": str(path), "simulator": TOY}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_both_checkers_pass_without_a_warning(name, keywords, variant, monkeypatch):
    if variant.get("render_mode") == "human":
        pytest.importorskip("pygame", reason="a window needs pygame")
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        monkeypatch.setitem(DialogRetrievalEnv.metadata, "render_fps", 10_000)
    if variant.get("observation") == "pixels":
        contents = tiny_contents(size=40)
        contents.images.size = (48, 40)
        keywords = {"catalog": Catalog(contents), "simulator": TOY}
    env = gym.make(name, **keywords, **variant).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check="render_mode" not in variant)
        check_env_for_sb3(env, skip_render_check="render_mode" not in variant)


def test_the_id_alone_makes_an_environment(name):
    env = gym.make(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        check_env_for_sb3(env.unwrapped, skip_render_check=True)
    assert gym.make_vec(name, 3).reset(seed=0)[0]["image"].shape == (3, *env.observation_space["image"].shape)


@pytest.mark.parametrize("observation", ["features", "pixels"])
def test_observations_flatten(name, keywords, observation):
    plain = gym.make(name, observation=observation, **keywords)
    flat = FlattenObservation(gym.make(name, observation=observation, **keywords))
    told, seen = plain.reset(seed=1)[0], flat.reset(seed=1)[0]
    assert seen in flat.observation_space
    assert_same(gym.spaces.unflatten(plain.observation_space, seen)["feedback"], told["feedback"])
    assert seen.shape == (16 + told["image"].size + 6,)


def test_episode_statistics_are_recorded(name, keywords):
    env = RecordEpisodeStatistics(gym.make(name, **keywords))
    env.reset(seed=0)
    rewards, over = [], False
    while not over:
        _, reward, over, _, info = env.step(3)
        rewards.append(reward)
    assert info["episode"]["l"] == 5
    assert info["episode"]["r"] == pytest.approx(sum(rewards))
    many = vector_wrappers.RecordEpisodeStatistics(gym.make_vec(name, 3, **keywords))
    many.reset(seed=0)
    for _ in range(5):
        *_, info = many.step(np.array([1, 2, 3]))
    assert info["episode"]["l"].tolist() == [5, 5, 5]


def test_dialogs_are_filmed(name, keywords, tmp_path):
    pytest.importorskip("moviepy", reason="RecordVideo needs moviepy")
    env = gym.make(name, render_mode="rgb_array", **keywords)
    env = RecordVideo(env, str(tmp_path / "films"), episode_trigger=lambda episode: True, disable_logger=True)
    env.reset(seed=0)
    for action in range(5):
        env.step(action)
    env.close()
    films = list(tmp_path.glob("films/*.mp4"))
    assert len(films) == 1
    assert films[0].stat().st_size > 1000


@pytest.mark.parametrize("limit", [1, 3, 5, 9])
def test_time_limits_truncate_what_has_not_ended(name, keywords, limit):
    for env in (TimeLimit(gym.make(name, **keywords), limit), gym.make(name, max_episode_steps=limit, **keywords)):
        env.reset(seed=0)
        outcomes = [env.step(2)[2:4] for _ in range(min(limit, 5))]
        assert outcomes[:-1] == [(False, False)] * (len(outcomes) - 1)
        assert outcomes[-1] == (limit >= 5, limit <= 5)


def test_arrays_become_tensors(name, keywords):
    env = NumpyToTorch(gym.make(name, action="query", **keywords))
    observation, _ = env.reset(seed=0)
    assert all(isinstance(part, torch.Tensor) for part in (observation["image"], observation["feedback"]))
    assert observation["feedback"].dtype == torch.int64
    observation, reward, *_ = env.step(observation["image"].clamp(-1, 1))
    assert reward == pytest.approx(float(reward))
    # Gymnasium's wrapper for vectors converts info too, and cannot convert text; output="torch" is for them.
    tensors = gym.make_vec(name, 2, action="query", output="torch", **keywords).reset(seed=0)[0]
    assert torch.equal(tensors["feedback"][0], env.reset(seed=0)[0]["feedback"])


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_processes_play_the_same_dialogs(name, keywords, context):
    def make():
        return gym.make(f"dialog_env:{name}", **keywords)  # a process that is spawned has imported nothing

    modes = {"autoreset_mode": AutoresetMode.SAME_STEP}
    many = AsyncVectorEnv([make] * 2, context=context, **modes)
    native = gym.make_vec(name, 2, **modes, **keywords)
    try:
        assert_same(many.reset(seed=3)[0], native.reset(seed=3)[0])
        for number in range(7):
            actions = np.array([number, number + 3])
            for ours, theirs in zip(native.step(actions)[:4], many.step(actions)[:4], strict=True):
                assert_same(ours, theirs)
    finally:
        many.close()


def test_a_specification_survives_json(name, keywords):
    env = gym.make(name, turns=3, action="query", reward="change", **keywords)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    assert str(again.reset(seed=5)) == str(env.reset(seed=5))
    action = np.zeros(8, dtype=np.float32)
    assert str(again.step(action)) == str(env.step(action))


def test_wrapped_environments_are_rebuilt_from_their_specification(name, keywords):
    from dialog_env.envs.wrappers import DialogHistory

    env = DialogHistory(gym.make(name, **keywords), flat=True)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, DialogHistory)
    assert again.observation_space == env.observation_space


def test_copies_and_pickles_go_on_with_the_same_dialog(name, keywords):
    env = gym.make(name, reveal_target=True, render_mode="ansi", **keywords)
    env.reset(seed=4)
    env.step(6)
    many = gym.make_vec(name, 2, **keywords)
    many.reset(seed=4)
    for make_twin in (copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        twin = make_twin(env)
        assert twin.render() == env.render()
        assert str(twin.step(3)) == str(copy.deepcopy(env).step(3))
        assert str(twin.reset()) == str(copy.deepcopy(env).reset())
        assert str(make_twin(many).step(np.array([1, 2]))) == str(copy.deepcopy(many).step(np.array([1, 2])))


def test_catalogue_files_are_found_by_path_objects_too(name, keywords):
    env = gym.make(name, catalog=Path(keywords["catalog"]), simulator=TOY)
    assert env.action_space.n == 20
