"""A backbone that OpenVINO runs gives the features that PyTorch gives, for any batch and number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.catalog.sources.features import VisionBackbone, load_network
from dialog_env.catalog.sources.folder import Folder
from tests.catalog.encoders import CONFIGS
from tests.conftest import REPOSITORY, encode, shared_path

SIZES = {"dimensions": 6, "region_channels": 5, "grid": 2, "batch": 8, "device": "cpu"}


@pytest.fixture
def openvino():
    if find_spec("openvino") is None:
        pytest.skip("it needs the extra `openvino`")


def pictures(backbone: VisionBackbone, count: int) -> np.ndarray:
    """Blurred noise, as pictures are less rough than noise is."""
    height, width = backbone.preprocessing.height, backbone.preprocessing.width
    noise = torch.rand(count, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(3)) * 255
    return torch.nn.functional.interpolate(noise, (height, width), mode="bilinear").byte().permute(0, 2, 3, 1).numpy()


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)).max())


def check(folder: Path, pooling: str, grid: int) -> None:
    plain, quick = (VisionBackbone(folder, "cpu", pooling, engine) for engine in ("torch", "openvino"))
    plain.network = load_network(folder).float().eval()
    plain.network = getattr(plain.network, "vision_model", plain.network)
    seen = pictures(plain, 5)
    expected, found = plain(seen, grid), quick(seen, grid)
    assert expected[1] is not None
    assert found[1] is not None
    assert apart(found[0], expected[0]) < 1e-4
    assert apart(found[1], expected[1]) < 1e-4
    assert float(expected[0].std(dim=0).max()) > 0.01
    for few in (seen[:1], seen[3:4], seen[1:4]):
        start = next(row for row in range(5) if np.array_equal(seen[row], few[0]))
        for all_of_them, alone in zip(found, quick(few, grid), strict=True):
            beside = all_of_them[start : start + len(few)]
            assert torch.equal(beside, alone) or pooling == "projection"  # which PyTorch does, within rounding
            assert apart(beside, alone) < 1e-6


@pytest.mark.parametrize(
    ("kind", "pooling"), [*((kind, "mean") for kind in CONFIGS), ("vit", "cls"), ("clip", "projection")]
)
def test_every_kind_of_backbone_gives_the_same_in_openvino(openvino, backbones, kind, pooling):
    check(backbones[kind], pooling, grid=2)


@pytest.mark.slow
def test_the_real_backbone_gives_the_same_in_openvino(openvino):
    check(shared_path("models", "mobilenet_v1"), "mean", grid=7)


def test_the_number_of_threads_changes_no_bit(openvino, backbones):
    before, given = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            backbone = VisionBackbone(backbones["convolution"], engine="openvino")
            given.append(backbone(pictures(backbone, 7), 2))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*given, strict=True))


def test_a_catalogue_is_the_same_but_for_what_it_says_of_its_engine(openvino, backbones, tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(30):
        pixels = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
        (tmp_path / "pictures" / f"{number:02d}.png").write_bytes(encode(pixels))
    made: dict[str, Catalog] = {}
    for engine in ("torch", "openvino"):
        output = tmp_path / f"{engine}.h5"
        made[engine] = Folder(tmp_path / "pictures", backbones["convolution"], output, engine=engine, **SIZES).build()
    assert made["torch"].space.id == made["openvino"].space.id
    np.testing.assert_allclose(made["openvino"].features, made["torch"].features, atol=1e-4)
    told = [made[engine].provenance["backbone"].pop("engine", "") for engine in ("torch", "openvino")]
    assert told == ["", f"openvino {sys.modules['importlib.metadata'].version('openvino')}"]
    assert made["torch"].provenance["backbone"] == made["openvino"].provenance["backbone"]


def test_nothing_is_reported_by_openvino(backbones, tmp_path):
    if find_spec("openvino") is None:
        pytest.skip("it needs the extra `openvino`")
    code = (
        "import sys\n"
        "from dialog_env.catalog.sources.features import VisionBackbone\n"
        f"VisionBackbone({str(backbones['vit'])!r}, engine='openvino')\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("CI", None)  # it reports nothing there anyway
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert not (tmp_path / "intel").exists()  # where it keeps the number by which it reports


def test_what_openvino_cannot_do_is_refused(backbones, tmp_path, monkeypatch):
    folder = Folder(tmp_path, backbones["vit"], tmp_path / "out.h5", engine="tensorflow", **SIZES)
    with pytest.raises(ValueError, match="engine='tensorflow' is not known; choose one of torch, openvino"):
        folder.build()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"OpenVINO, which is not installed; pip install 'dialog-retrieval\[openv"):
        VisionBackbone(backbones["vit"], engine="openvino")


def test_features_that_differ_are_refused(openvino, backbones, monkeypatch):
    from dialog_env.catalog.sources import openvino_engine

    monkeypatch.setattr(openvino_engine, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="OpenVINO gives other features of noise than PyTorch; use --engine torch"):
        VisionBackbone(backbones["vit"], engine="openvino")
