"""The statistics of BatchNorm, taken from many dialogs at once.

BatchNorm's own running averages look back on ten batches. A word that occurs once in a thousand sentences moves a few
channels that are constant otherwise; whether it fell into those ten batches decides by what such a channel is divided
in evaluation. On 5,227 photographs the validation percentile jumped between 82 and 93 from one epoch to the next for
that reason alone, and stood at 94 with statistics of 16 batches of dialogs.
"""

from __future__ import annotations

import torch
from torch import nn

from dialog_env.agents.guo2018.networks import Network
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking

LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@torch.no_grad()
def recalibrate_batchnorm(
    network: Network, world: Dialog, generator: torch.Generator, batches: int, batch: int
) -> None:
    """Sets the running statistics of every BatchNorm layer to the means over fresh greedy dialogs; no weight changes.

    A network without such a layer is left alone.

    Args:
        network: it is left in evaluation mode.
        world: where the dialogs are held.
        generator: draws targets and first candidates.
        batches: how many batches of dialogs; 0 keeps the running averages.
        batch: dialogs in each.
    """
    layers = [module for module in network.modules() if isinstance(module, LAYERS)]
    network.eval()
    if not batches or not layers:
        return
    network.train()
    momenta, size = [layer.momentum for layer in layers], max(2, batch)
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # averages all batches alike
    gallery = EmbeddedGallery(network.image(world.features))
    for _ in range(batches):
        observation = world.reset(*world.draw(generator, size))
        hidden = network.begin(size)
        while not bool(world.over().all()):
            state, hidden = network(observation.features, observation.feedback, hidden)
            observation = world.show(QueryRanking(state, gallery).top(1)[:, 0])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
