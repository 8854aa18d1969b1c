"""Catalogues by name: the embedded default, drawn ones of any size and seed, paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dialog_env.catalog import DEFAULT, Catalog, load_catalog, synthetic
from dialog_env.catalog.catalog_file import TITLE
from dialog_env.catalog.images import DrawnImages
from dialog_env.catalog.sources import SOURCES, source
from dialog_env.catalog.sources.drawn import LARGEST_CODE, drawn_contents, quantise
from dialog_env.catalog.synthetic.backbone import LARGEST_REGION
from dialog_env.io.seals import is_sealed
from tests.conftest import REPOSITORY


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dialog_retrieval"


def test_a_path_is_opened(tiny_file: Path) -> None:
    assert load_catalog(tiny_file).name == load_catalog(str(tiny_file)).name == "tiny"
    with pytest.raises(FileNotFoundError, match="no catalogue 'nowhere': it is no file, and no name such as synthetic"):
        load_catalog("nowhere")


def test_the_default_is_embedded_and_small() -> None:
    catalog = load_catalog("synthetic")
    assert catalog.splits == {"train": 2500, "validation": 500, "test": 1000}
    assert catalog.dimensions == 128
    assert catalog.region_shape == (25, 64)
    assert catalog.image_size == (96, 96)
    assert catalog.ids[7] == "synthetic-0-000007"
    assert DEFAULT.stat().st_size < 4.6e6
    assert is_sealed(DEFAULT, TITLE)
    catalog.verify()
    np.testing.assert_array_equal(catalog.split("test").image(3), synthetic.draw(0, 3003, size=96))


def test_the_default_is_what_the_command_builds_today() -> None:
    default, again = load_catalog("synthetic"), Catalog(drawn_contents(200, 0))
    rows = slice(0, 200)
    assert default.provenance["backbone"]["fingerprint"] == synthetic.backbone_fingerprint()
    assert list(again.ids) == list(default.ids[rows])
    np.testing.assert_allclose(again.features, default.features[rows], atol=2e-3)
    step = LARGEST_REGION / LARGEST_CODE
    np.testing.assert_allclose(again.read_regions(), default.read_regions(np.arange(200)), atol=1.01 * step)
    assert default.attributes is not None
    assert again.attributes is not None
    np.testing.assert_allclose(again.attributes.graded, default.attributes.graded[rows], atol=1e-6)
    np.testing.assert_array_equal(again.attributes.categorical, default.attributes.categorical[rows])
    assert again.attributes.values == default.attributes.values


def test_features_of_the_default_come_from_its_pictures() -> None:
    catalog = load_catalog("synthetic")
    chosen = catalog.take(np.array([11, 2222, 3999]))
    pooled, regions = synthetic.extract(chosen.images(np.arange(3)))
    np.testing.assert_allclose(chosen.features, pooled, atol=2e-3)
    np.testing.assert_allclose(chosen.read_regions(), regions, atol=LARGEST_REGION / LARGEST_CODE)


def test_other_sizes_and_seeds_are_drawn_once_and_kept(cache: Path) -> None:
    small, larger = load_catalog("synthetic:16:5"), load_catalog("synthetic:24:5")
    assert len(list(cache.iterdir())) == 2
    np.testing.assert_allclose(small.features, larger.features[:16], atol=2e-3)
    np.testing.assert_array_equal(small.image(3), larger.image(3))
    assert not np.array_equal(small.image(3), load_catalog("synthetic:16").image(3))
    modified = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert load_catalog("synthetic:16:5").fingerprint == small.fingerprint
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == modified


@pytest.mark.parametrize("name", ["synthetic:", "synthetic:many", "synthetic:10:1:2", "synthetic:-5", "synthetic:9:x"])
def test_names_without_numbers_are_refused(cache: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"not of the form synthetic:SIZE"):
        load_catalog(name)


def test_too_few_shoes_for_three_splits_are_refused(cache: Path) -> None:
    with pytest.raises(ValueError, match="split empty"):
        load_catalog("synthetic:3")
    assert not cache.exists() or not list(cache.iterdir())


def test_a_damaged_cached_catalogue_is_drawn_again(cache: Path) -> None:
    fingerprint = load_catalog("synthetic:16").fingerprint
    path = next(cache.iterdir())
    path.write_bytes(path.read_bytes()[:500])
    assert load_catalog("synthetic:16").fingerprint == fingerprint


def test_pictures_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match=r"drawn by version 0, and this release draws version"):
        DrawnImages(0, (96, 96), version="0").image(0)


def test_codes_keep_values_to_half_a_step() -> None:
    values = np.random.default_rng(0).random((5, 4, 3), dtype=np.float32) * LARGEST_REGION
    codes, scale = quantise(values)
    assert codes.dtype == np.uint8
    assert np.abs(codes * scale - values).max() <= scale / 2 + 1e-6


def test_every_source_can_be_built_and_unknown_ones_are_named() -> None:
    assert all(callable(source(name).build) for name in SOURCES)
    known = "fashion_iq, features, folder, products, shoes, synthetic, and"
    with pytest.raises(ValueError, match=f"no source of catalogues 'flickr'; known are {known}"):
        source("flickr")


def test_opening_the_default_imports_no_heavy_extra() -> None:
    script = (
        "import sys; from dialog_env.catalog import load_catalog; load_catalog('synthetic').features; "
        "print([name for name in ('transformers', 'tyro') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_command_line_draws_a_catalogue(tmp_path: Path) -> None:
    output = tmp_path / "drawn.h5"
    command = [sys.executable, "-m", "dialog_env.catalog", "build", "synthetic", f"--output={output}", "--size=16"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert shown.returncode == 0, shown.stderr
    assert Catalog.open(output).fingerprint in shown.stdout
