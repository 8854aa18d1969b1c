"""The feature network of the synthetic catalogue: a small convolutional network that sees only pixels.

Its weights are trained by `python -m tools.train_backbone` on drawn shoes of other seeds,
as an ImageNet network is trained on other photographs, and are shipped with the package.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

INPUT_SIZE = 96
POOLED_DIMENSIONS = 128
REGION_GRID = 5
REGION_CHANNELS = 64
PREPROCESSING = f"RGB {INPUT_SIZE}x{INPUT_SIZE}, (255 - value) / 255"
SQUEEZED = 32
LARGEST_REGION = 4.0
WEIGHTS = Path(__file__).with_name("backbone.safetensors")
FINGERPRINT = "47dec9843cf08e95a76a45632c1fd4b7570ccd6d543de5932ec11f19b00f69bb"
"""Of the shipped weights; `train_backbone` says what it must be for others. It is part of every drawn catalogue."""
LAYERS = (
    (3, 16, 2, 1),
    (16, 48, 2, 1),
    (48, 64, 1, 1),
    (64, 96, 2, 1),
    (96, 96, 1, 1),
    (96, REGION_CHANNELS, 2, 0),
)
"""(channels in, channels out, stride, padding) of each 3x3 convolution: 96 -> 48 -> 24 -> 24 -> 12 -> 12 -> 5."""


class DrawnBackbone(nn.Module):
    """Six convolutions to a map of regions, and a linear summary of the map.

    Args:
        normalised: whether batch normalisation follows each convolution, as it does in training; the shipped
            weights have it folded in, so that an answer does not depend on the batch.
    """

    def __init__(self, normalised: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, filters, stride, padding in LAYERS:
            convolution = nn.Conv2d(channels, filters, 3, stride, padding, bias=not normalised)
            weight = convolution.weight.detach().contiguous(memory_format=torch.channels_last)  # fastest on CPUs
            convolution.weight = nn.Parameter(weight)
            layers.append(convolution)
            if normalised:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(nn.ReLU())
        layers[-1] = nn.Hardtanh(0.0, LARGEST_REGION)
        self.convolutions = nn.Sequential(*layers)
        self.squeeze = nn.Conv2d(REGION_CHANNELS, SQUEEZED, 1)
        self.summary = nn.Linear(SQUEEZED * REGION_GRID * REGION_GRID, POOLED_DIMENSIONS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 96, 96, 3) uint8 -> pooled features (B, D) and region features (B, R, C), float32."""
        x = (255 - images.permute(0, 3, 1, 2).float()) / 255  # white background becomes the zero of the padding
        regions = self.convolutions(x)
        pooled = self.summary(torch.relu(self.squeeze(regions)).flatten(1))
        return pooled, regions.flatten(2).transpose(1, 2)  # (B, C, 5, 5) -> (B, R, C)


@lru_cache(maxsize=4)
def load_backbone(device: str = "cpu") -> DrawnBackbone:
    """The shipped network in evaluation mode.

    Raises:
        ValueError: a damaged weights file.
    """
    if backbone_fingerprint() != FINGERPRINT:
        raise ValueError(f"{WEIGHTS} is damaged: its fingerprint is not {FINGERPRINT[:12]}…; reinstall the package")
    network = DrawnBackbone()
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return network.eval().requires_grad_(False).to(device)


def extract(
    images: NDArray[np.uint8], device: str = "cpu", batch_size: int = 256
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features of pictures: pooled (B, 128) and regions (B, 25, 64), both float32, regions from 0 to 4.

    Pooled features are centred and scaled over drawn shoes so that their mean norm is about 1.

    Args:
        images: (B, 96, 96, 3) uint8 RGB.
        device: where the network runs.
        batch_size: pictures that are held on the device at a time.

    Raises:
        ValueError: pictures of another shape or type.
    """
    if images.ndim != 4 or images.shape[1:] != (INPUT_SIZE, INPUT_SIZE, 3) or images.dtype != np.uint8:
        raise ValueError(
            f"pictures of shape {images.shape} and type {images.dtype} do not fit the feature network; "
            f"give uint8 of shape (B, {INPUT_SIZE}, {INPUT_SIZE}, 3)"
        )
    network = load_backbone(device)
    pooled = np.empty((len(images), POOLED_DIMENSIONS), np.float32)
    regions = np.empty((len(images), REGION_GRID * REGION_GRID, REGION_CHANNELS), np.float32)
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        batch_pooled, batch_regions = network(torch.from_numpy(np.ascontiguousarray(images[rows])).to(device))
        pooled[rows], regions[rows] = batch_pooled.cpu().numpy(), batch_regions.cpu().numpy()
    return pooled, regions


def backbone_fingerprint(weights: Path | None = None) -> str:
    """SHA-256 (hex) of weights, the shipped ones where None, and the preprocessing."""
    return hashlib.sha256((weights or WEIGHTS).read_bytes() + PREPROCESSING.encode()).hexdigest()
