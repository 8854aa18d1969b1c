"""A PPO of one's own, in the style of CleanRL, on the path where everything stays a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import dialog_env  # noqa: F401 - registers the environment
from dialog_env.catalog import Catalog
from tests.conftest import tiny_contents
from tests.toys import ToyUser


@dataclass
class Args:
    num_envs: int = 32
    num_steps: int = 20
    iterations: int = 24
    update_epochs: int = 4
    num_minibatches: int = 4
    learning_rate: float = 3e-3
    gamma: float = 0.3
    gae_lambda: float = 0.9
    clip_coef: float = 0.2
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    seed: int = 1


class Agent(nn.Module):
    def __init__(self, envs: gym.vector.VectorEnv, hidden: int = 64) -> None:
        super().__init__()
        space = envs.single_observation_space
        words = int(space["feedback"].high.max()) + 1
        self.turns = int(space["turn"].n)
        dimensions = envs.single_action_space.shape[0]
        self.words = nn.EmbeddingBag(words, hidden, mode="sum", padding_idx=0)
        inputs = hidden + dimensions + self.turns
        self.actor = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, dimensions))
        self.critic = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.logstd = nn.Parameter(torch.full((dimensions,), -1.5))
        nn.init.zeros_(self.actor[-1].weight)

    def forward(self, obs: dict[str, Tensor]) -> tuple[Normal, Tensor]:
        turn = nn.functional.one_hot(obs["turn"], self.turns)
        x = torch.cat([self.words(obs["feedback"]), obs["image"], turn], dim=1)
        return Normal(self.actor(x), self.logstd.exp().expand(len(x), -1)), self.critic(x).squeeze(1)


def train(envs: gym.vector.VectorEnv, args: Args) -> list[float]:
    """Mean reward of each iteration."""
    torch.manual_seed(args.seed)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    next_obs, _ = envs.reset(seed=args.seed)
    next_done = torch.zeros(args.num_envs)
    curve = []
    for _ in range(args.iterations):
        obs, actions, logprobs, rewards, dones, values = [], [], [], [], [], []
        for _ in range(args.num_steps):
            with torch.no_grad():
                policy, value = agent(next_obs)
                action = policy.sample()
            obs.append(next_obs)
            dones.append(next_done)
            values.append(value)
            actions.append(action)
            logprobs.append(policy.log_prob(action).sum(1))
            next_obs, reward, terminations, truncations, _ = envs.step(action.clamp(-1, 1))
            rewards.append(reward)
            next_done = (terminations | truncations).float()

        with torch.no_grad():
            next_value = agent(next_obs)[1]
            advantages, last = [], torch.zeros(args.num_envs)
            for t in reversed(range(args.num_steps)):
                done = next_done if t == args.num_steps - 1 else dones[t + 1]
                following = next_value if t == args.num_steps - 1 else values[t + 1]
                delta = rewards[t] + args.gamma * following * (1 - done) - values[t]
                last = delta + args.gamma * args.gae_lambda * (1 - done) * last
                advantages.insert(0, last)
        b_obs = {name: torch.cat([each[name] for each in obs]) for name in next_obs}
        b_actions, b_logprobs, b_advantages = torch.cat(actions), torch.cat(logprobs), torch.cat(advantages)
        b_returns = b_advantages + torch.cat(values)

        for _ in range(args.update_epochs):
            for mb in torch.randperm(len(b_actions)).chunk(args.num_minibatches):
                policy, value = agent({name: part[mb] for name, part in b_obs.items()})
                ratio = (policy.log_prob(b_actions[mb]).sum(1) - b_logprobs[mb]).exp()
                advantage = b_advantages[mb]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                pg_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
                loss = pg_loss + args.vf_coef * (value - b_returns[mb]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()
        curve.append(float(torch.stack(rewards).mean()))
    return curve


def test_a_plain_ppo_loop_learns_on_tensors() -> None:
    args = Args()
    contents = tiny_contents(size=300, dimensions=4)
    contents.features = (contents.features / np.abs(contents.features).max()).astype(np.float32)
    gallery = Catalog(contents)
    keywords = {"catalog": gallery, "split": "all", "simulator": ToyUser(gallery), "action": "query"}
    envs = gym.make_vec("DialogRetrieval-v0", args.num_envs, output="torch", autoreset_mode="SameStep", **keywords)
    with torch.random.fork_rng():
        curve = train(envs, args)
    assert 0.4 < curve[0] < 0.6
    assert np.mean(curve[-3:]) > curve[0] + 0.15


@pytest.mark.slow
def test_the_same_loop_learns_on_the_default_catalogue() -> None:
    args = Args(num_envs=64, iterations=60, learning_rate=1e-3)
    envs = gym.make_vec("DialogRetrieval-v0", args.num_envs, output="torch", autoreset_mode="SameStep", action="query")
    with torch.random.fork_rng():
        curve = train(envs, args)
    assert np.mean(curve[-5:]) > np.mean(curve[:5]) + 0.2
