"""From a manifest of photographs to a catalogue: check the pictures, extract, reduce, write."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dialog_env.catalog.catalog import Catalog, Contents
from dialog_env.catalog.images import EncodedImages, decode_picture
from dialog_env.catalog.sources.batches import Batches
from dialog_env.catalog.sources.features import VisionBackbone, extract
from dialog_env.catalog.sources.manifest import Manifest
from dialog_env.catalog.sources.photo_grades import measure, scale
from dialog_env.catalog.sources.reduction import Projection, reduce_regions, unit_rows
from dialog_env.io.reading import read_bytes

LARGEST_SIDE = 256
MOST_BYTES = 256 << 20
"""Of a picture's file: no fewer than its pixels may take."""


@dataclass
class Photographs(ABC):
    """What every source of photographs has in common; a new one gives a `manifest`.

    A stopped build goes on where it ended when it is called again in the same way; until it is whole it keeps the
    raw features in the folder `<output>.partial`, (R + 2) * C * 2 bytes an image (0.8 GB for 8,080 images of 7x7
    regions with 1024 channels).

    Args:
        root: folder of the data set.
        backbone: folder of a vision model in Hugging Face layout.
        output: the catalogue file to write.
        name: name of the catalogue; by default after the source.
        device: where the backbone runs: "cpu", "cuda", or "auto", which is cuda where there is one.
        batch: images at a time.
        dimensions: principal components of the pooled features; 0 keeps all.
        region_channels: principal components of the region features; 0 keeps all.
        grid: rows and columns of regions; 0 for no region features.
        skip_broken: leave out (and count) images that cannot be decoded instead of refusing.
    """

    root: Path
    backbone: Path
    output: Path
    name: str = field(default="", kw_only=True)
    device: str = field(default="auto", kw_only=True)
    batch: int = field(default=16, kw_only=True)
    dimensions: int = field(default=256, kw_only=True)
    region_channels: int = field(default=256, kw_only=True)
    grid: int = field(default=7, kw_only=True)
    skip_broken: bool = field(default=False, kw_only=True)

    @abstractmethod
    def manifest(self) -> Manifest:
        """Finds the images and what is known of them in words."""

    def build(self) -> Catalog:
        """Checks all pictures, extracts and reduces features, and writes the catalogue.

        Raises:
            FileNotFoundError: the root, the backbone or a needed file is missing.
            ValueError: bad settings, a picture that cannot be decoded, no train image, or bad features.
            OSError: the disk is full; the same command goes on from there.
        """
        for setting, least in (("batch", 1), ("dimensions", 0), ("region_channels", 0), ("grid", 0)):
            if getattr(self, setting) < least:
                raise ValueError(f"{setting} is {getattr(self, setting)}; give at least {least}")
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root}; give the folder of the data set as root")
        manifest, pictures = read_pictures(self.manifest(), self.skip_broken)
        if "train" not in manifest.splits:
            raise ValueError(
                f"the train split of {manifest.name!r} is empty; features are reduced by it, give more images"
            )
        skipped = [f"skipped {count}: {reason}" for reason, count in manifest.skipped.items() if count]
        for line in [*manifest.notes, *skipped]:
            tqdm.write(line)
        backbone = VisionBackbone(self.backbone, self.device)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        partial = self.output.with_name(f"{self.output.name}.partial")
        raw = extract(pictures.encoded, backbone, partial, grid=self.grid, batch=self.batch, notify=tqdm.write)
        with raw, Batches(partial / "reduced", {}, tqdm.write) as reduced:
            reduced.clear()
            Catalog(self._contents(manifest, pictures, backbone, raw, reduced)).write(self.output)
            reduced.remove()
            raw.remove()
        return Catalog.open(self.output)

    def _contents(
        self, manifest: Manifest, pictures: Pictures, backbone: VisionBackbone, raw: Batches, reduced: Batches
    ) -> Contents:
        """What is written; reduced region features are put into `reduced` meanwhile."""
        splits, pooled = manifest.split_positions(), raw["pooled"][:]
        projection = Projection.fit(pooled, splits["train"], self.dimensions)
        features = unit_rows(projection(pooled))
        reduction: dict[str, Any] = {"fitted on": "train", "pooled": _describe(projection, "rows of norm 1")}
        if "regions" in raw:

            def append(block: NDArray[np.float16]) -> None:
                reduced.append({"regions": torch.from_numpy(block)})

            tqdm.write("reducing region features")
            region_projection = reduce_regions(raw["regions"], splits["train"], self.region_channels, append)
            reduction["regions"] = {"grid": self.grid, **_describe(region_projection, "mean square 1")}
        grades = {name: scale(np.array(values)) for name, values in pictures.measures.items()}
        return Contents(
            name=manifest.name,
            ids=np.array(manifest.ids, dtype=object),
            features=features,
            regions=reduced["regions"] if reduced.done else None,
            attributes=manifest.attribute_table(grades),
            splits=splits,
            images=EncodedImages([np.frombuffer(c, dtype=np.uint8) for c in pictures.encoded], pictures.size),
            provenance={
                "source": type(self).__name__.lower(),
                **manifest.provenance,
                "images": len(manifest.ids),
                "skipped": manifest.skipped,
                "notes": list(manifest.notes),
                "backbone": backbone.description,
                "reduction": reduction,
                "graded attributes": "measured in the pictures; 0 and 1 are the 1st and 99th percentile",
                "versions": versions(),
            },
        )


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures that are known to decode, the size to show them at, and raw measures of each."""

    encoded: list[bytes]
    size: tuple[int, int]
    measures: dict[str, list[float]]


def read_pictures(manifest: Manifest, skip_broken: bool) -> tuple[Manifest, Pictures]:
    """Decodes every picture once; gives the manifest of those that can be decoded, and their contents.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a picture cannot be decoded and `skip_broken` is off, or none can.
    """
    encoded: list[bytes] = []
    kept: list[int] = []
    sizes: Counter[tuple[int, int]] = Counter()
    measures: dict[str, list[float]] = {}
    for position, path in enumerate(tqdm(manifest.files, desc="reading pictures", unit="image")):
        try:
            content = read_bytes(path, "picture", "put it back, or remove its entry", limit=MOST_BYTES)
            pixels = np.array(decode_picture(content, f"image {path}", "replace it, or pass --skip-broken"))
        except ValueError:
            if skip_broken:
                continue
            raise
        encoded.append(content)
        kept.append(position)
        sizes[pixels.shape[0], pixels.shape[1]] += 1
        for name, value in measure(pixels).items():
            measures.setdefault(name, []).append(value)
    manifest = manifest.keep(kept, "image cannot be decoded")
    most, _ = max(sizes.items(), key=lambda item: (item[1], item[0]))
    factor = min(1.0, LARGEST_SIDE / max(most))
    return manifest, Pictures(encoded, (round(most[0] * factor), round(most[1] * factor)), measures)


def versions() -> dict[str, str]:
    """What computed the features."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("torch", "transformers", "numpy", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _describe(projection: Projection, scaling: str) -> dict[str, Any]:
    channels, dimensions = projection.components.shape
    return {"from": channels, "to": dimensions, "variance kept": round(projection.kept, 4), "scaling": scaling}
