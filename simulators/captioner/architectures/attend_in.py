"""Captioners whose attention enters only the transform of the cell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dialog_env.simulators.captioner.architectures.cells import attend, maxout_cell
from dialog_env.simulators.captioner.architectures.network import (
    Captioner,
    EncodedPair,
    FirstLayers,
    RecurrentState,
    Sizes,
    given,
    keys_beside_values,
    split_keys,
)


class AttendIn(Captioner):
    """`att2in` (Rennie et al., 2017): the mixture of regions feeds the two maxout transforms; starts at zero."""

    architecture = "att2in"
    needs_pooled = False
    needs_regions = True
    gates = 5

    def __init__(self, sizes: Sizes, *, values: int | None = None) -> None:
        super().__init__(sizes)
        values = values or 2 * sizes.regions
        self.keys = nn.Linear(values, sizes.attention)
        self.context = nn.Linear(values, 2 * sizes.hidden, bias=False)
        # The query and the recurrent part of the gates read the same state: one product gives both.
        self.recurrent = nn.Linear(sizes.hidden, self.gates * sizes.hidden + sizes.attention, bias=False)
        self.score = nn.Linear(sizes.attention, 1, bias=False)

    def first_layers(self) -> FirstLayers:
        """See `Captioner`."""
        return FirstLayers(None, keys_beside_values(self.keys, self.context))

    def begin_projected(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        keys, values, projected = split_keys(given(regions), self.keys, self.context)
        return EncodedPair(keys, values, projected=projected), self.zero_state(len(keys))

    def begin(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        # A few mixtures cost less to project than all regions of a pair seen once.
        regions = given(self.check(pooled, regions)[1])
        return EncodedPair(2 * self.keys(regions), regions), self.zero_state(len(regions))

    def step(self, words: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """See `Captioner`."""
        gates, query = self.recurrent(state[0]).split([words.shape[1], self.sizes.attention], dim=1)
        mixture = attend(given(encoded.keys), given(encoded.values), query, self.score.weight, encoded.room)
        context = mixture if encoded.projected else self.context(mixture)
        gates = words + gates + F.pad(context, (3 * self.sizes.hidden, 0))
        hidden, cell = maxout_cell(gates, state[1])
        return hidden, (hidden, cell)


class AttendIn2(AttendIn):
    """`att2in2`: `att2in` with rectified embeddings of words and regions."""

    architecture = "att2in2"
    rectified = True

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, values=sizes.hidden)
        self.regions = nn.Linear(2 * sizes.regions, sizes.hidden)

    def first_layers(self) -> FirstLayers:
        """See `Captioner`."""
        return FirstLayers(None, (self.regions.weight, self.regions.bias))

    def begin(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        return Captioner.begin(self, pooled, regions)

    def begin_projected(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        values = self.dropout(torch.relu(given(regions)))
        return EncodedPair(2 * self.keys(values), values), self.zero_state(len(values))
