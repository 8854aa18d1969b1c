"""Batch normalisation is folded where that changes nothing, and left where it would."""

import pytest
import torch
from torch import nn

from dialog_env.catalog.sources.folding import Pointwise, folded


def normalisation(channels):
    """With statistics and weights that are not those it is made with."""
    made = nn.BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(channels)
    for part in (made.weight, made.running_var):
        part.data = 0.5 + torch.rand(channels, generator=generator)
    for part in (made.bias, made.running_mean):
        part.data = torch.randn(channels, generator=generator)
    return made


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Conv2d(6, 6, 3, groups=6)
        for layer in (self.first, self.second):
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
        self.normal, self.other = normalisation(6), normalisation(6)

    def forward(self, pixels):
        return self.other(self.second(torch.relu(self.normal(self.first(pixels)))))


class Shared(Plain):
    """What one convolution gives is used beside its normalisation."""

    def forward(self, pixels):
        seen = self.first(pixels)
        return self.other(self.second(self.normal(seen) + seen))


class Twice(Plain):
    """One normalisation stands behind two convolutions."""

    def forward(self, pixels):
        return self.normal(self.second(self.normal(self.first(pixels))))


class Residual(Plain):
    """What a rectifier reads is used again, so that it may not be written over."""

    def __init__(self):
        super().__init__()
        self.rectifier, self.third = nn.ReLU(), nn.Conv2d(6, 6, 1)

    def forward(self, pixels):
        seen = self.normal(self.first(pixels))
        return self.third(self.other(self.second(self.rectifier(seen)))).mean() + seen


class Asking(Plain):
    """Asks its normalisation for something."""

    def forward(self, pixels):
        return super().forward(pixels) * self.normal.eps


PICTURE = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("kind", "left"), [(Plain, 0), (Shared, 2), (Twice, 2), (Asking, 2), (Residual, 0)])
@torch.no_grad()
def test_a_folded_network_gives_the_same(kind, left):
    network = kind().eval()
    made = folded(network, lambda some: some(PICTURE))
    used = [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(used) == left
    if kind is Residual:
        assert not made.rectifier.inplace
        assert isinstance(made.third, Pointwise)
    others = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    expected = network(others)
    assert float((made(others) - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 2
