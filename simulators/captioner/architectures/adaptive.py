"""Adaptive attention, which may look at what it has said instead of at the images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dialog_env.simulators.captioner.architectures.cells import scores
from dialog_env.simulators.captioner.architectures.network import (
    Captioner,
    EncodedPair,
    FirstLayers,
    RecurrentState,
    Sizes,
    given,
)


class AdaptiveAttention(Captioner):
    """`adaatt` (Lu et al., 2017): a sentinel made of the cell competes with the regions for attention.

    Words and states have the same size. Gates are in, forget, out, transform and sentinel, H each.
    """

    architecture = "adaatt"
    needs_regions = True
    gates = 5
    rectified = True

    def __init__(self, sizes: Sizes) -> None:
        if sizes.embedding != sizes.hidden:
            raise ValueError(
                f"adaatt mixes words and regions: embedding {sizes.embedding} and hidden {sizes.hidden} must be equal"
            )
        super().__init__(sizes)
        hidden, width = sizes.hidden, self.gates * sizes.hidden
        self.image = nn.Linear(2 * sizes.pooled, hidden)
        self.regions = nn.Linear(2 * sizes.regions, hidden)
        self.image_gates = nn.Linear(hidden, width, bias=False)
        self.recurrent = nn.Linear(hidden, width, bias=False)
        self.keys = nn.Linear(hidden, sizes.attention)
        self.sentinel = nn.Linear(hidden, hidden)
        self.sentinel_key = nn.Linear(hidden, sizes.attention)
        self.spoken = nn.Linear(hidden, hidden)
        self.query = nn.Linear(hidden, sizes.attention, bias=False)
        self.score = nn.Linear(sizes.attention, 1, bias=False)
        self.output = nn.Linear(hidden, hidden)

    def first_layers(self) -> FirstLayers:
        """See `Captioner`."""
        return FirstLayers((self.image.weight, self.image.bias), (self.regions.weight, self.regions.bias))

    def begin_projected(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        values = self.dropout(torch.relu(given(regions)))
        gates = self.image_gates(self.dropout(torch.relu(given(pooled))))
        return EncodedPair(2 * self.keys(values), values, gates), self.zero_state(len(values))

    def step(self, words: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """See `Captioner`."""
        gates = words + given(encoded.gates) + self.recurrent(state[0])
        hidden = self.sizes.hidden
        entering, forgetting, leaving = torch.sigmoid(gates[:, : 3 * hidden]).chunk(3, dim=1)
        transform, watching = gates[:, 3 * hidden :].chunk(2, dim=1)
        cell = forgetting * state[1] + entering * torch.tanh(transform)
        squashed = torch.tanh(cell)
        output = leaving * squashed
        sentinel = torch.sigmoid(watching) * squashed
        return self.look(encoded, self.dropout(output), self.dropout(sentinel)), (output, cell)

    def look(self, encoded: EncodedPair, output: Tensor, sentinel: Tensor) -> Tensor:
        """Output of the cell (B, H) and sentinel (B, H) -> output after attention (B, H)."""
        regions, values = given(encoded.keys), given(encoded.values)
        sentinel = self.dropout(torch.relu(self.sentinel(sentinel)))
        spoken = self.dropout(torch.tanh(self.spoken(output)))
        query = self.query(spoken)
        keys = 2 * self.sentinel_key(sentinel).unsqueeze(1)
        if self.training:
            compared = torch.tanh(torch.cat([keys, regions], dim=1) / 2 + query.unsqueeze(1))
            weighed = self.score(self.dropout(compared)).squeeze(2)
        else:
            # Two products spare a copy of all keys at every word.
            score = self.score.weight
            weighed = torch.cat([scores(keys, query, score), scores(regions, query, score, encoded.room)], dim=1)
        weights = torch.softmax(weighed, dim=1)  # (B, 1 + R)
        mixture = torch.bmm(weights[:, 1:].unsqueeze(1), values).squeeze(1) + weights[:, :1] * sentinel
        return torch.tanh(self.output(mixture + spoken))
