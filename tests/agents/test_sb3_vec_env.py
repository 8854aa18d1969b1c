"""The vector environment as Stable-Baselines3 wants it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from dialog_env.agents.sb3.vec_env import DialogVecEnv
from dialog_env.catalog import Catalog
from dialog_env.envs.wrappers import DialogHistory, DialogHistoryVector
from tests.toys import ToyUser

BATCH = 3


@pytest.fixture
def gallery(make_tiny):
    return Catalog(make_tiny(size=48)).split("train")


def make_vec(gallery, **keywords):
    keywords = {"autoreset_mode": "SameStep", "simulator": ToyUser(gallery), **keywords}
    return gym.make_vec("DialogRetrieval-v0", BATCH, catalog=gallery, **keywords)


def make_dummy(gallery, wrapper=lambda env: env, limit=None, **keywords):
    def make():
        env = gym.make(
            "DialogRetrieval-v0", catalog=gallery, simulator=ToyUser(gallery), max_episode_steps=limit, **keywords
        )
        return wrapper(env)

    return DummyVecEnv([make] * BATCH)


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("limit", [None, 3, 5])
def test_it_gives_what_stable_baselines_own_adapter_gives(gallery, output, history, limit):
    native = make_vec(gallery, output=output, max_episode_steps=limit)
    ours = DialogVecEnv(DialogHistoryVector(native) if history else native)
    theirs = make_dummy(gallery, DialogHistory if history else lambda env: env, limit)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    for env in (ours, theirs):
        env.seed(5)
    seen, told = ours.reset(), theirs.reset()
    ends = 0
    random = np.random.default_rng(0)
    for _ in range(12):
        for name, part in seen.items():
            assert np.array_equal(part, told[name])
        actions = random.integers(24, size=BATCH)
        (seen, paid, ended, infos), (told, reward, done, info) = ours.step(actions), theirs.step(actions)
        assert np.array_equal(paid, reward)
        assert paid.dtype == np.float32
        assert np.array_equal(ended, done)
        for dialog in np.flatnonzero(ended):
            ends += 1
            assert infos[dialog]["TimeLimit.truncated"] == info[dialog]["TimeLimit.truncated"] == (limit == 3)
            for name, part in infos[dialog]["terminal_observation"].items():
                assert np.array_equal(part, info[dialog]["terminal_observation"][name])
        if output == "numpy":
            assert [each["sentence"] for each in infos] == [each["sentence"] for each in info]
    assert ends


def test_a_finished_dialog_tells_what_gymnasium_recorded_of_it(gallery):
    env = DialogVecEnv(RecordEpisodeStatistics(make_vec(gallery, turns=2)))
    env.reset()
    first = env.step(np.array([1, 2, 3]))[1]
    _, second, ended, infos = env.step(np.array([4, 5, 6]))
    assert ended.all()
    assert [info["episode"]["l"] for info in infos] == [2] * BATCH
    assert np.allclose([info["episode"]["r"] for info in infos], first + second)


def test_attributes_and_methods_reach_the_environment(gallery):
    env = DialogVecEnv(DialogHistoryVector(make_vec(gallery)))
    assert env.get_attr("gallery", indices=[0, 2]) == [gallery] * 2
    assert env.get_attr("flat") == [False] * BATCH
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        env.get_attr("colour")
    assert env.env_is_wrapped(DialogHistoryVector) == [True] * BATCH
    assert env.env_is_wrapped(RecordEpisodeStatistics, indices=1) == [False]
    observation = DialogVecEnv(make_vec(gallery)).reset()
    assert [len(sentences) for sentences in env.env_method("sentences", observation, indices=0)] == [BATCH]
    env.set_attr("colour", "red")
    assert env.get_attr("colour") == ["red"] * BATCH
    with pytest.raises(ValueError, match="set it without indices"):
        env.set_attr("colour", "blue", indices=0)
    env.close()


def test_environments_that_begin_anew_a_step_later_are_refused(gallery):
    with pytest.raises(ValueError, match='autoreset_mode="SameStep"'):
        DialogVecEnv(make_vec(gallery, autoreset_mode=AutoresetMode.NEXT_STEP))


@pytest.mark.parametrize(("algorithm", "action"), [(PPO, "candidate"), (A2C, "query"), (SAC, "query")])
def test_stock_algorithms_train_on_it_with_their_stock_policy(gallery, algorithm, action):
    env = VecMonitor(DialogVecEnv(DialogHistoryVector(make_vec(gallery, action=action, output="torch"))))
    short = {SAC: {"learning_starts": 10}, A2C: {}, PPO: {"n_steps": 10, "batch_size": 30}}[algorithm]
    model = algorithm("MultiInputPolicy", env, device="cpu", seed=0, **short)
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(60)
    changed = [not torch.equal(old, new) for old, new in zip(before, model.policy.parameters(), strict=True)]
    assert sum(changed) > len(changed) / 2
    mean, _ = evaluate_policy(model, env, n_eval_episodes=6)
    assert 0 < mean <= 5
