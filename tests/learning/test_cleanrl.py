"""A PPO by CleanRL's conventions and with its defaults, in which nothing but the id is ours."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn
from torch.distributions import Normal

from tests.learning.test_stable_baselines3 import toys

ID = "dialog_env:DialogRetrieval-vector-v0"


@dataclass
class Args:
    """Names and values are CleanRL's, of `ppo_continuous_action.py`."""

    total_timesteps: int = 100_000
    learning_rate: float = 3e-4
    num_envs: int = 1
    num_steps: int = 2048
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_minibatches: int = 32
    update_epochs: int = 10
    clip_coef: float = 0.2
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    seed: int = 1


class Kept(gym.Wrapper):
    """Tells the reward as it is, before it is normalised."""

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, "percentile": 100 * reward}


def make_env(gamma, keywords):
    def thunk():
        env = Kept(gym.make(ID, **keywords))
        env = gym.wrappers.FlattenObservation(env)
        env = gym.wrappers.RecordEpisodeStatistics(env)
        env = gym.wrappers.ClipAction(env)
        env = gym.wrappers.NormalizeObservation(env)
        env = gym.wrappers.TransformObservation(env, lambda obs: np.clip(obs, -10, 10), env.observation_space)
        env = gym.wrappers.NormalizeReward(env, gamma=gamma)
        return gym.wrappers.TransformReward(env, lambda reward: float(np.clip(reward, -10, 10)))

    return thunk


def layers(inputs, outputs, last):
    made = [nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, outputs)]
    for layer, scale in zip(made, (2**0.5, 2**0.5, last), strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(made[0], nn.Tanh(), made[1], nn.Tanh(), made[2])


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        inputs, actions = (space.shape[0] for space in (envs.single_observation_space, envs.single_action_space))
        self.critic, self.actor_mean = layers(inputs, 1, 1.0), layers(inputs, actions, 0.01)
        self.actor_logstd = nn.Parameter(torch.zeros(actions))

    def policy(self, obs):
        return Normal(self.actor_mean(obs), self.actor_logstd.exp())


def train(args, **keywords):
    """Percentile at the last turn: in the first rollout, while it explores, and at the end, when it does not."""
    torch.manual_seed(args.seed)
    envs = SyncVectorEnv(
        [make_env(args.gamma, keywords) for _ in range(args.num_envs)], autoreset_mode=AutoresetMode.SAME_STEP
    )
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    batch = args.num_envs * args.num_steps
    iterations = args.total_timesteps // batch
    obs, done = tensor(envs.reset(seed=args.seed)[0]), torch.zeros(args.num_envs)
    first: list[float] = []
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = (1 - iteration / iterations) * args.learning_rate
        kept: dict[str, list[Tensor]] = {
            name: [] for name in ("obs", "actions", "logprobs", "values", "rewards", "dones")
        }
        for _ in range(args.num_steps):
            with torch.no_grad():
                policy = agent.policy(obs)
                action = policy.sample()
                step = (obs, action, policy.log_prob(action).sum(1), agent.critic(obs).flatten())
            told, reward, terminations, truncations, infos = envs.step(action.numpy())
            for name, value in zip(kept, (*step, tensor(reward), done), strict=True):
                kept[name].append(value)
            obs, done = tensor(told), tensor(terminations | truncations)
            if iteration == 0 and "final_info" in infos:
                first += infos["final_info"]["percentile"][infos["final_info"]["_percentile"]].tolist()
        b_obs, b_actions, b_logprobs = (torch.cat(kept[name]) for name in ("obs", "actions", "logprobs"))
        with torch.no_grad():
            values = [*kept["values"], agent.critic(obs).flatten()]
            dones = [*kept["dones"], done]
        advantages, last = [], torch.zeros(args.num_envs)
        for t in reversed(range(args.num_steps)):
            goes_on = 1 - dones[t + 1]
            delta = kept["rewards"][t] + args.gamma * values[t + 1] * goes_on - values[t]
            last = delta + args.gamma * args.gae_lambda * goes_on * last
            advantages.insert(0, last)
        b_advantages, b_values = torch.cat(advantages), torch.cat(values[:-1])
        for _ in range(args.update_epochs):
            for mb in torch.randperm(batch).chunk(args.num_minibatches):
                ratio = (agent.policy(b_obs[mb]).log_prob(b_actions[mb]).sum(1) - b_logprobs[mb]).exp()
                advantage = (b_advantages[mb] - b_advantages[mb].mean()) / (b_advantages[mb].std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                pg_loss = torch.max(-advantage * ratio, -advantage * clipped).mean()
                value, wanted = agent.critic(b_obs[mb]).flatten(), b_advantages[mb] + b_values[mb]
                near = b_values[mb] + (value - b_values[mb]).clamp(-args.clip_coef, args.clip_coef)
                v_loss = 0.5 * torch.max((value - wanted).square(), (near - wanted).square()).mean()
                optimizer.zero_grad()
                (pg_loss + args.vf_coef * v_loss).backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()
    final: list[float] = []
    while len(final) < 200:
        with torch.no_grad():
            told, *_, infos = envs.step(agent.actor_mean(obs).numpy())
        obs = tensor(told)
        if "final_info" in infos:
            final += infos["final_info"]["percentile"][infos["final_info"]["_percentile"]].tolist()
    return float(np.mean(first)), float(np.mean(final))


def tensor(values):
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


@pytest.mark.long
def test_it_learns_with_nothing_but_the_id_changed():
    with torch.random.fork_rng():
        first, final = train(Args(total_timesteps=6144), **toys())
    assert 40 < first < 60
    assert final > first + 10


@pytest.mark.long
def test_it_reaches_90_on_the_default_catalogue():
    with torch.random.fork_rng():
        first, final = train(Args())
    assert first < 60
    assert final >= 90
