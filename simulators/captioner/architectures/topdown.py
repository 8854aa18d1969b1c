"""Bottom-up and top-down attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dialog_env.simulators.captioner.architectures.cells import attend, lstm_cell
from dialog_env.simulators.captioner.architectures.network import (
    Captioner,
    EncodedPair,
    FirstLayers,
    RecurrentState,
    Sizes,
    given,
)


class TopDown(Captioner):
    """`topdown` (Anderson et al., 2018): one LSTM looks, a second one speaks.

    Its state: hidden of the looking LSTM, of the speaking LSTM, then their cells.
    """

    architecture = "topdown"
    needs_regions = True
    gates = 4
    rectified = True

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        hidden = sizes.hidden
        self.image = nn.Linear(2 * sizes.pooled, hidden)
        self.regions = nn.Linear(2 * sizes.regions, hidden)
        self.image_gates = nn.Linear(hidden, 4 * hidden, bias=False)
        self.looking = nn.Linear(2 * hidden, 4 * hidden, bias=False)
        self.keys = nn.Linear(hidden, sizes.attention)
        self.query = nn.Linear(hidden, sizes.attention, bias=False)
        self.score = nn.Linear(sizes.attention, 1, bias=False)
        self.speaking = nn.Linear(3 * hidden, 4 * hidden)

    def first_layers(self) -> FirstLayers:
        """See `Captioner`."""
        return FirstLayers((self.image.weight, self.image.bias), (self.regions.weight, self.regions.bias))

    def begin_projected(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        values = self.dropout(torch.relu(given(regions)))
        gates = self.image_gates(self.dropout(torch.relu(given(pooled))))
        return EncodedPair(2 * self.keys(values), values, gates), self.zero_state(len(values), 4)

    def step(self, words: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """See `Captioner`."""
        looked, spoken, looking_cell, speaking_cell = state
        gates = words + given(encoded.gates) + self.looking(torch.cat([spoken, looked], dim=1))
        looked, looking_cell = lstm_cell(gates, looking_cell)
        mixture = attend(
            given(encoded.keys), given(encoded.values), self.query(looked), self.score.weight, encoded.room
        )
        gates = self.speaking(torch.cat([mixture, looked, spoken], dim=1))
        spoken, speaking_cell = lstm_cell(gates, speaking_cell)
        return spoken, (looked, spoken, looking_cell, speaking_cell)
