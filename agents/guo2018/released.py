"""Weights under the names of the released code: `emb_txt`, `cnn_txt`, `bn2`, `fc_txt`, `img_linear`, …"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dialog_env.agents.guo2018.networks import STATE_SIZE, DialogNetwork, empty_network
from dialog_env.agents.guo2018.supervised import Supervised, SupervisedSettings
from dialog_env.io.atomic import file_digest
from dialog_env.io.checkpoint import MOST_BYTES, read_tensors
from dialog_env.io.pickles import read_state_dict
from dialog_env.io.reading import one_sentence, read_bytes
from dialog_env.world.vocabulary import Vocabulary

WHAT = "state dict of tensors"
REMEDY = "give the state dict of a released dialog model"
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
            raise ValueError(f"the released weights lack {name!r}; {REMEDY}")
        if weights[name].ndim != 2 or not weights[name].is_floating_point():
            raise ValueError(f"released weight {name!r} is no matrix of real numbers; {REMEDY}")
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
            raise ValueError(f"the released weights lack {name!r}; {REMEDY}")
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


def agent_from_released(path: str | Path, vocabulary: Vocabulary, *, seed: int = 0, device: str = "cpu") -> Supervised:
    """A supervised agent with the weights in a file; its provenance (`trained`) holds the SHA-256 of that.

    Args:
        path: see `read_released`.
        vocabulary: that the weights were trained with.
        seed: of what it draws when it is trained on.
        device: where it lives.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, holds something else, or was trained with another number of words.
    """
    with one_sentence(path, "released dialog model", REMEDY):
        network = network_from_released(read_released(path), words=len(vocabulary))
    trained = {"released": {"file": Path(path).name, "sha256": file_digest(path)}}
    settings = SupervisedSettings(fusion=network.fusion_name)
    return Supervised(
        network,
        vocabulary,
        settings,
        dimensions=network.dimensions,
        seed=seed,
        device=device,
        trained=trained,
    )


def to_released(network: nn.Module) -> dict[str, Tensor]:
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
        ValueError: it is damaged, as far as its kind has checksums, or holds something else.
    """
    if Path(path).suffix == ".safetensors":
        return read_tensors(path, WHAT, REMEDY)[0]
    return read_state_dict(read_bytes(path, WHAT, REMEDY, limit=MOST_BYTES), path, WHAT, REMEDY)


def _ours(released: str) -> str:
    prefix, _, last = released.rpartition(".")
    return f"{PREFIXES[prefix]}.{last}"


def _turn(name: str, tensor: Tensor) -> Tensor:
    """Their two-dimensional convolution (512, 1, 2, 512) is ours in one dimension, (512, 512, 2)."""
    return tensor[:, 0].permute(0, 2, 1) if name == "cnn_txt.weight" else tensor
