"""Captioners that look at pooled features alone, once, before they speak."""

from __future__ import annotations

from torch import Tensor, nn

from dialog_env.simulators.captioner.architectures.cells import lstm_cell, maxout_cell
from dialog_env.simulators.captioner.architectures.network import (
    Captioner,
    EncodedPair,
    FirstLayers,
    RecurrentState,
    Sizes,
    given,
)


class ShowTell(Captioner):
    """Show and Tell (Vinyals et al., 2015): the images are the first word of an LSTM without bias."""

    architecture = "show_tell"
    gates = 4

    def __init__(self, sizes: Sizes, *, word_bias: bool = False) -> None:
        super().__init__(sizes, word_bias=word_bias)
        self.image = nn.Linear(2 * sizes.pooled, sizes.embedding)
        self.recurrent = nn.Linear(sizes.hidden, self.gates * sizes.hidden, bias=False)

    def first_layers(self) -> FirstLayers:
        """See `Captioner`."""
        return FirstLayers((self.image.weight, self.image.bias), None)

    def begin_projected(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """See `Captioner`."""
        _, state = self.step(self.words(given(pooled)), EncodedPair(), self.zero_state(len(given(pooled))))
        return EncodedPair(), state

    def step(self, words: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """See `Captioner`."""
        hidden, cell = lstm_cell(words + self.recurrent(state[0]), state[1])
        return hidden, (hidden, cell)


class MaxoutShowTell(ShowTell):
    """`fc` (Rennie et al., 2017): Show and Tell with maxout instead of tanh, and with biases."""

    architecture = "fc"
    gates = 5

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, word_bias=True)

    def step(self, words: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """See `Captioner`."""
        hidden, cell = maxout_cell(words + self.recurrent(state[0]), state[1])
        return hidden, (hidden, cell)
