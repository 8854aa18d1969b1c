"""The specification of an environment survives in a data set of Minari, which makes the environment again."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from dialog_env.catalog import Catalog
from tests.conftest import tiny_contents

minari = pytest.importorskip("minari")

VARIANTS = [
    ("DialogRetrieval-v0", {}),
    ("DialogRetrieval-v0", {"observation": ("features", "words"), "reward": "change", "turns": 3}),
    ("DialogRetrieval-v0", {"preset": "vector", "stop_when_found": True}),
    ("DialogRetrieval-vector-v0", {}),
    ("DialogRetrieval-discrete-v0", {"turns": 2}),
]


def stacked(parts):
    return {key: np.stack([each[key] for each in parts]) for key in parts[0]} if isinstance(parts[0], dict) else parts


def collected(env, episodes=2):
    """Dialogs with random actions, as Minari keeps them. Its own collector does the same, and needs Jax."""
    from minari.data_collector import EpisodeBuffer

    for number in range(episodes):
        observations, actions, rewards, ends = [env.reset(seed=number)[0]], [], [], [False]
        while not ends[-1]:
            actions.append(env.action_space.sample())
            observation, reward, over, _, _ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
            ends.append(over)
        yield EpisodeBuffer(
            id=number,
            observations=stacked(observations),
            actions=np.stack(actions),
            rewards=np.array(rewards),
            terminations=np.array(ends[1:]),
            truncations=np.zeros(len(rewards), bool),
            infos={},
        )


@pytest.mark.parametrize(("name", "keywords"), VARIANTS)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_data_set_gives_back_the_environment_that_it_was_collected_in(tmp_path, monkeypatch, name, keywords, kind):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    Catalog(tiny_contents(size=40)).write(tmp_path / "tiny.h5")
    env = gym.make(name, catalog=kind(tmp_path / "tiny.h5"), simulator="tests.toys:ToyUser", **keywords)
    minari.create_dataset_from_buffers("dialog/random-v0", buffer=list(collected(env)), env=env)
    again = minari.load_dataset("dialog/random-v0").recover_environment()
    assert again.observation_space == env.observation_space
    assert again.action_space == env.action_space
    assert again.unwrapped.gallery.fingerprint == env.unwrapped.gallery.fingerprint
    assert str(again.reset(seed=5)) == str(env.reset(seed=5))
    action = env.action_space.sample()
    assert str(again.step(action)) == str(env.step(action))
