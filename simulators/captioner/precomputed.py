"""A captioner whose products with single images are computed once and subtracted per pair."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator
from contextlib import nullcontext
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.io.device import find_device, require_memory
from dialog_env.io.lasting import lasting
from dialog_env.simulators.captioner.architectures.network import Affine, Captioner, FirstLayers, pair_features
from dialog_env.simulators.captioner.decoding import Sentences, Start, greedy, log_likelihood
from dialog_env.simulators.captioner.memory import memory_for
from dialog_env.simulators.captioner.recorded import MOST, RecordedDecoding
from dialog_env.world.vocabulary import MAX_WORDS

CHUNK = 32
"""Pairs decided in double precision at a time, and the fewest spoken about at a time."""

CACHED = 16 << 20
"""Bytes. So many pairs are spoken about at a time that what they look at is about as large: it stays in the cache of a
CPU, and the steps of many pairs are few large products instead of many small ones."""

LARGEST_CHUNK, LARGEST_GPU_CHUNK = 256, 1024
"""Pairs spoken about at a time at most: what they look at is copied whenever a quarter of them have ended."""

MARGIN = 1e-5
"""Share of the spread of the logits. A word that leads by less is decided again in double precision; measured errors
of a logit in single precision, relative to the spread, are at most 1e-6."""

TIE = 1e-9
"""Nats. Words this close in double precision are equal; the lowest token wins."""

IMAGES_AT_ONCE = 64
"""Images projected at a time while the catalogue is read."""


class PrecomputedCaptioner:
    """Greedy feedback of a captioner on pairs of images of one gallery, exactly as from a plain forward pass.

    A first layer W [target, target - candidate] + b, with W = [U, D], is (U + D) target + b - D candidate: a product
    with the target in its role and one with the candidate in its role. Both are kept per image, so a pair costs one
    subtraction and the recurrent steps.

    Feedback on a pair does not depend on the batch around it or on the device. Sums in single precision are rounded
    differently for every shape of a batch, so wherever a word leads the second by little (`MARGIN`), the sentence is
    decoded again in double precision, from the features themselves. (On a GPU, leave TF32 off, as is the
    default: it is not single precision.)

    With `half=True` what is kept is rounded to half precision: half the memory, and answers that may differ from
    those of the reference. They too depend on the pair alone: products are made in double precision before they are
    rounded, and doubtful words are decided from the rounded products.

    On a graphics card that keeps all images it speaks by recordings; see `RecordedDecoding`.

    Memory: an image takes `image_bytes` for both roles, the words `table_bytes`. If the whole gallery fits into
    `memory_limit`, every image is kept, otherwise half of what is left goes to each role, where the images asked
    for longest ago make room. Images are projected when they are first asked about, or all by `precompute`. Beside
    this, a few tens of MB are in use while it speaks, in every thread that it speaks in at the time; on a graphics card
    what 1,024 images take while it speaks, and about as much for its recordings as long as it lives.

    Threads may share it: each call has its own scratch memory, and where images come and go one call waits for the
    other. What it keeps and gives can take part in a training, also where it was asked in inference mode.

    Args:
        network: in evaluation mode; it is copied to `device` and `dtype`.
        pooled: (N, D) pooled features (tensor, array or HDF5 dataset), None if the network needs none.
        regions: (N, R, C) or (N, H, W, C) region features, None if the network needs none.
        memory_limit: bytes for what is kept; where None, half of what is free, or what `DIALOG_RETRIEVAL_MEMORY` says.
        device: where it computes.
        dtype: float32 or float64.
        half: keeps products in half precision.

    Raises:
        ValueError: missing, unfit or non-finite features or weights, another dtype, a network in training mode, a
            limit that does not hold the words and one pair, or less free memory than is to be kept.
    """

    @lasting
    def __init__(
        self,
        network: Captioner,
        pooled: Any,
        regions: Any = None,
        *,
        memory_limit: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        half: bool = False,
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype is {dtype}; feedback is exact in torch.float32 or torch.float64 only")
        if network.training:
            raise ValueError("the captioner is in training mode; call eval() before it speaks")
        network.check_finite("the captioner")
        self.device = find_device(device)
        self.dtype = dtype
        self.half = half
        self.network = copy.deepcopy(network).to(self.device, dtype).requires_grad_(False)
        self._features = _Features(network, pooled, regions)
        self._exact: tuple[Captioner, FirstLayers] | None = None
        self._lock = _OwnLock()
        self._unused: list[_Scratch] = []
        self._recorded = RecordedDecoding(self.device) if self.device.type == "cuda" else None
        self._table = self.network.word_gates(torch.arange(network.sizes.words + 1, device=self.device))
        limit = memory_for(self.device) if memory_limit is None else memory_limit
        self._plan(limit, *self._split_layers(torch.float64 if half else dtype))

    def _plan(self, memory_limit: int, targets: list[Affine | None], candidates: list[Affine | None]) -> None:
        images, kept = self._features.images, torch.float16 if self.half else self.dtype
        widths = [0 if layer is None else len(layer[0]) for layer in targets]
        self.table_bytes = self._table.numel() * self._table.element_size()
        numbers = widths[0] + widths[1] * self._features.regions_per_image
        self.image_bytes = 2 * numbers * kept.itemsize
        capacity = min(images, max(0, memory_limit - self.table_bytes) // max(1, self.image_bytes))
        if capacity < 1:
            raise ValueError(
                f"memory_limit is {memory_limit} bytes; the words need {self.table_bytes} and one pair of images "
                f"{self.image_bytes}"
            )
        self.capacity = capacity
        fitting = CACHED // max(1, numbers * self.dtype.itemsize)
        on_cpu = self.device.type == "cpu"
        self._chunk = max(CHUNK, min(LARGEST_CHUNK, fitting)) if on_cpu else LARGEST_GPU_CHUNK
        if capacity < images:  # pairs of so many may be of as many images
            self._chunk = min(capacity, self._chunk)
        self.memory_bytes = self.table_bytes + capacity * self.image_bytes
        what = f"what a {self.network.architecture} captioner keeps of {capacity} images"
        require_memory(self.memory_bytes, self.device, what, "lower memory_limit, or give half=True")
        self._roles = [
            _Role(name, self._features, layers, capacity, self.device, kept)
            for name, layers in (("target", targets), ("candidate", candidates))
        ]

    def _split_layers(self, dtype: torch.dtype) -> tuple[list[Affine | None], list[Affine | None]]:
        """The first layers, as read by a target and by a candidate (pooled, regions)."""
        targets: list[Affine | None] = []
        candidates: list[Affine | None] = []
        for layer in self.network.first_layers():
            if layer is None:
                targets.append(None)
                candidates.append(None)
                continue
            direct, difference = layer[0].double().chunk(2, dim=1)
            targets.append(((direct + difference).to(dtype), None if layer[1] is None else layer[1].to(dtype)))
            candidates.append((difference.to(dtype).contiguous(), None))
        return targets, candidates

    def __len__(self) -> int:
        """N, the number of images."""
        return self._features.images

    @lasting
    def precompute(self, progress: Callable[[Iterator[int]], Iterator[int]] = iter) -> None:
        """Projects all images (as many as are kept) now instead of when they are asked about."""
        for start in progress(iter(range(0, self.capacity, IMAGES_AT_ONCE))):
            images = torch.arange(start, min(self.capacity, start + IMAGES_AT_ONCE))
            with self._lock:
                for role in self._roles:
                    role.find(images, None)

    @lasting
    def start(self, targets: Tensor, candidates: Tensor) -> Start:
        """Prepares the network for pairs, for any way of decoding; at most `capacity` pairs at once.

        Args:
            targets: (B,) int64 positions.
            candidates: (B,) int64 positions.
        """
        return self._start(targets, candidates)

    def _start(self, targets: Tensor, candidates: Tensor, scratch: _Scratch | None = None) -> Start:
        read = self._differences(targets, candidates, self.dtype, scratch)
        encoded, state = self.network.begin_projected(*read)
        if scratch is not None and encoded.keys is not None:
            encoded = encoded._replace(room=scratch.room("room", encoded.keys, len(targets)))
        return Start(self.network, encoded, state, self._table)

    def _say_to_the_end(self, targets: Tensor, candidates: Tensor) -> Sentences:
        return greedy(self._start(targets, candidates), margin=MARGIN, to_the_end=True)

    def _differences(
        self, targets: Tensor, candidates: Tensor, dtype: torch.dtype, scratch: _Scratch | None
    ) -> list[Tensor | None]:
        """Outputs of the first layers for pairs, from what is kept; in scratch memory, where it is given."""
        with nullcontext() if all(role.whole for role in self._roles) else self._lock:
            target, candidate = (
                role.find(images, scratch) for role, images in zip(self._roles, (targets, candidates), strict=True)
            )
        return [
            None if left is None or right is None else left.to(dtype).sub_(right)
            for left, right in zip(target, candidate, strict=True)
        ]

    @lasting
    def feedback(self, targets: Tensor, candidates: Tensor) -> Tensor:
        """What the captioner says about pairs.

        Args:
            targets: (B,) int64 positions of the images in mind.
            candidates: (B,) int64 positions of the images shown.

        Returns:
            (B, 16) int64 tokens, 0 after the last word.

        Raises:
            ValueError: positions outside the gallery, or shapes that differ.
        """
        targets, candidates = self._check(targets, candidates)
        parts, doubts = [], []
        try:
            scratch = self._unused.pop()
        except IndexError:  # the first call, or others are speaking at the moment
            scratch = _Scratch()
        recorded = self._recorded if all(role.whole for role in self._roles) else None
        for pair in zip(targets.split(self._chunk), candidates.split(self._chunk), strict=True):
            if recorded is None or len(pair[0]) > MOST:
                said = greedy(self._start(*pair, scratch), margin=MARGIN)
            else:
                said = recorded(self._say_to_the_end, *pair)
            assert said.doubtful is not None
            parts.append(said.tokens)
            doubts.append(said.doubtful)
        self._unused.append(scratch)
        if not parts:
            return torch.zeros(0, MAX_WORDS, dtype=torch.int64, device=self.device)
        tokens, doubtful = torch.cat(parts), torch.cat(doubts)
        unsure = doubtful.nonzero().squeeze(1)
        for first in range(0, len(unsure), CHUNK):
            some = unsure[first : first + CHUNK]
            tokens[some] = self._decide(targets[some], candidates[some])
        return tokens

    @torch.no_grad()
    def log_likelihood(self, tokens: Tensor, targets: Tensor, candidates: Tensor) -> Tensor:
        """How likely the captioner is to say given sentences of pairs; see `decoding.log_likelihood`.

        It is computed in single precision, whose sums depend on the batch: 1e-5 nats or so a sentence.

        Args:
            tokens: (B, 16) int64, 0 after the last word.
            targets: (B,) int64 positions of the images in mind.
            candidates: (B,) int64 positions of the images shown.

        Returns:
            (B,) float64 log-probabilities in nats.

        Raises:
            ValueError: positions outside the gallery, or shapes that differ.
        """
        targets, candidates = self._check(targets, candidates)
        if tokens.shape != (len(targets), MAX_WORDS):
            raise ValueError(f"tokens {tuple(tokens.shape)} must be ({len(targets)}, {MAX_WORDS}), one row a pair")
        pieces = zip(*(part.split(self._chunk) for part in (targets, candidates, tokens.to(self.device))), strict=True)
        parts = [log_likelihood(self.start(target, candidate), said) for target, candidate, said in pieces]
        return torch.cat([torch.zeros(0, dtype=torch.float64, device=self.device), *parts])

    def _check(self, targets: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        if targets.shape != candidates.shape or targets.dim() != 1:
            raise ValueError(
                f"targets {tuple(targets.shape)} and candidates {tuple(candidates.shape)} must both be (B,)"
            )
        for name, images in (("target", targets), ("candidate", candidates)):
            if images.numel() and not 0 <= int(images.min()) <= int(images.max()) < len(self):
                raise ValueError(f"a {name} lies outside 0..{len(self) - 1}; give positions in the gallery")
        return targets.to(self.device), candidates.to(self.device)

    def _decide(self, targets: Tensor, candidates: Tensor) -> Tensor:
        """Tokens (B, 16) in double precision, from the features, or from what is kept in half precision."""
        with self._lock:
            if self._exact is None:
                exact = copy.deepcopy(self.network).double()
                self._exact = exact, exact.first_layers()
            network, layers = self._exact
        if self.half:
            read = self._differences(targets, candidates, torch.float64, None)
            return greedy(Start(network, *network.begin_projected(*read)), tie=TIE).tokens
        with self._lock:
            target, candidate = (
                self._features.read(images.cpu(), self.device, torch.float64) for images in (targets, candidates)
            )
        pairs = [
            None if left is None or right is None else pair_features(left, right)
            for left, right in zip(target, candidate, strict=True)
        ]
        read = [
            None if layer is None or pair is None else F.linear(pair, *layer)
            for layer, pair in zip(layers, pairs, strict=True)
        ]
        return greedy(Start(network, *network.begin_projected(read[0], read[1])), tie=TIE).tokens


class _OwnLock:
    """A lock; a copy of what it guards has one of its own, which nobody holds."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> Any:
        return _OwnLock, ()


class _Scratch:
    """Memory that one call after the other writes over: fresh memory costs a CPU more than filling it."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, Tensor] = {}

    def room(self, name: Hashable, like: Tensor, rows: int) -> Tensor:
        """So many rows of the shape and kind of those of `like`, the same ones at every call for a name."""
        part = self._parts.get(name)
        if part is None or len(part) < rows:
            part = self._parts[name] = like.new_empty(rows, *like.shape[1:])
        return part[:rows]


class _Features:
    """The features that a network looks at, wherever they lie."""

    def __init__(self, network: Captioner, pooled: Any, regions: Any) -> None:
        self.sources: list[Any] = []
        self.images = 0
        self.regions_per_image = 0
        for kind, needed, source, width in (
            ("pooled", network.needs_pooled, pooled, network.sizes.pooled),
            ("region", network.needs_regions, regions, network.sizes.regions),
        ):
            if not needed:
                self.sources.append(None)
                continue
            if source is None:
                raise ValueError(f"{network.architecture} needs {kind} features; use a catalogue that has them")
            if len(source.shape) not in ((2,) if kind == "pooled" else (3, 4)) or source.shape[-1] != width:
                raise ValueError(
                    f"{kind} features have shape {tuple(source.shape)}, {network.architecture} was made for {width} "
                    "channels; use the catalogue features that it was trained on"
                )
            if self.images and len(source) != self.images:
                raise ValueError(
                    f"{self.images} images have pooled and {len(source)} region features; give both for all"
                )
            self.images = len(source)
            if kind == "region":
                self.regions_per_image = int(np.prod(source.shape[1:-1]))
            self.sources.append(source)

    def read(self, images: Tensor, device: torch.device, dtype: torch.dtype) -> list[Tensor | None]:
        """Pooled (B, D) and region (B, R, C) features of images (on the CPU); ValueError where one is not finite."""
        parts: list[Tensor | None] = []
        for source in self.sources:
            if source is None:
                parts.append(None)
                continue
            part = _rows(source, images).to(device, dtype)
            if part.dim() == 4:
                part = part.flatten(1, 2)
            if not torch.isfinite(part).all():
                broken = images[(~torch.isfinite(part)).flatten(1).any(dim=1).nonzero()[0, 0].cpu()]
                raise ValueError(f"features of image {int(broken)} are not finite; extract them again")
            parts.append(part)
        return parts


def _rows(source: Any, images: Tensor) -> Tensor:
    if isinstance(source, Tensor):
        return source[images.to(source.device)]
    # HDF5 takes rows in rising order, each once.
    unique, places = np.unique(images.numpy(), return_inverse=True)
    return torch.from_numpy(np.asarray(source[unique])[places])


class _Role:
    """Products of images in one role, target or candidate, with the first layers; the last used ones are kept."""

    def __init__(
        self,
        name: str,
        features: _Features,
        layers: list[Affine | None],
        capacity: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name = name
        self.features = features
        self.layers = layers
        self.device, self.dtype = device, dtype
        shapes = [(capacity,), (capacity, features.regions_per_image)]
        self.kept = [
            None if layer is None else torch.empty(*shape, len(layer[0]), device=device, dtype=dtype)
            for layer, shape in zip(layers, shapes, strict=True)
        ]
        self.complete = capacity == features.images
        """Whether every image has its place, its position."""
        self.missing = features.images
        self.place: NDArray[np.int64] = np.full(features.images, -1, dtype=np.int64)
        self.image: NDArray[np.int64] = np.full(capacity, -1, dtype=np.int64)
        self.used: NDArray[np.int64] = np.zeros(capacity, dtype=np.int64)
        self.clock = 0

    @property
    def whole(self) -> bool:
        """Whether every image is in its place, and nothing changes any more."""
        return self.complete and not self.missing

    def find(self, images: Tensor, scratch: _Scratch | None) -> list[Tensor | None]:
        """Products with images (B,), pooled (B, ·) and of regions (B, R, ·), computed where they are not kept."""
        if self.whole:
            places = images.to(self.device)
        else:
            asked = images.cpu().numpy()
            self._keep(np.unique(asked))
            places = torch.from_numpy(self.place[asked]).to(self.device)
        found: list[Tensor | None] = []
        for part, kept in enumerate(self.kept):
            if kept is None or scratch is None:
                found.append(None if kept is None else kept.index_select(0, places))
            else:
                room = scratch.room((self.name, part), kept, len(places))
                found.append(torch.index_select(kept, 0, places, out=room))
        return found

    def _keep(self, images: NDArray[np.int64]) -> None:
        if len(images) > len(self.image):
            raise ValueError(f"{len(images)} images at once, {len(self.image)} can be kept; ask in smaller batches")
        self.clock += 1
        self.used[self.place[images[self.place[images] >= 0]]] = self.clock
        new = images[self.place[images] < 0]
        if self.complete:
            places = new
        else:
            places = np.argsort(self.used, kind="stable")[: len(new)]
            left = self.image[places]
            self.place[left[left >= 0]] = -1
        for start in range(0, len(new), IMAGES_AT_ONCE):
            self._project(new[start : start + IMAGES_AT_ONCE], places[start : start + IMAGES_AT_ONCE])
        self.image[places] = new
        self.used[places] = self.clock
        self.place[new] = places
        self.missing -= len(new)

    def _project(self, images: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        where = torch.from_numpy(places).to(self.device)
        exactly = torch.float64 if self.dtype == torch.float16 else self.dtype
        parts = self.features.read(torch.from_numpy(images), self.device, exactly)
        for kept, layer, part in zip(self.kept, self.layers, parts, strict=True):
            if kept is not None and layer is not None and part is not None:
                products = F.linear(part, *layer).to(self.dtype)
                if self.dtype == torch.float16 and not bool(products.isfinite().all()):
                    raise ValueError("a product is too large for half precision; keep single precision")
                kept[where] = products
