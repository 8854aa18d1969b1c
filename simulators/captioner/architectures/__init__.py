"""The captioners by name."""

from __future__ import annotations

import torch

from dialog_env.simulators.captioner.architectures.adaptive import AdaptiveAttention
from dialog_env.simulators.captioner.architectures.attend_in import AttendIn, AttendIn2
from dialog_env.simulators.captioner.architectures.network import Captioner, Sizes
from dialog_env.simulators.captioner.architectures.show_attend_tell import ShowAttendTell
from dialog_env.simulators.captioner.architectures.show_tell import MaxoutShowTell, ShowTell
from dialog_env.simulators.captioner.architectures.topdown import TopDown

ARCHITECTURES: dict[str, type[Captioner]] = {
    network.architecture: network
    for network in (ShowTell, MaxoutShowTell, ShowAttendTell, AttendIn, AttendIn2, AdaptiveAttention, TopDown)
}
"""`show_attend_tell` is the paper's and the default."""


def find_architecture(name: str) -> type[Captioner]:
    """The class of an architecture; ValueError for an unknown name."""
    if name not in ARCHITECTURES:
        raise ValueError(f"no captioner architecture {name!r}; known are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def weightless_captioner(architecture: str, sizes: Sizes) -> Captioner:
    """A captioner in evaluation mode without memory for weights; ValueError for an unknown architecture."""
    # The usual way would draw weights from the global generator.
    with torch.device("meta"):
        return find_architecture(architecture)(sizes).eval()


def empty_captioner(architecture: str, sizes: Sizes) -> Captioner:
    """A captioner in evaluation mode whose weights are yet to be written; ValueError for an unknown architecture."""
    return weightless_captioner(architecture, sizes).to_empty(device="cpu")


def make_captioner(architecture: str, sizes: Sizes, generator: torch.Generator) -> Captioner:
    """A new captioner in evaluation mode, its weights drawn from `generator`.

    Raises:
        ValueError: an unknown architecture, or sizes that it cannot have.
    """
    network = empty_captioner(architecture, sizes)
    network.initialize(generator)
    return network
