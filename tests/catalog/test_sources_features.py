"""Features of photographs: any backbone, stopped and resumed, reduced on the train split, through the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.catalog.sources.batches import Batches
from dialog_env.catalog.sources.features import Preprocessing, VisionBackbone, extract
from dialog_env.catalog.sources.products import Products
from dialog_env.catalog.sources.reduction import Projection, unit_rows
from dialog_env.catalog.sources.shoes import Shoes
from dialog_env.io import checkpoint
from dialog_env.simulators import make_simulator
from tests.catalog.encoders import CONFIGS, PREPROCESSOR
from tests.catalog.test_sources_products import ROW, write_products
from tests.catalog.test_sources_shoes import EVALUATION, TRAIN, write_captions, write_photographs
from tests.conftest import REPOSITORY, encode, shared_path

transformers = pytest.importorskip("transformers", reason="extraction needs the extra `images`")


def photographs(count: int, seed: int = 0) -> list[bytes]:
    """Random pictures as PNG files."""
    random = np.random.default_rng(seed)
    return [encode(random.integers(0, 256, (40, 30, 3), dtype=np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_kind_of_backbone_gives_pooled_and_region_features(backbones: dict[str, Path], kind: str) -> None:
    backbone = VisionBackbone(backbones[kind])
    pixels = np.stack([backbone.preprocessing.pixels(content) for content in photographs(3)])
    pooled, regions = backbone(pixels, grid=2)
    assert regions is not None
    assert regions.shape == (3, 4, pooled.shape[1])
    assert pooled.shape == (3, 12 if kind == "convolution" else 16)
    torch.testing.assert_close(pooled, regions.mean(dim=1), atol=1e-5, rtol=1e-4)
    alone, _ = backbone(pixels[1:2], grid=0)
    torch.testing.assert_close(alone[0], pooled[1], atol=1e-5, rtol=1e-4)


def test_class_tokens_are_left_out_of_a_transformer(backbones: dict[str, Path]) -> None:
    backbone = VisionBackbone(backbones["vit"])
    pixels = np.stack([backbone.preprocessing.pixels(content) for content in photographs(2)])
    with torch.inference_mode():
        tokens = backbone.network(pixel_values=backbone.preprocessing.normalise(torch.from_numpy(pixels)))
    _, regions = backbone(pixels, grid=4)
    torch.testing.assert_close(regions, tokens.last_hidden_state[:, 1:], atol=1e-5, rtol=1e-4)


def test_preprocessing_follows_its_file(tmp_path: Path) -> None:
    config: dict[str, Any] = {**PREPROCESSOR, "size": {"shortest_edge": 16}, "crop_size": 12, "do_center_crop": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    cut = Preprocessing.read(tmp_path)
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, 36:44] = 255
    pixels = cut.pixels(encode(picture))
    assert pixels.shape == (12, 12, 3)
    assert pixels[6, 6].min() > 200
    assert pixels[6, 0].max() < 30
    normal = cut.normalise(torch.from_numpy(pixels[None]))
    assert normal.shape == (1, 3, 12, 12)
    assert (normal.min(), normal.max()) == (-1, pytest.approx(pixels.max() / 127.5 - 1))


def test_a_backbone_folder_that_lacks_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no backbone; it must hold"):
        VisionBackbone(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no preprocessor configuration at .*preprocessor_config\.json"):
        VisionBackbone(tmp_path)
    for wrong in (
        {"size": "large"},
        {"size": 10**9},
        {"size": 0},
        {"size": {"height": -1, "width": 8}},
        {"size": []},
        {"size": 8, "image_std": [0, 1, 1]},
        {"size": 8, "image_std": [1, 1]},
        {"size": 8, "image_mean": "red"},
        {"size": 8, "rescale_factor": float("inf")},
        {"size": 8, "resample": 77},
        {"size": 8, "crop_pct": 0},
        {},
        [],
    ):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r"preprocessor_config\.json is no preprocessor configuration"):
            VisionBackbone(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    with pytest.raises(ValueError, match="cannot be loaded as a backbone"):
        VisionBackbone(tmp_path)


def test_code_beside_a_backbone_is_not_run(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'started')!r}, 'w')\nclass Config: pass\nclass Net: pass\n"
    (tmp_path / "evil.py").write_text(code)
    automatic = {"AutoConfig": "evil.Config", "AutoModel": "evil.Net"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": automatic}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    with pytest.raises(ValueError, match=r"cannot be loaded as a backbone .*code .* beside it, which is not run"):
        VisionBackbone(tmp_path)
    assert not (tmp_path / "started").exists()


class Stop(Exception):
    """An interruption in the middle of extraction."""


def stop_after(backbone: VisionBackbone, batches: int) -> Any:
    """A stand-in for the backbone that is interrupted after some batches."""

    class Stopping:
        description, prepare = backbone.description, backbone.prepare
        left = batches

        def __call__(self, pixels: Any, grid: int) -> Any:
            if not self.left:
                raise Stop
            self.left -= 1
            return backbone(pixels, grid)

    return Stopping()


def test_a_stopped_extraction_goes_on_and_gives_the_same_numbers(backbones: dict[str, Path], tmp_path: Path) -> None:
    backbone, pictures, notes = VisionBackbone(backbones["convolution"]), photographs(22), []
    with extract(pictures, backbone, tmp_path / "whole", grid=2, batch=4, notify=notes.append) as whole:
        expected = whole["pooled"][:], whole["regions"][:]
    assert not notes
    with pytest.raises(Stop):
        extract(pictures, stop_after(backbone, 3), tmp_path / "partial", grid=2, batch=4, notify=notes.append)
    counted = stop_after(backbone, 99)
    with extract(pictures, counted, tmp_path / "partial", grid=2, batch=4, notify=notes.append) as resumed:
        np.testing.assert_array_equal(resumed["pooled"][:], expected[0])
        np.testing.assert_array_equal(resumed["regions"][:], expected[1])
    assert counted.left == 99 - 3
    assert ["going on after 12 images" in note for note in notes] == [True]


@pytest.mark.parametrize("change", ["pictures", "grid", "backbone", "damage"])
def test_other_settings_start_anew_with_a_notice(backbones: dict[str, Path], tmp_path: Path, change: str) -> None:
    backbone, partial, notes = VisionBackbone(backbones["convolution"]), tmp_path / "partial", []
    with pytest.raises(Stop):
        extract(photographs(8), stop_after(backbone, 1), partial, grid=2, batch=4, notify=notes.append)
    if change == "damage":
        [batch] = partial.glob("*.safetensors")
        batch.write_bytes(batch.read_bytes()[:300])
    other = stop_after(VisionBackbone(backbones["vit"]) if change == "backbone" else backbone, 99)
    pictures = photographs(8, seed=int(change == "pictures"))
    grid = 1 if change == "grid" else 2
    with extract(pictures, other, partial, grid=grid, batch=4, notify=notes.append) as file:
        assert file["regions"].shape[1] == grid**2
    assert other.left == 97
    assert len(notes) == 1
    assert "starts anew" in notes[0]


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "empty"])
def test_batches_before_a_damaged_one_are_kept_and_those_behind_extracted_anew(
    backbones: dict[str, Path], tmp_path: Path, damage: str
) -> None:
    backbone, pictures, partial, notes = VisionBackbone(backbones["vit"]), photographs(20), tmp_path / "partial", []
    with extract(pictures, backbone, partial, grid=2, batch=4, notify=notes.append) as whole:
        expected = whole["pooled"][:], whole["regions"][:]
    third = sorted(partial.glob("*.safetensors"))[2]
    content = bytearray(third.read_bytes())
    content[-3] ^= 1
    if damage == "missing":
        third.unlink()
    else:
        third.write_bytes({"flipped": content, "cut": content[:-7], "empty": b""}[damage])
    counted = stop_after(backbone, 99)
    with extract(pictures, counted, partial, grid=2, batch=4, notify=notes.append) as resumed:
        np.testing.assert_array_equal(resumed["pooled"][:], expected[0])
        np.testing.assert_array_equal(resumed["regions"][5:17], expected[1][5:17])
    assert counted.left == 99 - 3
    assert len(notes) == 1
    assert "going on after 8 images" in notes[0]


def test_a_folder_that_another_process_writes_is_refused_and_an_old_file_replaced(tmp_path: Path) -> None:
    (tmp_path / "partial").write_bytes(b"of a release that kept one file here")
    with Batches(tmp_path / "partial", {}, print) as batches:
        batches.append({"pooled": torch.ones(2, 3)})
        with pytest.raises(ValueError, match="partial is being written by another process"):
            Batches(tmp_path / "partial", {}, print)
    (tmp_path / "partial" / "notes.txt").touch()
    with Batches(tmp_path / "partial", {}, print) as batches:
        assert batches.done == 2
        batches.remove()
    assert [path.name for path in (tmp_path / "partial").iterdir()] == ["notes.txt"]


def test_a_batch_that_does_not_reach_the_disk_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpoint.write

    def losing(path: Path, *arguments: Any) -> None:
        real(path, *arguments)
        content = path.read_bytes()
        path.write_bytes(content[:-4] + bytes(4))

    with Batches(tmp_path / "partial", {}, print) as batches:
        batches.append({"pooled": torch.ones(2, 3)})
        monkeypatch.setattr(checkpoint, "write", losing)
        with pytest.raises(OSError, match=r"000000002\.safetensors does not read back as it was written"):
            batches.append({"pooled": torch.ones(2, 3)})
        assert batches.done == 2


def test_nan_from_a_backbone_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    backbone = VisionBackbone(backbones["convolution"])
    with torch.no_grad():
        next(backbone.network.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN or infinite pooled features from image 0"):
        extract(photographs(3), backbone, tmp_path / "partial", grid=2, batch=2, notify=print)


def test_principal_components_are_those_of_the_fitted_rows() -> None:
    random = np.random.default_rng(0)
    features = (random.standard_normal((600, 12)) * np.arange(12, 0, -1) + 5).astype(np.float32)
    features[400:] += 100
    rows = np.arange(400)
    projection = Projection.fit(features, rows, 5)
    reduced = projection(features)
    _, singular, directions = np.linalg.svd(features[:400] - features[:400].mean(axis=0), full_matrices=False)
    expected = (features - features[:400].mean(axis=0)) @ directions[:5].T
    np.testing.assert_allclose(np.abs(reduced), np.abs(expected), rtol=1e-3, atol=1e-2)
    assert projection.kept == pytest.approx((singular[:5] ** 2).sum() / (singular**2).sum(), rel=1e-4)
    assert (projection.components.max(axis=0) == np.abs(projection.components).max(axis=0)).all()
    assert Projection.fit(features, rows, 0).components.shape == (12, 12)
    assert Projection.fit(features[:3], np.arange(3), 8).components.shape == (12, 3)
    np.testing.assert_allclose(np.linalg.norm(unit_rows(reduced), axis=1), 1, rtol=1e-5)
    assert not unit_rows(np.zeros((2, 3), np.float32)).any()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty photographs in the layout of products."""
    write_products(tmp_path / "data", [[str(number), *ROW] for number in range(30)])
    return tmp_path


def build(folder: Path, backbone: Path, output: str = "out.h5", **settings: Any) -> Catalog:
    """Builds a small catalogue of the photographs."""
    sizes = {"dimensions": 6, "region_channels": 5, "grid": 2, "batch": 8, **settings}
    return Products(folder / "data", backbone, folder / output, **sizes).build()


def test_a_build_records_where_its_features_come_from(folder: Path, backbones: dict[str, Path]) -> None:
    (folder / "data" / "images" / "29.jpg").unlink()
    catalog = build(folder, backbones["convolution"])
    assert (len(catalog), catalog.dimensions, catalog.region_shape, catalog.image_size) == (29, 6, (4, 5), (80, 60))
    np.testing.assert_allclose(np.linalg.norm(catalog.features, axis=1), 1, rtol=1e-5)
    train = catalog.split("train").read_regions()
    assert np.square(train).mean() == pytest.approx(1, abs=0.02)
    assert np.abs(train.mean(axis=(0, 1))).max() < 0.01
    provenance = catalog.provenance
    assert provenance["skipped"]["row without image"] == 1
    assert len(provenance["backbone"]["weights sha256"]) == 64
    assert provenance["backbone"]["preprocessing"]["height"] == 32
    assert provenance["reduction"]["pooled"]["to"] == 6
    assert sorted(path.name for path in folder.iterdir()) == ["data", "out.h5"]
    catalog.verify()


def test_gender_and_brand_are_not_spoken_of_unless_that_is_asked(folder: Path, backbones: dict[str, Path]) -> None:
    rows = [[str(n), ("Men", "Women")[n % 2], *ROW[1:4], ("Red", "Blue")[n % 3 % 2], *ROW[5:]] for n in range(30)]
    write_products(folder / "data", rows)
    catalog = build(folder, backbones["convolution"])
    assert catalog.visible == ("articleType", "baseColour", "usage", "bright in colour", "long on the leg")
    words = make_simulator("describer", catalog).vocabulary.words
    assert {"red", "blue"} <= set(words)
    assert not {"men", "women"} & set(words)
    everything = build(folder, backbones["convolution"], "all.h5", visible=("all",))
    assert {"men", "women"} <= set(make_simulator("describer", everything).vocabulary.words)
    with pytest.raises(ValueError, match=r"data gives no attribute 'size' to be visible; it gives gender, articleType"):
        build(folder, backbones["convolution"], "none.h5", visible=("size",))


def test_the_same_input_gives_the_same_fingerprint_and_other_input_another(
    folder: Path, backbones: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(folder, backbones["convolution"])
    assert build(folder, backbones["convolution"], "again.h5").fingerprint == first.fingerprint
    real, calls = VisionBackbone.__call__, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:  # a first look, and two batches
            raise Stop
        return real(*arguments)

    monkeypatch.setattr(VisionBackbone, "__call__", interrupted)
    with pytest.raises(Stop):
        build(folder, backbones["convolution"], "stopped.h5")
    assert not (folder / "stopped.h5").exists()
    assert build(folder, backbones["convolution"], "stopped.h5").fingerprint == first.fingerprint
    assert len(calls) == 4 + 1 + 2
    assert build(folder, backbones["vit"], "other.h5").fingerprint != first.fingerprint


def test_shoes_are_built_in_their_official_split(tmp_path: Path, backbones: dict[str, Path]) -> None:
    write_captions(tmp_path / "data")
    write_photographs(tmp_path / "data", [*TRAIN, *EVALUATION])
    source = Shoes(tmp_path / "data", backbones["vit"], tmp_path / "shoes.h5", dimensions=6, region_channels=5, grid=2)
    catalog = source.build()
    assert list(catalog.split("test").ids) == EVALUATION
    assert set(catalog.split("train").ids) | set(catalog.split("validation").ids) == set(TRAIN)
    assert catalog.attributes is not None
    assert catalog.attributes.categorical_names == ("class",)
    assert catalog.image_size == (28, 28)


def test_a_build_without_regions_has_none(folder: Path, backbones: dict[str, Path]) -> None:
    assert build(folder, backbones["vit"], grid=0).region_shape is None


@pytest.mark.parametrize("setting", ["batch", "dimensions", "region_channels", "grid"])
def test_impossible_settings_are_refused_before_any_work(folder: Path, tmp_path: Path, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} is -1; give at least"):
        build(folder, tmp_path / "no backbone", **{setting: -1})
    assert not (folder / "out.h5.partial").exists()


@pytest.mark.parametrize("setting", ["pooling", "measures"])
def test_settings_that_are_no_choice_are_refused(folder: Path, tmp_path: Path, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting}='max' is not known; choose one of"):
        build(folder, tmp_path / "no backbone", **{setting: "max"})


def test_a_build_without_train_images_is_refused(tmp_path: Path, backbones: dict[str, Path]) -> None:
    from dialog_env.catalog.sources.products import split_of

    outside = next(str(number) for number in range(100) if split_of(str(number)) == "test")
    write_products(tmp_path / "data", [[outside, *ROW]])
    with pytest.raises(ValueError, match=r"train split .* is empty"):
        build(tmp_path, backbones["vit"])


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "dialog_env.catalog", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


@pytest.mark.slow
def test_the_command_line_builds_describes_and_refuses(folder: Path, backbones: dict[str, Path]) -> None:
    output = folder / "out.h5"
    root, backbone = f"--root={folder / 'data'}", f"--backbone={backbones['convolution']}"
    built = run_command("build", "products", root, backbone, f"--output={output}", "--dimensions=4")
    assert built.returncode == 0, built.stderr
    assert "30 images" in built.stdout
    shown = run_command("info", str(output))
    assert shown.returncode == 0, shown.stderr
    assert Catalog.open(output).fingerprint in shown.stdout
    (folder / "data" / "images" / "3.jpg").write_bytes(b"broken")
    refused = run_command("build", "products", root, backbone, f"--output={folder / 'second.h5'}")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(
        f"error: image {folder / 'data' / 'images' / '3.jpg'} is truncated"
    )
    assert not (folder / "second.h5").exists()


@pytest.mark.slow
def test_the_real_backbone_tells_real_shoes_apart(tmp_path: Path) -> None:
    photos, backbone = shared_path("data", "footwear"), VisionBackbone(shared_path("models", "mobilenet_v1"))
    files = sorted((photos / "images").glob("*.jpg"))[:48]
    with extract(
        [file.read_bytes() for file in files], backbone, tmp_path / "partial", grid=7, batch=16, notify=print
    ) as raw:
        assert raw["pooled"].shape == (48, 1024)
        assert raw["regions"].shape == (48, 49, 1024)
        np.testing.assert_allclose(raw["regions"][:].astype(np.float32).mean(axis=1), raw["pooled"][:], atol=5e-3)
        assert raw["pooled"][:].std(axis=0).mean() > 0.05


def test_weights_of_other_shapes_are_refused_in_one_sentence(
    backbones: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(backbones["convolution"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_sizes": [8, 20]}))
    with pytest.raises(ValueError, match=r"backbone \(its weights have other shapes than its config\.json says\)"):
        VisionBackbone(folder)
    assert "MISMATCH" not in capfd.readouterr().err
