"""From a dialog to the vector that policies and critics work on."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional

from dialog_env.world.directions import Directions

WORD_SIZE = 64
TEXT_SIZE = 128
TURN_SIZE = 128


class DialogExtractor(BaseFeaturesExtractor):
    """Embeds the words of each turn and joins them with the candidate and the turn.

    It takes observations of `DialogRetrieval-v0`, or dialogs so far as `DialogHistoryVector` gives them. The last
    K columns of its output are the coordinates of the image shown last.

    Args:
        observation_space: with image features, tokens and turn, and a mask where there is a history.
        words: V, the size of the vocabulary.
        directions: K, main directions of the gallery in which images are seen.
    """

    mean: Tensor
    axes: Tensor
    spread: Tensor

    def __init__(self, observation_space: spaces.Dict, words: int, directions: int) -> None:
        turn = observation_space["turn"]
        assert isinstance(turn, spaces.Discrete)
        remembers = "mask" in observation_space.spaces
        own = Directions.unknown(observation_space["image"].shape[-1], directions)  # type: ignore[index]
        self.coordinates = len(own.spread)
        super().__init__(observation_space, int(turn.n) + TURN_SIZE * (1 + remembers) + self.coordinates)
        for name in ("mean", "axes", "spread"):
            self.register_buffer(name, getattr(own, name))
        self.words = nn.Embedding(words + 1, WORD_SIZE)
        self.first = nn.Linear(WORD_SIZE, TEXT_SIZE)
        self.second = nn.Linear(WORD_SIZE, TEXT_SIZE, bias=False)
        self.turn = nn.Linear(TEXT_SIZE + 2 * self.coordinates, TURN_SIZE)

    @property
    def directions(self) -> Directions:
        """The directions in which images are seen."""
        return Directions(self.mean, self.axes, self.spread)

    def set_directions(self, directions: Directions) -> None:
        """Takes the directions of a gallery."""
        for name in ("mean", "axes", "spread"):
            getattr(self, name).copy_(getattr(directions, name))

    def read(self, tokens: Tensor) -> Tensor:
        """(M, TEXT_SIZE) sums of what the pairs of neighbouring words in sentences (M, L) say.

        Sentences are made of few phrases, so each pair is worked out once however often it occurs.
        """
        size = self.words.num_embeddings
        pairs, where = (tokens[:, :-1] * size + tokens[:, 1:]).unique(return_inverse=True)
        left, right = self.words(pairs // size), self.words(pairs % size)
        said = functional.relu(self.first(left) + self.second(right)) * (pairs > 0)[:, None]
        return functional.embedding_bag(where, said, mode="sum")

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """(B, features_dim)."""
        image, tokens = observations["image"], observations["feedback"].long()
        when = observations["turn"].flatten(1)  # one-hot, by Stable-Baselines3
        if "mask" not in observations:
            here = self.directions.coordinates(image)
            now = functional.relu(self.turn(torch.cat([self.read(tokens), here, torch.zeros_like(here)], dim=1)))
            return torch.cat([when, now, here], dim=1)
        used = observations["mask"] > 0  # (B, S)
        last = used.sum(dim=1).clamp(min=1) - 1
        rows = torch.arange(len(last), device=last.device)
        whose, _ = used.nonzero(as_tuple=True)
        places = self.directions.coordinates(image)  # (B, S, K)
        here = places[rows, last]
        seen = places[used]  # (B, S, K) -> (M, K), the turns that there were
        turns = functional.relu(self.turn(torch.cat([self.read(tokens[used]), seen, seen - here[whose]], dim=1)))
        count = used.sum(dim=1)
        share = turns / count[whose, None]
        together = turns.new_zeros(len(last), TURN_SIZE).index_add(0, whose, share)
        now = turns[count.cumsum(dim=0) - 1]
        return torch.cat([when, now, together, here], dim=1)
