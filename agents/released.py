"""Weights under the names of the released code: `emb_txt`, `cnn_txt`, `bn2`, `fc_txt`, `img_linear`, …"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import load_file
from torch import Tensor

from agents.networks import STATE_SIZE, DialogNetwork, empty_network

PREFIXES = {
    "emb_txt": "text.embedding",
    "cnn_txt": "text.convolution",
    "bn2": "text.normalisation",
    "fc_txt": "text.output",
    "img_linear": "image",
    "fc_joint": "fusion.joint",
    "rnn": "tracker",
    "head": "head",
}


def network_from_released(weights: Mapping[str, Tensor], *, words: int | None = None) -> DialogNetwork:
    """A network with the weights of a released checkpoint; its sizes are read off the weights.

    Args:
        weights: released name to tensor.
        words: V of the vocabulary that it is to be used with; unchecked where None.

    Raises:
        ValueError: a missing or unknown weight, one of another shape, NaN, or another vocabulary size.
    """
    for name in ("img_linear.weight", "emb_txt.weight", "fc_joint.weight"):
        if name not in weights:
            raise ValueError(f"the released weights lack {name!r}; give the state dict of a released dialog model")
    known = weights["emb_txt.weight"].shape[0] - 1
    if words is not None and words != known:
        raise ValueError(
            f"the released weights know {known} words and the vocabulary has {words}; "
            "give the vocabulary they were trained with"
        )
    fusion = "sum" if weights["fc_joint.weight"].shape[1] == STATE_SIZE else "concatenation"
    network = empty_network(weights["img_linear.weight"].shape[1], known, fusion)
    expected = to_released(network)
    for name, tensor in expected.items():
        if name not in weights:
            raise ValueError(f"the released weights lack {name!r}; give the state dict of a released dialog model")
        if weights[name].shape != tensor.shape:
            raise ValueError(
                f"released weight {name!r} has shape {tuple(weights[name].shape)}, not {tuple(tensor.shape)}; "
                "give the state dict of a released dialog model of 256 dimensions"
            )
        if not bool(torch.isfinite(weights[name]).all()):
            raise ValueError(f"released weight {name!r} has NaN or infinite values; give another checkpoint")
    unknown = sorted(set(weights) - set(expected))
    if unknown:
        raise ValueError(f"the released weights have {unknown[0]!r}, which no dialog model has; leave it out")
    network.load_state_dict({_ours(name): _turn(name, weights[name]) for name in expected})
    return network


def to_released(network: DialogNetwork) -> dict[str, Tensor]:
    """The network's weights under their released names and in their released shapes."""
    theirs = {ours: released for released, ours in PREFIXES.items()}
    renamed = {}
    for name, tensor in network.state_dict().items():
        prefix, _, last = name.rpartition(".")
        released = f"{theirs[prefix]}.{last}"
        renamed[released] = tensor.permute(0, 2, 1)[:, None] if released == "cnn_txt.weight" else tensor
    return renamed


def read_released(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a PyTorch state dict, of which nothing but tensors is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no released checkpoint at {path}; give the path of its state dict")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a state dict of tensors ({error}); give a released dialog model") from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{path} holds more than named tensors; give the state dict of a released dialog model")
    return dict(loaded)


def _ours(released: str) -> str:
    prefix, _, last = released.rpartition(".")
    return f"{PREFIXES[prefix]}.{last}"


def _turn(name: str, tensor: Tensor) -> Tensor:
    """Their two-dimensional convolution (512, 1, 2, 512) is ours in one dimension, (512, 512, 2)."""
    return tensor[:, 0].permute(0, 2, 1) if name == "cnn_txt.weight" else tensor
