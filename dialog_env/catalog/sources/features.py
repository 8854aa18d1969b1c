"""Pooled and region features of photographs by a local Hugging Face vision backbone, and their extraction."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from dialog_env.catalog.images import decode_picture
from dialog_env.catalog.sources.batches import Batches
from dialog_env.catalog.sources.folding import folded
from dialog_env.catalog.sources.openvino_engine import OpenVinoNetwork, openvino_release
from dialog_env.io.device import find_device
from dialog_env.io.lasting import lasting
from dialog_env.io.reading import first_line, one_sentence, read_json, regular_file

RAW_VERSION = 2
POOLINGS = ("mean", "cls", "projection")
ENGINES = ("torch", "openvino")
AT_ONCE = 8
"""Pictures that a network looks at together on a CPU: what passes between its layers stays in the cache."""
MOST_SIDE = 4096
"""Pixels of the longest side that a backbone may ask for."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of a backbone, as its `preprocessor_config.json` says.

    Args:
        height: rows of the input.
        width: columns of the input.
        shortest: pixels of the shorter side before the centre is cut out; 0 scales straight to height and width.
        resample: Pillow's number of the interpolation.
        rescale: what pixels 0..255 are multiplied with.
        mean: subtracted from each channel afterwards.
        deviation: what each channel is divided by then.
    """

    height: int
    width: int
    shortest: int
    resample: int
    rescale: float
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name, least in (("height", 1), ("width", 1), ("shortest", 0)):
            if not least <= getattr(self, name) <= MOST_SIDE:
                raise ValueError(f"{name} is {getattr(self, name)}; give {least} to {MOST_SIDE} pixels")
        if not np.isfinite([self.rescale, *self.mean, *self.deviation]).all() or 0 in self.deviation:
            raise ValueError("rescale, mean and deviation must be finite, and no deviation 0")

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        """Reads `preprocessor_config.json`; FileNotFoundError without it, ValueError where it makes no sense."""
        path = folder / "preprocessor_config.json"
        remedy = "a backbone folder needs it to say how pictures are scaled"
        config = read_json(path, dict[str, Any], "preprocessor configuration", remedy)
        with one_sentence(path, "preprocessor configuration", "it must give size, image_mean and image_std"):
            size, crop = _sides(config["size"]), _sides(config.get("crop_size", config["size"]))
            cuts = config.get("do_center_crop", "crop_pct" in config)
            straight = isinstance(config["size"], dict) and "height" in config["size"] and not cuts
            normalises = config.get("do_normalize", True)
            mean, deviation = config.get("image_mean", (0.5,) * 3), config.get("image_std", (0.5,) * 3)
            rescale = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
            return cls(
                *(size if straight or not cuts else crop),
                shortest=0 if straight else round(min(size) / config.get("crop_pct", 1)),
                resample=int(Image.Resampling(config.get("resample", Image.Resampling.BILINEAR))),
                rescale=float(rescale),
                mean=_three(mean) if normalises else (0.0, 0.0, 0.0),
                deviation=_three(deviation) if normalises else (1.0, 1.0, 1.0),
            )

    def pixels(self, content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture in an encoded file, scaled and cut: (height, width, 3) uint8."""
        picture = decode_picture(bytes(content), "a picture to be embedded", "replace it")
        if not self.shortest:
            return np.array(picture.resize((self.width, self.height), self.resample))
        factor = self.shortest / min(picture.size)
        scaled = picture.resize((round(picture.width * factor), round(picture.height * factor)), self.resample)
        left, top = (scaled.width - self.width) // 2, (scaled.height - self.height) // 2
        return np.array(scaled.crop((left, top, left + self.width, top + self.height)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32."""
        mean, deviation = (torch.tensor(values, device=pixels.device) for values in (self.mean, self.deviation))
        scaled = (pixels.to(torch.float32) * self.rescale - mean) / deviation
        return scaled.permute(0, 3, 1, 2)


class Encoder(Protocol):
    """Gives raw features of items, which may be pictures or descriptions.

    Attributes:
        name: for people.
        recipe: what tells it from others, JSON-able: the digests of its files and how it reads an item.
        description: the same as catalogues record it.
        pooling: what its pooled features are.
    """

    name: str
    pooling: str

    @property
    def recipe(self) -> dict[str, Any]:
        """See above."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """See above."""
        ...

    def prepare(self, content: Any) -> Any:
        """What it reads of the bytes of one item; may be called in several threads."""
        ...

    def check(self, grid: int) -> None:
        """Tries it on something; ValueError where it gives no features."""
        ...

    def __call__(self, prepared: Any, grid: int, /) -> tuple[Tensor, Tensor | None]:
        """Pooled (B, C) and region features (B, R, C) of B prepared items; no regions for grid 0."""
        ...


class VisionBackbone:
    """A vision network from a local folder in Hugging Face layout; nothing is fetched.

    Its features are the last hidden state: a map (B, C, H, W) of a convolutional network or tokens (B, T, C) of a
    transformer, whose class and register tokens are left out.

    Args:
        folder: of the network.
        device: where it runs.
        pooling: what pooled features are: "mean" over the map; "cls", the class token; or "projection", what the
            network itself compares pictures and sentences by (CLIP and its relatives).
        engine: what runs it: "torch", or "openvino", sooner on a CPU.

    Raises:
        FileNotFoundError: the folder or a needed file is missing.
        ValueError: transformers cannot load it, or it gives no feature map, or the engine cannot run it.
        ImportError: transformers or the engine is not installed.
    """

    def __init__(self, folder: str | Path, device: str = "cpu", pooling: str = "mean", engine: str = "torch") -> None:
        self.folder = Path(folder)
        remedy = "give a vision model in Hugging Face layout"
        weights = [regular_file(path, "weights", remedy) for path in sorted(self.folder.glob("*.safetensors"))]
        if not (self.folder / "config.json").is_file() or not weights:
            raise FileNotFoundError(
                f"{self.folder} is no backbone; it must hold config.json, preprocessor_config.json and *.safetensors"
            )
        self.preprocessing = Preprocessing.read(self.folder)
        self.name, self.pooling, self.engine = self.folder.resolve().name, pooling, engine
        self.fingerprint = digest_of_files(weights)
        whole = load_network(self.folder).float().eval()
        network = getattr(whole, "vision_model", whole)
        if pooling == "projection" and not hasattr(whole, "get_image_features"):
            raise ValueError(
                f"{self.folder} compares no pictures with sentences, so that it has no projection; "
                "choose --pooling mean or cls"
            )
        try:
            self.device = find_device("cpu" if engine == "openvino" and device == "auto" else device)
            self._given = self._in_openvino(network) if engine == "openvino" else self._in_torch(network)
            self._patch = getattr(network.config, "patch_size", None)
            self._projection = getattr(whole, "visual_projection", torch.nn.Identity()).to(self.device)
        except (AssertionError, RuntimeError) as error:
            raise ValueError(
                f"device {device!r} cannot be used ({first_line(error)}); choose another, such as cpu"
            ) from error

    @property
    def description(self) -> dict[str, Any]:
        """What fixes the features: name, checksum of the weights, preprocessing, and what is not usual."""
        return {
            "name": self.name,
            "weights sha256": self.fingerprint,
            "preprocessing": asdict(self.preprocessing),
            **({} if self.pooling == "mean" else {"pooling": self.pooling}),
            **({} if self.engine == "torch" else {"engine": openvino_release()}),
        }

    @property
    def recipe(self) -> dict[str, Any]:
        """What tells it from other encoders."""
        return {
            "kind": "vision",
            "weights sha256": self.fingerprint,
            "configuration sha256": digest_of_files([self.folder / "config.json"]),
            "preprocessing": asdict(self.preprocessing),
        }

    def prepare(self, content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture in an encoded file, scaled and cut: (height, width, 3) uint8."""
        return self.preprocessing.pixels(content)

    def check(self, grid: int) -> None:
        """Looks at a white picture; ValueError where the network, or the pooling, gives no features of it."""
        white = np.full((1, self.preprocessing.height, self.preprocessing.width, 3), 255, np.uint8)
        refuse_non_finite(*self(white, grid), 0)

    def __call__(
        self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], grid: int
    ) -> tuple[Tensor, Tensor | None]:
        """Pooled (B, C) and region features (B, grid * grid, C) of B pictures (H, W, 3); no regions for grid 0."""
        at_once = AT_ONCE if self.device.type == "cpu" and self.engine == "torch" else len(pixels)
        pieces = [self._look(pixels[start : start + at_once], grid) for start in range(0, len(pixels), at_once)]
        pooled, regions = zip(*pieces, strict=True)
        return torch.cat(pooled), torch.cat(regions) if grid else None

    def _in_openvino(self, network: Any) -> Callable[[Tensor], Any]:
        """What the network gives of pixels (B, H, W, 3) uint8, by OpenVINO."""
        if self.device.type != "cpu":
            raise ValueError(f"engine openvino runs on the CPU, not on {self.device}; choose --device cpu")
        shape = self.preprocessing.height, self.preprocessing.width
        return OpenVinoNetwork(network, self.preprocessing.normalise, shape, pooler=self.pooling == "projection")

    def _in_torch(self, network: Any) -> Callable[[Tensor], Any]:
        """The same by PyTorch."""
        self.network = self._quick(network.to(self.device, memory_format=torch.channels_last))

        def given(pixels: Tensor) -> Any:
            batch = self.preprocessing.normalise(pixels.to(self.device))
            return self.network(pixel_values=batch.contiguous(memory_format=torch.channels_last))

        return given

    @lasting
    def _quick(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network with its normalisations folded, where it gives the same of noise then."""
        height, width = self.preprocessing.height, self.preprocessing.width
        noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
        noise = noise.to(self.device).contiguous(memory_format=torch.channels_last)

        def look(some: torch.nn.Module) -> Tensor:
            features: Tensor = some(pixel_values=noise).last_hidden_state
            return features

        try:
            return folded(network, look)
        except (RuntimeError, ValueError, AttributeError, TypeError):  # what `check` refuses with a reason
            return network

    @torch.inference_mode()
    def _look(self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], grid: int) -> tuple[Tensor, Tensor | None]:
        """Features of few pictures."""
        try:
            given = self._given(torch.from_numpy(np.asarray(pixels)))
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{self.folder} cannot look at a picture ({first_line(error)}); choose a vision backbone whose "
                "preprocessor_config.json fits it"
            ) from error
        hidden = getattr(given, "last_hidden_state", None)
        if hidden is None or hidden.ndim not in (3, 4):
            raise ValueError(f"{self.folder} gives no last_hidden_state of 3 or 4 axes; choose another vision backbone")
        features = hidden if hidden.ndim == 4 else self._fold(hidden)  # (B, C, H, W)
        pooled = self._pool(given, features)
        if not grid:
            return pooled, None
        if features.shape[2:] != (grid, grid):
            features = functional.adaptive_avg_pool2d(features, grid)
        return pooled, features.flatten(2).transpose(1, 2)

    def _pool(self, given: Any, features: Tensor) -> Tensor:
        """Pooled features (B, C) of what the network gave, and its map (B, C, H, W)."""
        if self.pooling == "mean":
            return features.mean(dim=(2, 3))
        if self.pooling == "projection":
            projected: Tensor = self._projection(given.pooler_output)
            return projected
        hidden: Tensor = given.last_hidden_state
        if hidden.ndim == 4 or hidden.shape[1] == features.shape[2] * features.shape[3]:
            raise ValueError(f"{self.folder} gives no class token; choose --pooling mean")
        return hidden[:, 0]

    def _fold(self, tokens: Tensor) -> Tensor:
        """Patch tokens (B, T, C) as a map (B, C, H, W); what stands before the patches is left out."""
        rows, columns = (math.isqrt(tokens.shape[1]),) * 2
        if isinstance(self._patch, int):
            shape = self.preprocessing.height // self._patch, self.preprocessing.width // self._patch
            rows, columns = shape if math.prod(shape) <= tokens.shape[1] else (rows, columns)
        patches = tokens[:, tokens.shape[1] - rows * columns :]
        return patches.transpose(1, 2).unflatten(2, (rows, columns))


def extract(
    encoded: Any,
    backbone: Encoder,
    partial: Path,
    *,
    grid: int,
    batch: int,
    notify: Callable[[str], Any],
    digests: Sequence[bytes] = (),
) -> Batches:
    """Features of N items, written as they come into the folder `partial`; gives its open batches.

    The items are encoded pictures, or descriptions in UTF-8; `digests` are their SHA-256 where these are known.

    A call that finds the batches of a stopped one, for the same pictures, backbone and grid, goes on where that ended;
    with batches of the same size the numbers are the same as without the stop. There are `pooled` (N, C) float32 and,
    unless grid is 0, `regions` (N, grid * grid, C) float16.

    Raises:
        ValueError: the backbone gives NaN or infinite features, or another process writes the same folder.
        OSError: the disk is full; what was extracted stays.
    """
    batches = Batches(partial, depends_on(encoded, backbone, grid, digests), notify)
    try:
        done, size = batches.done, len(encoded)
        with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=size, initial=done, unit="image") as bar:

            def read(start: int) -> list[Future[Any]]:
                rows = range(start, min(start + batch, size))
                return [pool.submit(lambda row: backbone.prepare(encoded[row]), row) for row in rows]

            ahead = read(done)
            for start in range(done, size, batch):
                prepared, ahead = [each.result() for each in ahead], read(start + batch)
                pooled, regions = backbone(prepared, grid)
                batches.append(kept(pooled, regions, start))
                bar.update(len(prepared))
    except BaseException:
        batches.close()
        raise
    return batches


def depends_on(encoded: Any, backbone: Encoder, grid: int, digests: Sequence[bytes] = ()) -> dict[str, Any]:
    """What the raw features of items depend on, JSON-able; see `extract`."""
    return {
        "version": RAW_VERSION,
        "backbone": backbone.description,
        "grid": grid,
        "pictures": hashlib.sha256(b"".join(digests or map(digest, encoded))).hexdigest(),
    }


def kept(pooled: Tensor, regions: Tensor | None, start: int) -> dict[str, Tensor]:
    """The features of a batch as they are kept; ValueError where they are not finite."""
    rows = pooled.float().cpu(), None if regions is None else regions.to(torch.float16).cpu()
    refuse_non_finite(*rows, start)
    return {"pooled": rows[0]} if rows[1] is None else {"pooled": rows[0], "regions": rows[1]}


def refuse_non_finite(pooled: Tensor, regions: Tensor | None, start: int) -> None:
    """ValueError where features of the items from number `start` on are NaN or infinite."""
    for name, rows in (("pooled", pooled), ("regions", regions)):
        if rows is not None and not bool(rows.isfinite().all()):
            raise ValueError(
                f"the backbone gives NaN or infinite {name} features from image {start}; check its weights"
            )


def digest(content: Any) -> bytes:
    """The SHA-256 of an item."""
    return hashlib.sha256(content).digest()


def load_network(folder: Path) -> Any:
    """The network in a folder, as transformers makes it, from local files and without code of theirs."""
    try:
        from transformers import AutoModel
        from transformers.utils import logging
    except ImportError as error:
        raise ImportError(
            "extraction needs transformers; install it with `pip install dialog-retrieval[images]`"
        ) from error
    remedy = "give a vision model in Hugging Face layout"
    config = read_json(folder / "config.json", dict[str, Any], "configuration of a backbone", remedy)
    told = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # it reports over many lines what the error says in one
    try:
        network = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises almost anything
        problem = first_line(error)
        if "auto_map" in config:
            problem = "it needs code that lies beside it, which is not run"
        elif "ignore_mismatched_sizes" in problem:
            problem = "its weights have other shapes than its config.json says"
        raise ValueError(f"{folder} cannot be loaded as a backbone ({problem}); {remedy}") from error
    finally:
        logging.set_verbosity(told)
    return network


def digest_of_files(files: Sequence[Path]) -> str:
    """The SHA-256 of the contents of files, one behind the other."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


def _sides(size: Any) -> tuple[int, int]:
    """(height, width) from the forms that configurations use."""
    if isinstance(size, dict):
        if "height" in size:
            return int(size["height"]), int(size["width"])
        return (int(size["shortest_edge"]),) * 2
    return (int(size),) * 2


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
