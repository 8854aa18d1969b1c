"""The feature network of the drawn catalogue sees pixels, answers alike in any batch and knows what it looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dialog_env.catalog import DEFAULT, Catalog
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.synthetic import attribute_table, backbone, backbone_fingerprint, draw, extract
from tests.damage import flipped

SHOES = 240


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return np.stack([draw(77, index) for index in range(SHOES)])


@pytest.fixture(scope="module")
def table() -> AttributeTable:
    return attribute_table(77, SHOES)


@pytest.fixture(scope="module")
def features(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return extract(pictures)


def test_features_have_the_documented_shape_and_scale(features: tuple[NDArray[np.float32], ...]) -> None:
    pooled, regions = features
    assert pooled.shape == (SHOES, 128)
    assert regions.shape == (SHOES, 25, 64)
    assert pooled.dtype == regions.dtype == np.float32
    assert 0.9 < np.linalg.norm(pooled, axis=1).mean() < 1.1
    assert np.linalg.norm(pooled.mean(axis=0)) < 0.2
    assert regions.min() == 0
    assert 1 < regions.max() <= 4
    assert (regions == 0).mean() > 0.4


def test_an_answer_does_not_depend_on_the_batch(
    pictures: NDArray[np.uint8], features: tuple[NDArray[np.float32], ...]
) -> None:
    pooled, regions = extract(pictures[:7], batch_size=3)
    np.testing.assert_allclose(pooled, features[0][:7], atol=2e-5)
    np.testing.assert_allclose(regions, features[1][:7], atol=2e-4)
    alone, _ = extract(pictures[4:5])
    np.testing.assert_allclose(alone[0], features[0][4], atol=2e-5)


def test_the_same_pictures_give_the_same_features(pictures: NDArray[np.uint8]) -> None:
    first, second = extract(pictures[:16]), extract(pictures[:16])
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_the_nearest_shoe_of_the_embedded_catalogue_looks_alike(
    features: tuple[NDArray[np.float32], ...], table: AttributeTable
) -> None:
    embedded = Catalog.open(DEFAULT)
    gallery = torch.from_numpy(np.asarray(embedded.features, dtype=np.float32))
    nearest = torch.cdist(torch.from_numpy(features[0]), gallery).argmin(1).numpy()
    for name in ("class", "colour", "heel", "straps"):
        codes, found = table.codes(name), embedded.attributes.codes(name)
        by_chance = (
            (np.bincount(codes) / SHOES) @ np.bincount(found, minlength=codes.max() + 1)[: codes.max() + 1] / 4000
        )
        agrees = (codes == found[nearest]).mean()
        assert agrees > by_chance + 0.5 * (1 - by_chance), (name, agrees)


def read_out(
    known: NDArray[np.float32], answers: NDArray[np.float64], asked: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What a linear map fitted on the known features and answers says of the asked ones."""
    inputs = np.concatenate([known, np.ones((len(known), 1))], axis=1).astype(np.float64)
    weights = np.linalg.solve(inputs.T @ inputs + 1e-3 * np.eye(inputs.shape[1]), inputs.T @ answers)
    return np.concatenate([asked, np.ones((len(asked), 1))], axis=1) @ weights


def test_grades_of_unseen_shoes_are_read_by_a_linear_map(
    features: tuple[NDArray[np.float32], ...], table: AttributeTable
) -> None:
    embedded = Catalog.open(DEFAULT)
    guess = read_out(np.asarray(embedded.features), embedded.attributes.graded.astype(np.float64), features[0])
    explained = 1 - ((guess - table.graded) ** 2).mean(axis=0) / table.graded.var(axis=0)
    assert (explained > 0.5).all(), dict(zip(table.graded_names, explained.round(2), strict=True))


def test_a_print_on_unseen_shoes_is_told_from_a_plain_upper_by_a_linear_map(
    features: tuple[NDArray[np.float32], ...], table: AttributeTable
) -> None:
    embedded = Catalog.open(DEFAULT)
    known = (embedded.attributes.codes("pattern") > 0).astype(np.float64)
    printed = table.codes("pattern") > 0
    share = known.mean()
    guess = read_out(np.asarray(embedded.features), known[:, None], features[0])[:, 0] > (share + 0.5) / 2
    assert guess[printed].mean() > 0.7
    assert (~guess[~printed]).mean() > 0.8


def test_regions_tell_where_something_is(pictures: NDArray[np.uint8]) -> None:
    blank = np.full_like(pictures[:1], 255)
    half = pictures[:1].copy()
    half[:, :, :48] = 255
    _, regions = extract(np.concatenate([blank, pictures[:1], half]))
    grids = regions.reshape(3, 5, 5, -1)
    changed = np.abs(grids[1] - grids[2]).sum(axis=2)
    assert changed[:, 0].sum() > 10 * changed[:, 4].sum()
    assert np.abs(grids[1] - grids[0]).sum() > np.abs(grids[2] - grids[0]).sum()


@pytest.mark.parametrize("shape", [(96, 96, 3), (1, 64, 96, 3), (1, 96, 96, 1)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="give uint8 of shape"):
        extract(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float64"):
        extract(np.zeros((1, 96, 96, 3)))


def test_the_fingerprint_follows_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = backbone_fingerprint()
    assert len(shipped) == 64
    other = tmp_path / "weights.safetensors"
    other.write_bytes(backbone.WEIGHTS.read_bytes()[:-1] + b"\x01")
    monkeypatch.setattr(backbone, "WEIGHTS", other)
    assert backbone_fingerprint() != shipped


def test_damaged_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken, whole = tmp_path / "weights.safetensors", backbone.WEIGHTS.read_bytes()
    monkeypatch.setattr(backbone, "WEIGHTS", broken)
    for content in (whole[:5000], *flipped(whole, seed=1, count=60)):
        broken.write_bytes(content)
        backbone.load_backbone.cache_clear()
        with pytest.raises(ValueError, match=r"weights\.safetensors is damaged.*reinstall"):
            extract(np.zeros((1, 96, 96, 3), np.uint8))
    backbone.load_backbone.cache_clear()
