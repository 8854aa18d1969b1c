"""A choice among the images that an agent believes in."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO

from dialog_env import agents
from dialog_env.catalog import Catalog
from dialog_env.envs.wrappers import BeliefCandidates
from tests.conftest import tiny_contents
from tests.toys import ToyUser


@pytest.fixture(scope="module")
def gallery() -> Catalog:
    return Catalog(tiny_contents(size=96)).split("train")


def make(gallery: Catalog, candidates: int = 4, **keywords: Any) -> BeliefCandidates:
    user = ToyUser(gallery)
    agent: Any = agents.create("belief", gallery=gallery, vocabulary=user.vocabulary, evidence=16, seed=2)
    return BeliefCandidates(
        gym.make("dialog_env:DialogRetrieval-v0", catalog=gallery, simulator=user, **keywords), agent, candidates
    )


def test_the_checker_passes_without_a_warning(gallery: Catalog) -> None:
    env = make(gallery, turns=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        check_env(env, skip_render_check=True)


def test_the_options_are_the_likeliest_images_not_shown_with_their_belief(gallery: Catalog) -> None:
    env = make(gallery)
    observation, info = env.reset(seed=3)
    shown = [info["candidate"]]
    for turn, action in enumerate((2, 0, 3)):
        believed: Any = env.agent.log_belief(env._memory)[0]
        order = [image for image in believed.argsort(descending=True).tolist() if image not in shown]
        assert info["options"].tolist() == order[:4]
        assert np.allclose(observation["belief"], believed[order[:4]])
        assert np.array_equal(observation["image"], gallery.features[order[:4]])
        assert observation["turn"] == turn
        observation, _, _, _, info = env.step(action)
        assert info["candidate"] == order[action]
        shown.append(info["candidate"])


def test_the_first_option_always_is_what_the_agent_does_by_itself(gallery: Catalog) -> None:
    env = make(gallery)
    _, info = env.reset(seed=5)
    agent: Any = env.agent
    memory, images = agent.begin(1), []
    for _ in range(5):
        decision = agent.act(env._dialogs.world.observed(env.unwrapped.state), memory)  # type: ignore[attr-defined]
        memory = decision.memory
        images.append(int(decision.candidates))
        _, _, over, _, info = env.step(0)
        assert info["candidate"] == images[-1]
    assert over
    assert len(set(images)) == 5


def test_ppo_trains_on_it(gallery: Catalog) -> None:
    model = PPO("MultiInputPolicy", make(gallery, reward="found"), n_steps=16, batch_size=16, n_epochs=1, device="cpu")
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(16)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.policy.parameters(), strict=True))


def test_a_step_made_without_the_wrapper_is_noticed(gallery: Catalog) -> None:
    env = make(gallery)
    env.reset(seed=0)
    env.env.step(3)
    with pytest.raises(RuntimeError, match="has not been followed"):
        env.step(0)


def test_what_does_not_fit_is_refused(gallery: Catalog) -> None:
    env = make(gallery)
    env.reset(seed=0)
    options = env._options.copy()
    for action in (4, -1, 0.5, "a", [1, 2]):
        with pytest.raises(ValueError, match="no place among 4 images"):
            env.step(action)
    assert np.array_equal(options, env._options)
    with pytest.raises(ValueError, match="give at most 42"):
        make(gallery, candidates=43)
    with pytest.raises(ValueError, match="action=candidate"):
        make(gallery, action="query")
    supervised: Any = agents.create("supervised", gallery=gallery, vocabulary=ToyUser(gallery).vocabulary)
    with pytest.raises(ValueError, match="has no log_belief and so no belief"):
        BeliefCandidates(env.env, supervised)
