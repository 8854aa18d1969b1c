"""RLlib: it stores the dialogs that were held, refuses what would mix them up, and learns by our modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from dialog_env.agents.rllib import configured, made
from tests.conftest import REPOSITORY
from tests.damage import refusal
from tests.learning.test_stable_baselines3 import toys

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("ray", reason="Ray is absent; pip install 'dialog-retrieval[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.columns import Columns
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    from dialog_env.agents.rllib.modules import BeliefModule, DialogModule


@pytest.fixture(scope="module")
def keywords():
    return toys()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, "SameStep", "Disabled"])
def test_modes_by_which_it_would_mix_dialogs_up_are_refused_in_one_sentence(mode):
    said = refusal(lambda: configured(PPOConfig(), autoreset_mode=mode))
    assert said.startswith("autoreset_mode=")
    assert said.endswith("and would store turns of other dialogs; leave it out")
    assert refusal(lambda: made({"num_envs": 2, "autoreset_mode": mode})) == said


def test_what_it_stores_are_the_dialogs_that_were_held(keywords):
    config = configured(PPOConfig(), num_envs=4, reveal_target=True, **keywords)
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=DialogModule))
    runner = SingleAgentEnvRunner(config=config.env_runners(num_env_runners=0))
    try:
        episodes = runner.sample(num_timesteps=100, random_actions=True)
    finally:
        runner.stop()
    whole = [episode for episode in episodes if episode.is_done]
    assert len(whole) > 12
    images = len(keywords["catalog"])
    for episode in whole:
        assert episode.get_observations()["turn"].tolist() == [0, 1, 2, 3, 4, 5]
        told = episode.get_infos()
        assert len({each["target"] for each in told}) == 1
        for action, reward, after in zip(episode.get_actions(), episode.get_rewards(), told[1:], strict=True):
            assert after["candidate"] == action
            assert reward == pytest.approx(1 - after["rank"] / images)


def observed(space, batch=3):
    gathered = [space.sample() for _ in range(batch)]
    return {key: torch.from_numpy(np.stack([each[key] for each in gathered])) for key in space}


@pytest.mark.parametrize("action", ["query", "direction:directions=4", "move:directions=4"])
def test_the_network_acts_in_every_space_and_learns_all_its_weights(keywords, action):
    env = gym.make("DialogRetrieval-v0", action=action, **keywords)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = DialogModule(
            observation_space=env.observation_space, action_space=env.action_space, model_config={"network": "guo2018"}
        )
    module.train()
    batch = {Columns.OBS: observed(env.observation_space)}
    given = module.forward_train(batch)
    inputs = given[Columns.ACTION_DIST_INPUTS]
    distribution = module.get_train_action_dist_cls().from_logits(inputs)
    assert torch.isfinite(distribution.logp(distribution.sample())).all()
    values = module.compute_values(batch)
    assert torch.equal(values, module.compute_values(batch, embeddings=given[Columns.EMBEDDINGS]))
    (inputs.square().sum() + values.sum()).backward()
    without = [name for name, weights in module.named_parameters() if weights.grad is None]
    assert all("rnn" in name or "tracker" in name for name in without), without
    alone = module.forward_inference({Columns.OBS: {key: part[:1] for key, part in batch[Columns.OBS].items()}})
    assert torch.allclose(alone[Columns.ACTION_DIST_INPUTS], inputs[:1], atol=1e-5)


def test_a_choice_among_what_is_believed_begins_as_the_belief():
    space = spaces.Dict(
        {
            "belief": spaces.Box(-50, 0, (5,), np.float32),
            "image": spaces.Box(-1, 1, (5, 8), np.float32),
            "turn": spaces.Discrete(6),
        }
    )
    module = BeliefModule(observation_space=space, action_space=spaces.Discrete(5), model_config={})
    batch = {Columns.OBS: observed(space)}
    logits = module.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
    assert torch.allclose(logits, batch[Columns.OBS]["belief"], atol=0.2)
    order = torch.tensor([4, 2, 0, 1, 3])
    moved = {key: part[:, order] if key != "turn" else part for key, part in batch[Columns.OBS].items()}
    again = module.forward_inference({Columns.OBS: moved})[Columns.ACTION_DIST_INPUTS]
    assert torch.allclose(again, logits[:, order], atol=1e-5)
    assert module.compute_values(batch).shape == (3,)


PROGRAM = """
import json, sys
from dialog_env.agents.rllib import configured
from dialog_env.io.ray_alone import ray_at

keywords, rounds, each, rate = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
with ray_at(None, "RLlib"):
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from dialog_env.agents.rllib.modules import DialogModule

    config = configured(PPOConfig(), num_envs=64, **keywords)
    config.env_runners(num_env_runners=0).learners(num_learners=0).debugging(seed=0)
    config.training(
        train_batch_size_per_learner=each, minibatch_size=256, num_epochs=4, lr=rate, gamma=0.0, grad_clip=0.5
    )
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=DialogModule))
    algorithm = config.build_algo()
    print(json.dumps([algorithm.train()["env_runners"]["episode_return_mean"] / 5 for _ in range(rounds)]))
    algorithm.stop()
"""


def curve(folder: Path, keywords: str, *numbers: str) -> list[float]:
    """Mean percentile of the dialogs of each round, in a process of its own, whose home stays as it was."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, keywords, *numbers], env=environment, capture_output=True, text=True, check=True
    )
    assert not (folder / ".ray").exists()
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
def test_its_ppo_learns_by_the_network_of_the_paper(tmp_path):
    keywords = '{"simulator": "describer", "action": "direction"}'
    found = curve(tmp_path, keywords, "25", "4096", "3e-4")
    assert 0.4 < found[0] < 0.6
    assert np.mean(found[-2:]) > 0.5 + 0.2
