"""Fixtures that several test files share."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from dialog_env.catalog import Catalog, Contents
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.images import EncodedImages

os.environ["DIALOG_RETRIEVAL_ANSWERS"] = "memory"  # in processes that tests start, too: no test fills a real cache
REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is marked long unless it is asked for."""
    if "long" not in config.getoption("markexpr"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; run pytest -m long, or make long"))


def shared_path(*parts: str) -> Path:
    """A path below `$DIALOG_RETRIEVAL_DATA` or `../shared`; skips the test where there is none."""
    roots = [os.environ.get("DIALOG_RETRIEVAL_DATA"), REPOSITORY.parent / "shared"]
    candidates = [Path(root, *parts) for root in roots if root]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    pytest.skip(f"reference data absent: no {' or '.join(map(str, candidates))}; set DIALOG_RETRIEVAL_DATA")


def encode(pixels: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """A picture (H, W, 3) as a PNG or JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def tiny_contents(
    size: int = 24,
    dimensions: int = 8,
    regions: tuple[int, int] | None = (4, 6),
    seed: int = 0,
) -> Contents:
    """A random catalogue of `size` images with attributes, regions, PNG pictures and three splits."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (size, 16, 12, 3), dtype=np.uint8)
    attributes = AttributeTable(
        graded_names=("bright in colour", "high at the heel"),
        graded=random.random((size, 2), dtype=np.float32),
        categorical_names=("class", "colour"),
        values=(("boots", "clogs", "pumps"), ("black", "red", "white", "blue")),
        categorical=np.stack([random.integers(0, 3, size), random.integers(-1, 4, size)], axis=1).astype(np.int16),
    )
    bounds = [0, size // 2, size // 2 + size // 4, size]
    return Contents(
        name="tiny",
        ids=np.array([f"tiny-{index:03d}" for index in range(size)], dtype=object),
        features=random.standard_normal((size, dimensions)).astype(np.float32),
        regions=random.standard_normal((size, *regions)).astype(np.float16) if regions else None,
        attributes=attributes,
        splits={
            name: np.arange(low, high, dtype=np.int64)
            for name, low, high in zip(("train", "validation", "test"), bounds[:-1], bounds[1:], strict=True)
        },
        images=EncodedImages([np.frombuffer(encode(picture), dtype=np.uint8) for picture in pictures], (16, 12)),
        provenance={"source": "random numbers", "seed": seed},
    )


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """PyTorch computing with one thread, and with two."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_tiny() -> Callable[..., Contents]:
    """Makes random contents of a catalogue; see `tiny_contents`."""
    return tiny_contents


@pytest.fixture
def tiny_catalog() -> Catalog:
    """A random catalogue of 24 images in memory."""
    return Catalog(tiny_contents())


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    """The same catalogue as an HDF5 file."""
    path = tmp_path / "tiny.h5"
    Catalog(tiny_contents()).write(path)
    return path
