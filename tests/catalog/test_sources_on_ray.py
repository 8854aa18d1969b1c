"""Features extracted by several workers are those of one process, and the catalogue is the same."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.catalog.sources.batches import digest_of, holds, path_of
from dialog_env.catalog.sources.encoders import open_encoder
from dialog_env.catalog.sources.features import depends_on, extract
from dialog_env.catalog.sources.folder import Folder
from dialog_env.catalog.sources.on_ray import Extractor
from tests.conftest import REPOSITORY, encode
from tests.damage import refusal

SIZES = {"dimensions": 6, "region_channels": 5, "grid": 2, "batch": 8}
OPTIONS = ["--dimensions", "6", "--region-channels", "5", "--grid", "2", "--batch", "8", "--device", "cpu"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Thirty pictures."""
    random, folder = np.random.default_rng(0), tmp_path / "pictures"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02d}.png").write_bytes(encode(random.integers(0, 256, (40, 30, 3), dtype=np.uint8)))
    return folder


def extractor(pictures: Path, backbone: Path, partial: Path) -> tuple[Extractor, list[np.ndarray], str]:
    encoded = [np.frombuffer(path.read_bytes(), np.uint8) for path in sorted(pictures.iterdir())]
    opened = functools.partial(open_encoder, "vision", backbone, "cpu", "mean")
    settings = digest_of(depends_on(encoded, opened(), 2))
    place = (os.getcwd(), sys.path, torch.get_num_threads())
    return Extractor(encoded, opened, partial, settings, 2, 8, place), encoded, settings


def test_batches_made_in_any_order_are_found_and_are_those_of_one_process(
    pictures: Path, backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = open_encoder("vision", backbones["convolution"], "cpu", "mean")
    worker, encoded, settings = extractor(pictures, backbones["convolution"], tmp_path / "workers")
    assert worker({"start": np.array([24])})["items"].tolist() == [6]
    assert worker({"start": np.array([8, 0, 16])})["items"].tolist() == [8, 8, 8]
    assert [holds(path_of(tmp_path / "workers", start), settings, start) for start in (0, 8, 16, 24, 32)] == [
        *(True,) * 4,
        False,
    ]
    with extract(encoded, backbone, tmp_path / "one", grid=2, batch=8, notify=print) as one:
        monkeypatch.setattr(type(backbone), "__call__", None)  # nothing is left to do
        with extract(encoded, backbone, tmp_path / "workers", grid=2, batch=8, notify=print) as other:
            for name in ("pooled", "regions"):
                assert np.array_equal(one[name][:], other[name][:])
    path_of(tmp_path / "workers", 8).write_bytes(b"damaged")
    assert not holds(path_of(tmp_path / "workers", 8), settings, 8)
    assert not holds(path_of(tmp_path / "workers", 0), "other settings", 0)


def test_one_address_is_taken(pictures: Path, backbones: dict[str, Path], tmp_path: Path) -> None:
    source = Folder(pictures, backbones["convolution"], tmp_path / "out.h5", ray=("here", "there"), **SIZES)
    assert refusal(source.build) == "--ray takes one address, not 2"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is absent; pip install 'dialog-retrieval[ray]'")
def test_a_catalogue_built_by_ray_is_the_one_built_here_and_goes_on_with_the_batches_that_are_missing(
    pictures: Path, backbones: dict[str, Path], tmp_path: Path
) -> None:
    here = Folder(pictures, backbones["convolution"], tmp_path / "here.h5", device="cpu", **SIZES).build()
    partial = tmp_path / "there.h5.partial"
    partial.mkdir()
    worker, *_ = extractor(pictures, backbones["convolution"], partial)
    worker({"start": np.array([16])})  # as a stopped build leaves one behind others that are missing
    command = ["catalog", "build", "folder", "--root", pictures, "--backbone", backbones["convolution"]]
    done = subprocess.run(
        [sys.executable, "-m", "dialog_env", *command, "--output", "there.h5", *OPTIONS, "--ray"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "going on after 30 images" in done.stdout + done.stderr
    assert Catalog.open(tmp_path / "there.h5").fingerprint == here.fingerprint
    assert not partial.exists()
    assert not (tmp_path / ".ray").exists()
