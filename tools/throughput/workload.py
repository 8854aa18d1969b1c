"""What the benchmark works on: random features, and a captioner with random weights that speaks sixteen words."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from dialog_env.catalog import Catalog, Contents
from dialog_env.simulators import make_simulator
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import Vocabulary

GIB = 1 << 30


@dataclass(frozen=True)
class Workload:
    """Sizes of what is measured; the defaults are those of the figures to reach.

    Args:
        images: N of the gallery with regions.
        regions, channels: R and C of its region features; its pooled features have C dimensions too.
        hidden: width of the captioner's states, words and attention.
        words: V.
        batch: dialogs in an update, pairs in a literal call, queries ranked at once.
        literal_calls: how often a literal call is measured before and after what it is compared with.
        feedback: batches of pairs.
        dialogs: of the vector environments that are compared.
        many_dialogs: at which the bookkeeping is measured.
        galleries: sizes for the growth of the cost of ranking; the first is compared with a loop.
        dimensions: of the embeddings ranked.
        gpu_dialogs: held at once on a graphics card.
        repeats: of which the fastest counts.
        patience: seconds that short work goes on being repeated: other load must have a chance to leave it alone.
        compiled: whether `torch.compile` is tried, which takes a C++ compiler.
        seed: of all random numbers.
    """

    images: int = 10_000
    regions: int = 49
    channels: int = 2048
    hidden: int = 512
    words: int = 1000
    batch: int = 128
    literal_calls: int = 3
    feedback: tuple[int, ...] = (1, 16, 128, 1024)
    dialogs: int = 256
    many_dialogs: int = 1024
    galleries: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    dimensions: int = 256
    gpu_dialogs: int = 4096
    repeats: int = 5
    patience: float = 8.0
    compiled: bool = True
    seed: int = 0


FULL = Workload()
SMALL = replace(
    FULL,
    images=60,
    regions=4,
    channels=8,
    hidden=8,
    words=20,
    batch=8,
    feedback=(1, 16),
    dialogs=8,
    many_dialogs=16,
    galleries=(500, 1000, 2000),
    dimensions=16,
    gpu_dialogs=16,
    repeats=2,
    patience=0.0,
    compiled=False,
    literal_calls=1,
)
"""Seconds instead of minutes; its numbers say nothing."""


class Material:
    """The gallery, the captioner as released weights, and the captioner as the user of that gallery."""

    def __init__(self, workload: Workload, device: str) -> None:
        self.workload = workload
        self.device = device

    def on(self, device: str) -> Material:
        """The same gallery, which takes a while to draw, for another device."""
        other = Material(self.workload, device)
        other.__dict__["gallery"] = self.gallery  # where `cached_property` keeps it
        return other

    @cached_property
    def gallery(self) -> Catalog:
        """N random images; region features are positive, as behind a ReLU, and kept in half precision."""
        load = self.workload
        random = np.random.default_rng(load.seed)
        regions = np.empty((load.images, load.regions, load.channels), dtype=np.float16)
        pooled = np.empty((load.images, load.channels), dtype=np.float32)
        for start in range(0, load.images, 256):
            piece = regions[start : start + 256]
            drawn = np.maximum(random.standard_normal(piece.shape, dtype=np.float32), 0)
            piece[:] = drawn
            pooled[start : start + 256] = 3 * drawn.mean(axis=1)
        ids = np.array([f"random-{image}" for image in range(load.images)], dtype=object)
        return Catalog(Contents("random", ids, pooled, regions, fingerprint=f"random-{load.seed}-{load.images}"))

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """Of the captioner, under their released names."""
        load = self.workload
        weights: dict[str, torch.Tensor] = literal("captioner").random_released(
            "show_attend_tell",
            torch.Generator().manual_seed(load.seed),
            pooled=load.channels,
            regions=load.channels,
            hidden=load.hidden,
            words=load.words,
        )
        return weights

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """V words."""
        return Vocabulary((*(f"word{number}" for number in range(1, self.workload.words)), "UNK"))

    @cached_property
    def user(self) -> UserSimulator:
        """The captioner, all images kept."""
        load = self.workload
        captioners = import_module("dialog_env.simulators.captioner")
        network = captioners.import_released(self.weights, "show_attend_tell")
        kept = 2 * 4 * load.images * load.hidden * (1 + 5 * load.regions) + GIB
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "captioner.safetensors")
            captioners.save_captioner(path, network, self.vocabulary)
            return make_simulator(f"captioner:{path}", self.gallery, device=self.device, memory_limit=kept)


def literal(name: str) -> ModuleType:
    """The literal implementation in `tests/literal_<name>.py`; ValueError where the tests are not at hand."""
    try:
        return import_module(f"tests.literal_{name}")
    except ImportError as error:
        raise ValueError(
            f"the benchmark compares with tests/literal_{name}.py, which is not at hand ({error}); "
            "run it in a checkout of the repository"
        ) from error


def fields_of(load: Workload) -> dict[str, Any]:
    """The sizes, JSON-able."""
    return {name: getattr(load, name) for name in load.__dataclass_fields__}
