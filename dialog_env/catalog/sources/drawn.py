"""Source `synthetic`: drawn women's shoes, of any size and seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dialog_env.catalog import synthetic
from dialog_env.catalog.catalog import Catalog, Contents
from dialog_env.catalog.images import DrawnImages
from dialog_env.catalog.space import drawn_space
from dialog_env.catalog.synthetic.backbone import LARGEST_REGION

PICTURE_SIDE = 96
LARGEST_CODE = 127


@dataclass
class Drawn:
    """Shoes number 0..size-1 of a seed; deterministic, nothing to download.

    Args:
        output: the catalogue file to write.
        size: how many shoes; a larger catalogue extends a smaller one.
        seed: which shoes.
        device: where the feature network runs: cpu, by default, since it gives the same catalogue everywhere, or cuda.
        batch: images at a time.
    """

    output: Path
    size: int = field(default=4000, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    device: str = field(default="cpu", kw_only=True)
    batch: int = field(default=64, kw_only=True)

    def build(self) -> Catalog:
        """Draws, extracts and writes; ValueError for fewer shoes than make three splits or a negative seed."""
        Catalog(drawn_contents(self.size, self.seed, self.device, self.batch)).write(self.output)
        return Catalog.open(self.output)


def drawn_contents(size: int, seed: int, device: str = "cpu", batch: int = 64) -> Contents:
    """A catalogue of `size` drawn shoes: float16 pooled features, region features as uint8 with a scale."""
    if seed < 0 or batch < 1:
        raise ValueError(f"seed {seed} and batch {batch} must be at least 0 and 1")
    splits = synthetic.splits(size)
    pooled: list[NDArray[np.float16]] = []
    regions: list[NDArray[np.float32]] = []
    with tqdm(total=size, desc="drawing", unit="shoe", disable=None) as bar:
        for start in range(0, size, batch):
            indices = range(start, min(start + batch, size))
            pictures = np.stack([synthetic.draw(seed, index, size=PICTURE_SIDE) for index in indices])
            batch_pooled, batch_regions = synthetic.extract(pictures, device)
            pooled.append(batch_pooled.astype(np.float16))
            regions.append(batch_regions)
            bar.update(len(indices))
    codes, scale = quantise(np.concatenate(regions))
    return Contents(
        name="synthetic" if (size, seed) == (4000, 0) else f"synthetic:{size}:{seed}",
        ids=np.array([f"synthetic-{seed}-{index:06d}" for index in range(size)], dtype=object),
        features=np.concatenate(pooled),
        regions=codes,
        region_scale=scale,
        attributes=synthetic.attribute_table(seed, size),
        splits=splits,
        images=DrawnImages(seed, (PICTURE_SIDE, PICTURE_SIDE), synthetic.VERSION),
        provenance={
            "source": "synthetic",
            "size": size,
            "seed": seed,
            "drawing version": synthetic.VERSION,
            "backbone": {"name": "synthetic", "fingerprint": synthetic.backbone_fingerprint()},
        },
        space=drawn_space(synthetic.backbone_fingerprint()),
    )


def quantise(regions: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float]:
    """Region features, from 0 to the network's largest, as codes and the scale that brings them back.

    The scale does not depend on the values, so that a shoe has the same codes in every catalogue.
    """
    scale = LARGEST_REGION / LARGEST_CODE
    return np.clip(np.rint(regions / scale), 0, LARGEST_CODE).astype(np.uint8), scale
