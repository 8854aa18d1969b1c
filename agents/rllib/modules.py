"""Policies and critics for RLlib: the paper's network on what was said, and a choice among the images believed in."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn
from torch.nn import functional

from dialog_env.agents.guo2018.networks import NETWORKS

HIDDEN = 64
SMALL = 0.01
"""Gain of the layer that gives actions, so that a policy begins undecided."""


class _ActorCritic(TorchRLModule, ValueFunctionAPI):
    """An embedding of observations, from which a policy and a value are read."""

    def embed(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the policy says (B, …) and a vector (B, H) that the value is read from."""
        raise NotImplementedError

    value: nn.Module

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        inputs, embedding = self.embed(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: inputs, Columns.EMBEDDINGS: embedding}

    def compute_values(self, batch: dict[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """(B,) values."""
        if embeddings is None:
            embeddings = self.embed(batch[Columns.OBS])[1]
        return self.value(embeddings)[:, 0]


class DialogModule(_ActorCritic):
    """A network of agents, `guo2018` where `model_config` has no other "network": its state after the latest turn acts.

    It takes observations with `image` (D,), tokens `feedback` and a discrete `turn`, and actions in a `Box` or few
    discrete ones. BatchNorm is left as it is at the start: batches of a policy that changes have no lasting statistics.
    """

    def setup(self) -> None:
        """Makes the network for the spaces."""
        observed = self.observation_space
        images, self.turns = observed["image"].shape[0], int(observed["turn"].n)
        words = int(observed["feedback"].high.max())
        kind = NETWORKS.find(self.model_config.get("network", "guo2018"))
        self.network = kind(dimensions=images, words=words)
        states = self.network.image(torch.zeros(1, images)).shape[1]
        self.image = nn.Linear(images, HIDDEN)
        self.shared = nn.Sequential(nn.LayerNorm(states + HIDDEN), nn.Linear(states + HIDDEN, HIDDEN), nn.Tanh())
        continuous = isinstance(self.action_space, spaces.Box)
        outputs = self.action_space.shape[0] if continuous else int(self.action_space.n)
        self.policy = nn.Linear(HIDDEN + self.turns, outputs)
        self.log_deviation = nn.Parameter(torch.full((outputs,), -0.5)) if continuous else None
        self.value = nn.Linear(HIDDEN + self.turns, 1)
        nn.init.orthogonal_(self.policy.weight, SMALL)
        nn.init.zeros_(self.policy.bias)

    def train(self, mode: bool = True) -> DialogModule:
        """As every module does, but for BatchNorm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def embed(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Means and log-deviations (B, 2A) or logits (B, A), and the vector (B, H)."""
        image, turn = observation["image"].float(), observation["turn"].long()
        state, _ = self.network(image, observation["feedback"].long(), self.network.begin(len(image)))
        seen = torch.cat([state, self.image(image)], dim=1)  # (B, E), (B, D) -> (B, E + H)
        latent = torch.cat([self.shared(seen), functional.one_hot(turn, self.turns).float()], dim=1)
        acts = self.policy(latent)
        if self.log_deviation is not None:
            acts = torch.cat([acts, self.log_deviation.expand_as(acts)], dim=1)
        return acts, latent


class BeliefModule(_ActorCritic):
    """Which of the K images of `BeliefCandidates` to show: each is scored by its belief, its features and the turn.

    At the start every image is about as likely to be shown as it is believed to be the target.
    """

    def setup(self) -> None:
        """Makes the layers for the spaces."""
        observed = self.observation_space
        self.turns = int(observed["turn"].n)
        self.option = nn.Sequential(
            nn.Linear(1 + observed["image"].shape[1] + self.turns, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN)
        )
        self.policy = nn.Linear(HIDDEN, 1)
        self.value = nn.Sequential(nn.ReLU(), nn.Linear(HIDDEN, 1))
        nn.init.orthogonal_(self.policy.weight, SMALL)
        nn.init.zeros_(self.policy.bias)

    def embed(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (B, K), and the vector (B, H)."""
        belief, image = observation["belief"].float(), observation["image"].float()
        turn = functional.one_hot(observation["turn"].long(), self.turns).float()[:, None]
        turn = turn.expand(-1, belief.shape[1], -1)
        options = self.option(torch.cat([belief[:, :, None].exp(), image, turn], dim=2))  # (B, K, 1 + D + T) -> H
        return belief + self.policy(functional.relu(options))[:, :, 0], options.mean(dim=1)
