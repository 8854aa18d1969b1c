"""Stable-Baselines3 as it comes: its algorithms with their default settings and policies learn on a preset."""

from __future__ import annotations

import gymnasium as gym
import pytest
import stable_baselines3
import torch

import dialog_env  # noqa: F401 - registers the environment
from dialog_env.catalog import Catalog
from tests.conftest import tiny_contents
from tests.toys import ToyUser


def toys():
    """Images that differ along four directions, and a user who says which way to go along each."""
    contents = tiny_contents(size=300, dimensions=4)
    contents.features *= 0.04
    gallery = Catalog(contents)
    return {"catalog": gallery, "split": "all", "simulator": ToyUser(gallery)}


def last_turn(model, preset, **keywords):
    """Percentile at the last turn of 300 dialogs, without exploration."""
    dialogs = gym.make_vec("DialogRetrieval-v0", 300, preset=preset, **keywords)
    observation, _ = dialogs.reset(seed=99)
    for _ in range(5):
        observation, reward, *_ = dialogs.step(model.predict(observation, deterministic=True)[0])
    return 100 * reward.mean()


def learned(algorithm, preset, steps, **keywords):
    """The same before and after learning with nothing but an environment, a name of a policy and a seed."""
    with torch.random.fork_rng():
        env = gym.make("dialog_env:DialogRetrieval-v0", preset=preset, **keywords)
        model = getattr(stable_baselines3, algorithm)("MultiInputPolicy", env, seed=0, device="cpu")
        before = last_turn(model, preset, **keywords)
        return before, last_turn(model.learn(steps), preset, **keywords)


@pytest.mark.parametrize(
    ("algorithm", "preset", "steps", "more"),
    [
        pytest.param("PPO", "vector", 6144, 12, marks=pytest.mark.slow),
        pytest.param("DQN", "discrete", 5000, 8, marks=pytest.mark.long),
        pytest.param("A2C", "vector", 8000, 15, marks=pytest.mark.long),
        pytest.param("SAC", "vector", 1500, 15, marks=pytest.mark.long),
        pytest.param("TD3", "vector", 5000, 10, marks=pytest.mark.long),
    ],
)
def test_algorithms_with_default_settings_learn(algorithm, preset, steps, more):
    before, after = learned(algorithm, preset, steps, **toys())
    assert after > before + more, (before, after)


@pytest.mark.long
def test_ppo_with_default_settings_reaches_90_on_the_default_catalogue():
    before, after = learned("PPO", "vector", 100_000)
    assert before < 60
    assert after >= 90


@pytest.mark.long
@pytest.mark.parametrize(
    ("algorithm", "preset", "steps"),
    [("A2C", "vector", 50_000), ("SAC", "vector", 10_000), ("TD3", "vector", 20_000), ("DQN", "discrete", 50_000)],
)
def test_the_others_learn_visibly_on_the_default_catalogue(algorithm, preset, steps):
    before, after = learned(algorithm, preset, steps)
    assert after > max(before, 50) + 10, (before, after)
