"""TorchRL: its environments around ours tell whole dialogs, and its PPO learns on them."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from tests.learning.test_stable_baselines3 import toys

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("torchrl")
    from tensordict.nn import TensorDictModule
    from torchrl.collectors import Collector
    from torchrl.envs import GymEnv, GymWrapper, check_env_specs
    from torchrl.modules import NormalParamExtractor, ProbabilisticActor, TanhNormal, ValueOperator
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE

DIALOGS = 64


@pytest.fixture(scope="module")
def keywords():
    return toys()


def train(envs, frames, seed=0):
    """Mean reward of each batch while PPO learns."""
    inputs, actions = envs.observation_spec["observation"].shape[-1], envs.action_spec.shape[-1]
    layers = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 2 * actions), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(layers, ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=TanhNormal,
        return_log_prob=True,
    )
    critic = ValueOperator(nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 1)), ["observation"])
    advantage = GAE(gamma=0.5, lmbda=0.9, value_network=critic)
    loss = ClipPPOLoss(actor, critic, entropy_coeff=0.0)
    optimizer = torch.optim.Adam(loss.parameters(), lr=3e-3)
    curve = []
    for data in Collector(envs, actor, frames_per_batch=1280, total_frames=frames):
        curve.append(float(data["next", "reward"].mean()))
        for _ in range(4):
            with torch.no_grad():
                advantage(data)
            turns = data.reshape(-1)
            for rows in torch.randperm(len(turns)).chunk(5):
                found = loss(turns[rows])
                optimizer.zero_grad()
                (found["loss_objective"] + found["loss_critic"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
    return curve


@pytest.mark.parametrize("name", ["DialogRetrieval-v0", "DialogRetrieval-vector-v0", "DialogRetrieval-discrete-v0"])
def test_its_environment_around_ours_tells_whole_dialogs(keywords, name):
    env = GymEnv(name, **keywords)
    check_env_specs(env)
    dialogs = env.rollout(12, break_when_any_done=False)
    assert dialogs["next", "done"].flatten().tolist() == [number % 5 == 4 for number in range(12)]


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_many_dialogs_are_collected_each_with_its_own_last_turn(keywords, output):
    native = gym.make_vec(
        "DialogRetrieval-v0", 3, preset="vector", autoreset_mode="Disabled", output=output, **keywords
    )
    env = GymWrapper(native)
    check_env_specs(env)
    dialogs = env.rollout(12, break_when_any_done=False)
    turns, after = dialogs["turn"].argmax(-1), dialogs["next", "turn"].argmax(-1)
    for dialog in range(3):
        assert turns[dialog].tolist() == [number % 5 for number in range(12)]
        assert after[dialog].tolist() == [number % 5 + 1 for number in range(12)]
    last = dialogs["next", "feedback"][dialogs["next", "done"].squeeze(-1)]
    assert not last.any()  # after the last turn nobody is asked, and it is not the feedback that begins the next


def test_dialogs_that_begin_anew_by_themselves_with_the_next_step_are_refused_by_it(keywords):
    with pytest.raises(RuntimeError, match="must be one of SAME_STEP or DISABLED"):
        GymWrapper(gym.make_vec("DialogRetrieval-v0", 3, preset="vector", **keywords))


def test_its_ppo_learns(keywords):
    dialogs = gym.make_vec("DialogRetrieval-vector-v0", DIALOGS, autoreset_mode="Disabled", output="torch", **keywords)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        curve = train(GymWrapper(dialogs), 14 * 1280)
    assert 0.4 < curve[0] < 0.6
    assert np.mean(curve[-2:]) > 0.5 + 0.2


@pytest.mark.long
def test_its_ppo_learns_on_the_default_catalogue():
    dialogs = gym.make_vec("DialogRetrieval-vector-v0", DIALOGS, autoreset_mode="Disabled", output="torch")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        curve = train(GymWrapper(dialogs), 40 * 1280)
    assert 0.4 < curve[0] < 0.6
    assert np.mean(curve[-2:]) > 0.5 + 0.2
