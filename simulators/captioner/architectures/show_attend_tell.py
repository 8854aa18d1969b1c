"""Show, Attend and Tell, the paper's captioner."""

from __future__ import annotations

from torch import Tensor, nn

from dialog_env.simulators.captioner.architectures.cells import attend, lstm_cell
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


class ShowAttendTell(Captioner):
    """Show, Attend and Tell (Xu et al., 2015): pooled features are the first state, each word mixes the regions."""

    architecture = "show_attend_tell"
    needs_regions = True
    gates = 4

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, word_bias=False)
        width = self.gates * sizes.hidden
        self.start = nn.Linear(2 * sizes.pooled, sizes.hidden)
        self.keys = nn.Linear(2 * sizes.regions, sizes.attention)
        self.context = nn.Linear(2 * sizes.regions, width, bias=False)
        # The query and the recurrent part of the gates read the same state: one product gives both.
        self.recurrent = nn.Linear(sizes.hidden, width + sizes.attention, bias=False)
        self.score = nn.Linear(sizes.attention, 1, bias=False)

    def first_layers(self) -> FirstLayers:
        """See `Captioner`."""
        return FirstLayers((self.start.weight, self.start.bias), keys_beside_values(self.keys, self.context))

    def begin_projected(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        keys, values, projected = split_keys(given(regions), self.keys, self.context)
        return EncodedPair(keys, values, projected=projected), (given(pooled), given(pooled))

    def begin(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        # A few mixtures cost less to project than all regions of a pair seen once.
        pooled, regions = map(given, self.check(pooled, regions))
        hidden = self.start(pooled)
        return EncodedPair(2 * self.keys(regions), regions), (hidden, hidden)

    def step(self, words: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """See `Captioner`."""
        gates, query = self.recurrent(state[0]).split([words.shape[1], self.sizes.attention], dim=1)
        mixture = attend(given(encoded.keys), given(encoded.values), query, self.score.weight, encoded.room)
        context = mixture if encoded.projected else self.context(mixture)
        hidden, cell = lstm_cell((words + gates).add_(context), state[1])
        return hidden, (hidden, cell)
