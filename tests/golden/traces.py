"""The recorded numbers of the released code, and the user whose answers were recorded with them.

`golden.h5` beside this file is a cut of the two files of the reference data. It leaves out the first weights of the
dialog network, which are those that PyTorch drew from seed 0 and are drawn here again, and most rows of one large
array. Where the reference data is present, a test compares the cut with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dialog_env.agents.guo2018.networks import DialogNetwork
from dialog_env.agents.guo2018.released import network_from_released, to_released
from dialog_env.catalog import Catalog, Contents
from dialog_env.world.vocabulary import Vocabulary

CUT = Path(__file__).with_name("golden.h5")

RELATIVE, FLOOR = 1e-4, 5e-6
"""How far numbers may be from the recorded ones: a share of them, and at least so much. Sums in single precision are
rounded by the order that they are made in, which hangs on the threads; numbers near 0 have no share to speak of."""


class TableUser:
    """Answers candidate a and target u with row (31a + 17u) mod 997 of a table."""

    def __init__(self, gallery: Catalog, table: Tensor) -> None:
        self.id = "table-1"
        self.vocabulary = Vocabulary((*(f"word{number}" for number in range(59)), "UNK"))
        self.gallery_fingerprint = gallery.fingerprint
        self.table = table

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        return self.table[(31 * candidates + 17 * targets) % len(self.table)]


def initial_weights() -> dict[str, Tensor]:
    """The first weights of the dialog network, under their released names, as PyTorch drew them from seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        embedding = nn.Embedding(61, 512)
        nn.Conv2d(1, 512, (2, 512))  # drawn, and replaced by a second one at the end
        layers: dict[str, nn.Module] = {
            "emb_txt": embedding,
            "fc_txt": nn.Linear(512, 256, bias=False),
            "img_linear": nn.Linear(256, 256),
            "fc_joint": nn.Linear(256, 256, bias=False),
            "rnn": nn.GRUCell(256, 256, bias=False),
            "head": nn.Linear(256, 256, bias=False),
            "cnn_txt": nn.Conv2d(1, 512, (2, 512)),
            "bn2": nn.BatchNorm1d(512),
        }
    return {f"{name}.{key}": tensor for name, layer in layers.items() for key, tensor in layer.state_dict().items()}


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and numbers, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.atleast_1d(weights[name].numpy()).tobytes())
    return digest.hexdigest()


class Golden:
    """The recorded numbers of the dialog code; skips the test where PyTorch draws other first weights than it did."""

    def __init__(self) -> None:
        self.file = h5py.File(CUT, "r")["dialog_manager"]
        features = self.file["catalog_features"][:]
        ids = np.array([f"image-{number}" for number in range(len(features))], dtype=object)
        self.gallery = Catalog(Contents("golden", ids, features))
        self.user = TableUser(self.gallery, self.tensor("feedback_table").long())

    def tensor(self, name: str) -> Tensor:
        values = torch.from_numpy(np.asarray(self.file[name][()]))
        return values if values.is_floating_point() else values.long()

    def attribute(self, group: str, name: str) -> Any:
        return self.file[group].attrs[name].item()

    def network(self) -> DialogNetwork:
        """The dialog network with the recorded initial weights."""
        weights = initial_weights()
        if digest_of(weights) != self.file.attrs["initial_weights_sha256"]:
            pytest.skip(f"PyTorch {torch.__version__} draws other weights from seed 0 than were recorded")
        return network_from_released(weights, words=60)

    def check_parameters(self, network: DialogNetwork, group: str) -> None:
        """The first 256 values of every parameter, but for the bias before BatchNorm, whose gradient is noise."""
        ours = to_released(network)
        recorded = self.file[f"{group}/parameters_after"]
        assert len(recorded) == 12
        for name in recorded:
            if name != "cnn_txt.bias":
                there = torch.from_numpy(recorded[name][:])
                here = ours[name].detach().reshape(-1)[:256]
                assert torch.allclose(here, there, rtol=RELATIVE, atol=FLOOR), (name, (here - there).abs().max())
