"""Policies that choose an image of any gallery: its logit falls with its distance from a point.

A linear layer with one output for each image would be tied to the training gallery. Here the network gives a point
among the coordinates of images, and each image of whatever gallery is scored by its distance from it.
"""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor, create_mlp
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn

from dialog_env.agents.sb3.extractor import DialogExtractor


class GalleryHead(nn.Module):
    """Scores images by their weighted squared distance from a point.

    Args:
        inputs: size of the vector that the point is computed from, its last K columns being the coordinates of the
            image shown last, which the point is relative to.
        coordinates: K.
        images: N of the gallery bound to it.
        sharpness: initial weight of each squared coordinate.
        valued: adds a value that all images share, which action values need and logits do not.
    """

    gallery: Tensor

    def __init__(self, inputs: int, coordinates: int, images: int, sharpness: float, *, valued: bool) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.step = nn.Linear(inputs - coordinates, coordinates)
        self.value = nn.Linear(inputs - coordinates, 1) if valued else None
        self.log_weights = nn.Parameter(torch.full((coordinates,), sharpness).log())
        self.register_buffer("gallery", torch.zeros(images, coordinates))
        nn.init.orthogonal_(self.step.weight, 0.01)
        nn.init.zeros_(self.step.bias)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, N) scores of the bound gallery."""
        return self.score(latent, self.gallery)

    def score(self, latent: Tensor, gallery: Tensor) -> Tensor:
        """(B, N) scores of images with coordinates (N, K)."""
        free, here = latent[:, : -self.coordinates], latent[:, -self.coordinates :]
        point = here + self.step(free)
        weights = self.log_weights.exp()
        scores = 2 * (point * weights) @ gallery.T - gallery.square() @ weights
        if self.value is None:
            return scores  # the point's own length would be the same for all
        return scores - (point.square() @ weights)[:, None] + self.value(free)


class PassingExtractor(MlpExtractor):
    """Stable-Baselines3's two networks; the actor's output ends with the last K columns of its input."""

    def __init__(self, *args: Any, coordinates: int, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.coordinates = coordinates
        self.latent_dim_pi += coordinates

    def forward_actor(self, features: Tensor) -> Tensor:
        """(B, latent_dim_pi)."""
        return torch.cat([super().forward_actor(features), features[:, -self.coordinates :]], dim=1)


class CandidateActorCritic(ActorCriticPolicy):
    """Of PPO and A2C: the probability of an image falls with its distance from a point.

    Args:
        sharpness: initial weight of each squared coordinate in the logits.
    """

    features_extractor: DialogExtractor

    def __init__(self, *args: Any, sharpness: float = 0.2, **keywords: Any) -> None:
        self.sharpness = sharpness
        super().__init__(*args, **keywords)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "sharpness": self.sharpness}

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = PassingExtractor(
            self.features_dim,
            net_arch=self.net_arch,
            activation_fn=self.activation_fn,
            device=self.device,
            coordinates=self.features_extractor.coordinates,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        coordinates, images = self.features_extractor.coordinates, int(self.action_space.n)  # type: ignore[attr-defined]
        self.action_net = GalleryHead(
            self.mlp_extractor.latent_dim_pi, coordinates, images, self.sharpness, valued=False
        )
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    @property
    def head(self) -> GalleryHead:
        """What scores images."""
        assert isinstance(self.action_net, GalleryHead)
        return self.action_net

    def scores(self, observation: PyTorchObs, gallery: Tensor) -> Tensor:
        """(B, N) logits of images with coordinates (N, K)."""
        features = self.extract_features(observation)
        assert isinstance(features, Tensor)
        return self.head.score(self.mlp_extractor.forward_actor(features), gallery)


class PassingLayers(nn.Module):
    """A network whose output is scored by a `GalleryHead` together with the last K columns of its input."""

    def __init__(self, layers: nn.Module, head: GalleryHead) -> None:
        super().__init__()
        self.layers, self.head = layers, head

    def latent(self, features: Tensor) -> Tensor:
        """What the head wants."""
        return torch.cat([self.layers(features), features[:, -self.head.coordinates :]], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N) action values of the bound gallery."""
        return self.head(self.latent(features))


class CandidateQNetwork(QNetwork):
    """Action values that fall with an image's distance from a point."""

    def __init__(self, *args: Any, sharpness: float, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        assert isinstance(self.features_extractor, DialogExtractor)
        coordinates, images = self.features_extractor.coordinates, int(self.action_space.n)
        hidden = self.net_arch[-1]
        layers = create_mlp(self.features_dim, hidden, self.net_arch[:-1], self.activation_fn)
        head = GalleryHead(hidden + coordinates, coordinates, images, sharpness, valued=True)
        self.q_net = PassingLayers(nn.Sequential(*layers, self.activation_fn()), head)  # type: ignore[assignment]


class CandidateDQN(DQNPolicy):
    """Of DQN.

    Args:
        sharpness: initial weight of each squared coordinate in the action values.
    """

    def __init__(self, *args: Any, sharpness: float = 0.01, **keywords: Any) -> None:
        self.sharpness = sharpness
        super().__init__(*args, **keywords)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "sharpness": self.sharpness}

    def make_q_net(self) -> CandidateQNetwork:
        """A network for the action values."""
        keywords = self._update_features_extractor(self.net_args, features_extractor=None)
        return CandidateQNetwork(sharpness=self.sharpness, **keywords).to(self.device)

    def scores(self, observation: PyTorchObs, gallery: Tensor) -> Tensor:
        """(B, N) action values of images with coordinates (N, K)."""
        network = self.q_net.q_net
        assert isinstance(network, PassingLayers)
        features = self.q_net.extract_features(observation, self.q_net.features_extractor)
        return network.head.score(network.latent(features), gallery)
