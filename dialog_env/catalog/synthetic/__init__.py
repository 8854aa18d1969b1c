"""The synthetic catalogue: drawn women's shoes with known attributes, of any size and seed.

`draw` makes a picture, `attribute_table` the attributes that it shows; the features that retrieval works with
come from the pictures alone, through the network in `dialog_env.catalog.synthetic.backbone`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.synthetic.backbone import backbone_fingerprint, extract
from dialog_env.catalog.synthetic.drawing import DEFAULT_SIZE, VERSION, draw, render
from dialog_env.catalog.synthetic.grades import attribute_table, table_of
from dialog_env.catalog.synthetic.sampling import sample
from dialog_env.catalog.synthetic.shoe import Shoe

TRAIN_SHARE, VALIDATION_SHARE = 0.625, 0.125

__all__ = [
    "DEFAULT_SIZE",
    "VERSION",
    "Shoe",
    "attribute_table",
    "backbone_fingerprint",
    "draw",
    "extract",
    "render",
    "sample",
    "splits",
    "table_of",
]


def splits(size: int) -> dict[str, NDArray[np.int64]]:
    """Indices of the train, validation and test shoes of a catalogue: 2,500, 500 and 1,000 of 4,000.

    Shoes are independent of each other, so each split is a contiguous range.

    Raises:
        ValueError: fewer than 8 shoes, which leave a split empty.
    """
    if size < 8:
        raise ValueError(f"a catalogue of {size} shoes leaves a split empty; ask for 8 or more")
    first, second = int(size * TRAIN_SHARE), int(size * (TRAIN_SHARE + VALIDATION_SHARE))
    indices = np.arange(size, dtype=np.int64)
    return {"train": indices[:first], "validation": indices[first:second], "test": indices[second:]}
