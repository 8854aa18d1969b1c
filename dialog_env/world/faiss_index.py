"""Nearest images among millions by an index of faiss (`pip install faiss-cpu`); ranks stay exact."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

ADDED_AT_ONCE = 65_536
"""Images, so that a memory-mapped gallery is never read as a whole."""
TRAINED_ON = 40
"""Images a cell."""


class FaissIndex:
    """An inverted file over the image embeddings, kept in half precision: proposes images, does not rank them.

    Give it to `EmbeddedGallery(embeddings, index)`: `top` of a ranking then compares the images that the index
    proposes, at their exact costs, and may miss one that it does not; ranks of targets compare with every image as
    ever. It pays from about a million images on; below that the exact search is as fast.

    Args:
        embeddings: (N, D) float32 on the CPU; a memory-mapped tensor is read in pieces.
        cells: into which the images are divided; 4 sqrt(N) where None.
        probes: cells looked into for a query; more find more and take longer.

    Raises:
        ValueError: embeddings that are not on the CPU, or cells and probes that cannot be.
        ImportError: faiss is not installed.
    """

    def __init__(self, embeddings: Tensor, *, cells: int | None = None, probes: int = 32) -> None:
        images, dimensions = embeddings.shape
        if embeddings.device.type != "cpu":
            raise ValueError(f"faiss-cpu searches on the CPU and the embeddings are on {embeddings.device}; move them")
        cells = min(images, round(4 * math.sqrt(images))) if cells is None else cells
        if probes < 1 or not 1 <= cells <= images:
            raise ValueError(
                f"cells is {cells} and probes is {probes} for {images} images; give 1 or more, and no more cells"
            )
        faiss = _faiss()
        self._assignment = faiss.IndexFlatL2(dimensions)
        half = faiss.ScalarQuantizer.QT_fp16
        self._index = faiss.IndexIVFScalarQuantizer(self._assignment, dimensions, cells, half, faiss.METRIC_L2)
        self._index.nprobe = min(probes, cells)
        stride = max(1, images // (TRAINED_ON * cells))
        self._index.train(np.ascontiguousarray(embeddings[::stride].numpy()))
        for piece in embeddings.split(ADDED_AT_ONCE):
            self._index.add(np.ascontiguousarray(piece.numpy()))

    def search(self, queries: Tensor, count: int) -> Tensor:
        """(B, K) positions of images that are likely to be the nearest, -1 where too few were found."""
        positions: Any = self._index.search(np.ascontiguousarray(queries.numpy()), count)[1]
        return torch.from_numpy(positions)


def _faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise ImportError("faiss is not installed; pip install faiss-cpu, or search without an index") from error
