"""The recorded numbers of the released dialog code, and the user whose answers were recorded with them."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from agents.networks import DialogNetwork
from agents.released import network_from_released, to_released
from dialog_env.catalog import Catalog, Contents
from dialog_env.vocabulary import Vocabulary
from tests.conftest import shared_path


class TableUser:
    """Answers candidate a and target u with row (31a + 17u) mod 997 of a table."""

    def __init__(self, gallery: Catalog, table: Tensor) -> None:
        self.id = "table-1"
        self.vocabulary = Vocabulary((*(f"word{number}" for number in range(59)), "UNK"))
        self.gallery_fingerprint = gallery.fingerprint
        self.table = table

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        return self.table[(31 * candidates + 17 * targets) % len(self.table)]


class Golden:
    """The file `golden/dialog_manager.h5` of the reference data; skips the test where there is none."""

    def __init__(self) -> None:
        self.file = h5py.File(shared_path("golden", "dialog_manager.h5"), "r")
        features = self.file["catalog_features"][:]
        ids = np.array([f"image-{number}" for number in range(len(features))], dtype=object)
        self.gallery = Catalog(Contents("golden", ids, features))
        self.user = TableUser(self.gallery, self.tensor("feedback_table").long())

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.file[name][()]))

    def attribute(self, group: str, name: str) -> Any:
        return self.file[group].attrs[name].item()

    def network(self) -> DialogNetwork:
        """The dialog network with the recorded initial weights."""
        weights = {name: self.tensor(f"initial_weights/{name}") for name in self.file["initial_weights"]}
        return network_from_released(weights, words=60)

    def check_parameters(self, network: DialogNetwork, group: str, tolerance: float = 1e-4) -> None:
        """The first 256 values of every parameter, but for the bias before BatchNorm, whose gradient is noise."""
        ours = to_released(network)
        recorded = self.file[f"{group}/parameters_after"]
        assert len(recorded) == 12
        for name in recorded:
            if name != "cnn_txt.bias":
                there = torch.from_numpy(recorded[name][:])
                here = ours[name].detach().reshape(-1)[:256]
                assert torch.allclose(here, there, rtol=tolerance, atol=1e-6), (name, (here - there).abs().max())
