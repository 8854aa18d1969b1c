"""From a manifest of photographs, or of descriptions, to a catalogue: check them, extract, reduce, write."""

from __future__ import annotations

import functools
import platform
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from dialog_env.catalog.catalog import VISIBLE, Catalog, Contents
from dialog_env.catalog.images import MOST_BYTES, EncodedImages, decode_picture
from dialog_env.catalog.sources.batches import Batches
from dialog_env.catalog.sources.encoders import open_encoder, open_encoder_of
from dialog_env.catalog.sources.features import ENGINES, POOLINGS, Encoder, digest, extract
from dialog_env.catalog.sources.manifest import Manifest
from dialog_env.catalog.sources.on_ray import extract_by_ray
from dialog_env.catalog.sources.photo_grades import MEASURES, bounds_of, measure, scale
from dialog_env.catalog.sources.reduction import BLOCK, Projection, fit_regions
from dialog_env.catalog.sources.sentences import CARD, card
from dialog_env.catalog.sources.table import Columns
from dialog_env.catalog.space import FeatureSpace, digest_of_items
from dialog_env.io.device import find_device
from dialog_env.io.keywords import checked_choice
from dialog_env.io.ray_alone import one_address
from dialog_env.io.reading import read_bytes, some

RECIPE_VERSION = 1
LARGEST_SIDE = 256
GRADES = "graded attributes"
"""In the provenance: for each the raw values that 0 and 1 stand for."""


@dataclass
class Photographs(ABC):
    """What every source of photographs, or of descriptions, has in common; a new one gives a `manifest`.

    A stopped build goes on where it ended when it is called again in the same way; until it is whole it keeps the
    raw features in the folder `<output>.partial`, (R + 2) * C * 2 bytes an image (0.8 GB for 8,080 images of 7x7
    regions with 1024 channels).

    Args:
        root: folder of the data set.
        backbone: folder of a vision model in Hugging Face layout; of a sentence encoder where there are descriptions.
        output: the catalogue file to write; with `catalog add`, the one to grow.
        name: name of the catalogue; by default after the source.
        device: where the backbone runs: "cpu", "cuda", or "auto", which is cuda where there is one.
        engine: what runs the backbone: torch, or openvino, which is sooner on a CPU and has to be installed.
        batch: images at a time.
        dimensions: principal components of the pooled features; 0 keeps all.
        region_channels: principal components of the region features; 0 keeps all.
        grid: rows and columns of regions; 0 for no region features. Of descriptions, any other number gives 16 tokens.
        pooling: what pooled features are: the mean over the picture, the class token (cls), or what the backbone
            compares pictures and sentences by (projection; not reduced then).
        measures: which grades are measured in the pictures: pixels ("bright in colour" and "long on the leg", which
            fits shoes), or none.
        visible: attributes that can be seen in the pictures: the describer speaks of these alone. `all`, or none named:
            of all.
        like: a catalogue file into whose feature space the pictures are embedded; it settles pooling, grid,
            dimensions and region_channels, and the scale of grades.
        split: puts all images into this split; by default the source decides.
        skip_broken: leave out (and count) images that cannot be decoded instead of refusing.
        ray: features are extracted by Ray Data, in the cluster at an address; without an address on this machine.
    """

    root: Path
    backbone: Path
    output: Path
    name: str = field(default="", kw_only=True)
    device: str = field(default="auto", kw_only=True)
    engine: Literal["torch", "openvino"] = field(default="torch", kw_only=True)
    batch: int = field(default=16, kw_only=True)
    dimensions: int = field(default=256, kw_only=True)
    region_channels: int = field(default=256, kw_only=True)
    grid: int = field(default=7, kw_only=True)
    pooling: Literal["mean", "cls", "projection"] = field(default="mean", kw_only=True)
    measures: Literal["pixels", "none"] = field(default="pixels", kw_only=True)
    visible: tuple[str, ...] = field(default=(), kw_only=True)
    like: Path | None = field(default=None, kw_only=True)
    split: str = field(default="", kw_only=True)
    skip_broken: bool = field(default=False, kw_only=True)
    ray: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[ADDRESS]")] = field(default=None, kw_only=True)

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
        with self._contents(None if self.like is None else Catalog.open(self.like)) as contents:
            Catalog(contents).write(self.output)
        return Catalog.open(self.output)

    def add(self) -> Catalog:
        """Adds the pictures to the catalogue at `output`, in its feature space, behind those that are there.

        Raises:
            FileNotFoundError, ValueError, OSError: as for `build`; or pictures that the catalogue has already.
        """
        if self.like is not None:
            raise ValueError(f"a catalogue grows in its own feature space; leave --like {self.like} out")
        old = Catalog.open(self.output)
        with self._contents(old, known=frozenset(map(str, old.ids))) as contents:
            old.extended(contents).write(self.output)
        return Catalog.open(self.output)

    @contextmanager
    def _contents(self, like: Catalog | None, known: frozenset[str] = frozenset()) -> Iterator[Contents]:
        """What is to be written, while the files that hold it are open; they are removed when the block ends well."""
        for setting, least in (("batch", 1), ("dimensions", 0), ("region_channels", 0), ("grid", 0)):
            if getattr(self, setting) < least:
                raise ValueError(f"{setting} is {getattr(self, setting)}; give at least {least}")
        one_address(self.ray or ())
        checked_choice("pooling", self.pooling, POOLINGS)
        checked_choice("engine", self.engine, ENGINES)
        checked_choice("measures", self.measures, ("pixels", "none"))
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root}; give the folder of the data set as root")
        if like is not None and isinstance(self, Columns):
            self.follow(like.attributes)
        manifest = self.manifest()
        if self.split:
            manifest = replace(manifest, splits=[self.split] * len(manifest.ids))
        if there := sorted(known & set(manifest.ids)):
            raise ValueError(
                f"{self.output} has images {some(there, 3)} already ({len(there)} in all); leave them out of "
                f"{self.root}, or give the new ones other names"
            )
        self._visible(manifest)
        encoder, grid = self._encoder(manifest, like)
        manifest, items = read_items(manifest, self.skip_broken, measuring=self.measures == "pixels")
        if like is None and "train" not in manifest.splits:
            raise ValueError(
                f"the train split of {manifest.name!r} is empty; features are reduced by it, give more images"
            )
        skipped = [f"skipped {count}: {reason}" for reason, count in manifest.skipped.items() if count]
        for line in [*manifest.notes, *skipped]:
            tqdm.write(line)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        partial = self.output.with_name(f"{self.output.name}.partial")
        if self.ray is not None:
            self._extract_by_ray(manifest, items, encoder, partial, grid)
        raw = extract(
            items.content, encoder, partial, grid=grid, batch=self.batch, notify=tqdm.write, digests=items.digests
        )
        with raw, Batches(partial / "reduced", {}, tqdm.write) as reduced:
            reduced.clear()
            space = None if like is None else like.space
            space = space or self._fitted(encoder, raw, manifest.split_positions()["train"], items.digests)
            features = _placed(space, raw, reduced)
            old = {} if like is None else like.provenance.get(GRADES, {})
            yield self._gathered(manifest, items, encoder, space, features, reduced, old)
            reduced.remove()
            raw.remove()

    def _extract_by_ray(self, manifest: Manifest, items: Items, encoder: Encoder, partial: Path, grid: int) -> None:
        """Leaves in the folder all batches of raw features that `extract` would make."""
        kind = "sentence" if manifest.descriptions else "vision"
        extract_by_ray(
            items.content,
            encoder,
            functools.partial(open_encoder, kind, self.backbone, self.device, encoder.pooling, self.engine),
            partial,
            grid=grid,
            batch=self.batch,
            digests=items.digests,
            address=one_address(self.ray or ()),
            gpus=int(self.engine == "torch" and find_device(self.device).type == "cuda"),
        )

    def _visible(self, manifest: Manifest) -> list[str] | None:
        """Names of the visible attributes, None where nothing is said; ValueError for others than there are."""
        if self.visible in ((), ("all",)):
            return None
        known = [*manifest.columns, *manifest.graded, *(MEASURES if self.measures == "pixels" else ())]
        if unknown := [name for name in self.visible if name not in known]:
            raise ValueError(f"{self.root} gives no attribute {unknown[0]!r} to be visible; it gives {some(known, 30)}")
        return list(self.visible)

    def _encoder(self, manifest: Manifest, like: Catalog | None) -> tuple[Encoder, int]:
        """The encoder, known to work, and the grid of its regions."""
        kind = "sentence" if manifest.descriptions else "vision"
        if like is None:
            encoder = open_encoder(kind, self.backbone, self.device, self.pooling, self.engine)
            grid = self.grid
        else:
            where = str(self.like or self.output)
            if like.space is None:
                raise ValueError(f"{where} is of a release that kept no feature space; build it again from its source")
            encoder = open_encoder_of(like.space, kind, self.backbone, self.device, where, self.engine)
            grid = int(like.space.recipe.get("grid", 0))
        encoder.check(grid)
        return encoder, grid

    def _fitted(
        self, encoder: Encoder, raw: Batches, rows: NDArray[np.int64], digests: Sequence[bytes]
    ) -> FeatureSpace:
        """A new feature space, its reductions fitted on the items at `rows` (n,)."""
        tqdm.write("fitting the reduction of features")
        projected = self.pooling == "projection"
        regions, factor = fit_regions(raw["regions"], rows, self.region_channels) if "regions" in raw else (None, 1.0)
        return FeatureSpace(
            recipe={
                "version": RECIPE_VERSION,
                "encoder": encoder.recipe,
                "pooling": self.pooling,
                "grid": self.grid,
                "dimensions": self.dimensions,
                "region channels": self.region_channels,
                "fitted on": digest_of_items(digests[row] for row in rows.tolist()),
            },
            name=encoder.name,
            pooled=None if projected else Projection.fit(raw["pooled"], rows, self.dimensions),
            regions=regions,
            region_factor=factor,
        )

    def _gathered(
        self,
        manifest: Manifest,
        items: Items,
        encoder: Encoder,
        space: FeatureSpace,
        features: NDArray[np.float32],
        reduced: Batches,
        old: dict[str, list[float]],
    ) -> Contents:
        """The features with all that belongs to them."""
        raw_grades = {name: np.array(values) for name, values in {**items.measures, **manifest.graded}.items()}
        bounds = {
            name: (float(old[name][0]), float(old[name][1])) if name in old else bounds_of(values)
            for name, values in raw_grades.items()
        }
        reduction: dict[str, Any] = {"fitted on": "train", "pooled": _describe(space.pooled, "rows of norm 1")}
        if space.regions is not None:
            reduction["regions"] = {"grid": space.recipe["grid"], **_describe(space.regions, "mean square 1")}
        return Contents(
            name=manifest.name,
            ids=np.array(manifest.ids, dtype=object),
            features=features,
            regions=reduced["regions"] if reduced.done else None,
            attributes=manifest.attribute_table(
                {name: scale(values, bounds[name]) for name, values in raw_grades.items()}
            ),
            splits=manifest.split_positions(),
            images=EncodedImages(items.pictures, items.size),
            provenance={
                "source": type(self).__name__.lower(),
                **manifest.provenance,
                "images": len(manifest.ids),
                "skipped": manifest.skipped,
                "notes": list(manifest.notes),
                "backbone": encoder.description,
                "reduction": reduction,
                GRADES: {name: found for name, found in bounds.items() if found is not None},
                **({VISIBLE: visible} if (visible := self._visible(manifest)) else {}),
                "versions": versions(),
            },
            space=space,
        )


class PictureFiles:
    """The contents of picture files, (M,) uint8 each, read when they are asked for.

    Raises:
        ValueError: on reading, for a file that has changed since its digest was taken.
    """

    def __init__(self, files: Sequence[Path], digests: Sequence[bytes]) -> None:
        self._files, self._digests = files, digests

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        content = read_picture(self._files[position])
        if digest(content) != self._digests[position]:
            raise ValueError(
                f"image {self._files[position]} was changed while the catalogue was built; give the same command again"
            )
        return np.frombuffer(content, np.uint8)


@dataclass(frozen=True)
class Items:
    """What is embedded, and what is shown of it.

    Args:
        content: (M,) uint8 of each of N items, which the encoder reads: the file of a picture, or a description.
        digests: the SHA-256 of each.
        pictures: (M,) uint8 of the file that is shown for each.
        size: (height, width) to show it at.
        measures: raw measures of each.
    """

    content: Sequence[NDArray[np.uint8]] | PictureFiles
    digests: list[bytes]
    pictures: Sequence[NDArray[np.uint8]] | PictureFiles
    size: tuple[int, int]
    measures: dict[str, list[float]]


def read_picture(path: Path) -> bytes:
    """The content of a picture's file."""
    return read_bytes(path, "picture", "put it back, or remove its entry", limit=MOST_BYTES)


def read_items(manifest: Manifest, skip_broken: bool, *, measuring: bool = True) -> tuple[Manifest, Items]:
    """The items of a manifest: its descriptions, with a card for each, or its pictures."""
    if not manifest.descriptions:
        return read_pictures(manifest, skip_broken, measuring=measuring)
    content = [np.frombuffer(text.encode(), np.uint8) for text in manifest.descriptions]
    cards = [card(text) for text in tqdm(manifest.descriptions, desc="writing cards", unit="card")]
    return manifest, Items(content, [digest(each) for each in content], cards, (CARD, CARD), {})


def read_pictures(manifest: Manifest, skip_broken: bool, *, measuring: bool = True) -> tuple[Manifest, Items]:
    """Decodes every picture once; gives the manifest of those that can be decoded, and their files.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a picture cannot be decoded and `skip_broken` is off, or none can.
    """
    digests: list[bytes] = []
    kept: list[int] = []
    sizes: Counter[tuple[int, int]] = Counter()
    measures: dict[str, list[float]] = {}
    for position, path in enumerate(tqdm(manifest.files, desc="reading pictures", unit="image")):
        try:
            content = read_picture(path)
            pixels = np.array(decode_picture(content, f"image {path}", "replace it, or pass --skip-broken"))
        except ValueError:
            if skip_broken:
                continue
            raise
        digests.append(digest(content))
        kept.append(position)
        sizes[pixels.shape[0], pixels.shape[1]] += 1
        for name, value in measure(pixels).items() if measuring else ():
            measures.setdefault(name, []).append(value)
    manifest = manifest.keep(kept, "image cannot be decoded")
    most, _ = max(sizes.items(), key=lambda item: (item[1], item[0]))
    factor = min(1.0, LARGEST_SIDE / max(most))
    size = (max(1, round(most[0] * factor)), max(1, round(most[1] * factor)))
    files = PictureFiles(manifest.files, digests)
    return manifest, Items(files, digests, files, size, measures)


def _placed(space: FeatureSpace, raw: Batches, reduced: Batches) -> NDArray[np.float32]:
    """Features (N, D) in a space; region features go into `reduced`, batch by batch."""
    tqdm.write("reducing features")
    pooled = raw["pooled"]
    regions = raw["regions"] if "regions" in raw else None  # noqa: SIM401, it has no `get`
    blocks = []
    for start in range(0, raw.done, BLOCK):
        rows = slice(start, min(start + BLOCK, raw.done))
        blocks.append(space.place(pooled[rows]))
        if regions is not None:
            reduced.append({"regions": torch.from_numpy(space.place_regions(regions[rows]))})
    return np.concatenate(blocks)


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


def _describe(projection: Projection | None, scaling: str) -> dict[str, Any]:
    if projection is None:
        return {"scaling": scaling}
    channels, dimensions = projection.components.shape
    return {"from": channels, "to": dimensions, "variance kept": round(projection.kept, 4), "scaling": scaling}
