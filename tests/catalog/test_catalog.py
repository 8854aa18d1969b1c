"""A catalogue file: what it refuses, and that every way to look at it shows the same images."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dialog_env.catalog import Catalog, Contents, load_catalog
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.images import EncodedImages
from dialog_env.catalog.sources.reduction import unit_rows
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from tests.conftest import encode, tiny_contents

MakeTiny = Callable[..., Contents]


def changed(contents: Contents, **fields: object) -> Contents:
    """The same contents with some fields replaced and the fingerprint computed anew."""
    return dataclasses.replace(contents, fingerprint="", **fields)


def test_what_is_written_is_read_back(tiny_catalog: Catalog, tiny_file: Path) -> None:
    read = Catalog.open(tiny_file)
    assert list(read.ids) == list(tiny_catalog.ids)
    np.testing.assert_array_equal(read.features, tiny_catalog.features)
    np.testing.assert_array_equal(read.read_regions(), tiny_catalog.read_regions())
    assert read.attributes is not None
    assert tiny_catalog.attributes is not None
    np.testing.assert_array_equal(read.attributes.graded, tiny_catalog.attributes.graded)
    np.testing.assert_array_equal(read.attributes.categorical, tiny_catalog.attributes.categorical)
    assert read.attributes.values == tiny_catalog.attributes.values
    assert read.splits == {"train": 12, "validation": 6, "test": 6}
    assert read.provenance == tiny_catalog.provenance
    assert read.fingerprint == tiny_catalog.fingerprint
    np.testing.assert_array_equal(read.images(np.array([3, 20])), tiny_catalog.images(np.array([3, 20])))


def test_a_catalogue_without_the_optional_parts_is_read_back(tmp_path: Path, make_tiny: MakeTiny) -> None:
    bare = changed(make_tiny(), regions=None, attributes=None, images=None, splits={})
    Catalog(bare).write(tmp_path / "bare.h5")
    read = Catalog.open(tmp_path / "bare.h5")
    assert (read.region_shape, read.attributes, read.image_size, read.splits) == (None, None, None, {})
    with pytest.raises(ValueError, match="no region features"):
        read.read_regions()
    with pytest.raises(ValueError, match="no pictures"):
        read.image(0)


def test_ids_of_any_length_and_script_are_read_back(tmp_path: Path, make_tiny: MakeTiny) -> None:
    ids = np.array([f"{'ñ' * index}-靴-{index}" for index in range(24)], dtype=object)
    Catalog(changed(make_tiny(), ids=ids)).write(tmp_path / "ids.h5")
    assert list(Catalog.open(tmp_path / "ids.h5").ids) == list(ids)


def test_regions_as_codes_come_back_scaled(tmp_path: Path, make_tiny: MakeTiny) -> None:
    codes = np.arange(24 * 4 * 6, dtype=np.uint8).reshape(24, 4, 6)
    Catalog(changed(make_tiny(), regions=codes, region_scale=0.5)).write(tmp_path / "codes.h5")
    read = Catalog.open(tmp_path / "codes.h5").split("test").read_regions(np.array([5, 0]))
    np.testing.assert_array_equal(read, codes[[23, 18]] * np.float32(0.5))


def test_features_of_a_file_are_a_memory_map(tiny_file: Path) -> None:
    catalog = Catalog.open(tiny_file)
    assert isinstance(catalog.features, np.memmap)
    assert isinstance(catalog.split("test").features, np.memmap)
    before = catalog.features[0].copy()
    catalog.features[0] = 7
    np.testing.assert_array_equal(Catalog.open(tiny_file).features[0], before)


def test_half_precision_features_are_given_as_float32(tmp_path: Path, make_tiny: MakeTiny) -> None:
    contents = make_tiny()
    Catalog(changed(contents, features=contents.features.astype(np.float16))).write(tmp_path / "half.h5")
    features = Catalog.open(tmp_path / "half.h5").features
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, contents.features, atol=2e-3)


def test_views_of_views_show_the_images_of_the_whole(tiny_file: Path) -> None:
    catalog = Catalog.open(tiny_file)
    view = catalog.split("test").take(np.array([4, 1, 4])).take(np.array([2, 1]))
    rows = [22, 19]
    assert list(view.ids) == list(catalog.ids[rows])
    np.testing.assert_array_equal(view.features, catalog.features[rows])
    np.testing.assert_array_equal(view.read_regions(), catalog.read_regions()[rows])
    np.testing.assert_array_equal(view.read_regions(np.array([1, 1, 0])), catalog.read_regions()[[19, 19, 22]])
    np.testing.assert_array_equal(view.image(0), catalog.image(22))
    assert view.attributes is not None
    assert catalog.attributes is not None
    np.testing.assert_array_equal(view.attributes.graded, catalog.attributes.graded[rows])


def test_splits_share_no_image_and_unknown_ones_are_refused(tiny_catalog: Catalog) -> None:
    shown = [set(tiny_catalog.split(name).ids) for name in tiny_catalog.splits]
    assert sum(map(len, shown)) == len(set.union(*shown)) == 24
    assert len(tiny_catalog.split("test").split("all")) == 24
    with pytest.raises(ValueError, match=r"no split 'tset'.*all, train, validation, test"):
        tiny_catalog.split("tset")


@pytest.mark.parametrize("positions", [[], [24], [-1]])
def test_a_selection_outside_the_gallery_is_refused(tiny_catalog: Catalog, positions: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^positions .* from 0 to "):
        tiny_catalog.take(np.array(positions, dtype=np.int64))


def test_only_a_whole_catalogue_is_written(tiny_catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whole catalogue"):
        tiny_catalog.split("test").write(tmp_path / "part.h5")
    assert not list(tmp_path.iterdir())


def test_pickling_carries_the_path_and_not_the_arrays(tiny_file: Path, tiny_catalog: Catalog) -> None:
    split = Catalog.open(tiny_file).split("test")
    packed = pickle.dumps(split)
    assert len(packed) < 1000
    again = pickle.loads(packed)
    np.testing.assert_array_equal(again.features, split.features)
    assert (again.split_name, again.fingerprint) == ("test", split.fingerprint)
    in_memory = pickle.loads(pickle.dumps(tiny_catalog.split("train")))
    np.testing.assert_array_equal(in_memory.features, tiny_catalog.split("train").features)


def summary(catalog: Catalog) -> tuple[list[str], float, int, str]:
    """What a spawned process sees of a gallery."""
    return list(catalog.ids), float(catalog.read_regions().sum()), int(catalog.image(0).sum()), catalog.fingerprint


def test_a_spawned_process_sees_the_same_split(tiny_file: Path) -> None:
    split = Catalog.open(tiny_file).split("validation")
    expected = summary(split)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(summary, (split,)) == expected


@pytest.mark.parametrize(
    "change",
    [
        "id", "feature", "region", "region scale", "grade", "code", "value", "split", "picture", "picture size",
    ],
)  # fmt: skip
def test_the_fingerprint_changes_with_every_part(change: str) -> None:
    plain, other = tiny_contents(), tiny_contents()
    table, images = other.attributes, other.images
    assert table is not None
    assert isinstance(images, EncodedImages)
    if change == "id":
        other.ids[3] = "another"
    elif change == "feature":
        other.features[5, 2] += 1e-6
    elif change == "region":
        other.regions[7, 1, 1] += 1
    elif change == "region scale":
        other.region_scale = 2.0
    elif change == "grade":
        table.graded[1, 1] = 0.5
    elif change == "code":
        table.categorical[2, 0] = (table.categorical[2, 0] + 1) % 3
    elif change == "value":
        other.attributes = dataclasses.replace(table, values=(("boots", "clogs", "flats"), table.values[1]))
    elif change == "split":
        other.splits["test"] = other.splits["test"][:-1]
    elif change == "picture":
        images.encoded = [np.frombuffer(encode(np.zeros((16, 12, 3), np.uint8)), np.uint8), *images.encoded[1:]]
    else:
        other.images = EncodedImages(images.encoded, (32, 24))
    assert changed(other).fingerprint != plain.fingerprint == tiny_contents().fingerprint


def test_every_gallery_has_a_fingerprint_of_its_own(tiny_catalog: Catalog) -> None:
    galleries = [tiny_catalog, *map(tiny_catalog.split, tiny_catalog.splits), tiny_catalog.take(np.array([1, 0]))]
    galleries.append(tiny_catalog.take(np.array([0, 1])))
    assert len({gallery.fingerprint for gallery in galleries}) == len(galleries)


def test_no_images_are_refused(make_tiny: MakeTiny) -> None:
    with pytest.raises(ValueError, match="no images"):
        changed(make_tiny(), ids=np.array([], dtype=object))


def test_duplicate_ids_are_refused_by_name(make_tiny: MakeTiny) -> None:
    contents = make_tiny()
    contents.ids[4] = contents.ids[9]
    with pytest.raises(ValueError, match="'tiny-009' 2 times"):
        changed(contents)


@pytest.mark.parametrize("shape", [(23, 8), (24,), (24, 8, 1), (24, 0)])
def test_features_of_a_wrong_shape_are_refused(make_tiny: MakeTiny, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"features of shape .* \(24, D\)"):
        changed(make_tiny(), features=np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(23, 4, 6), (24, 24)])
def test_region_features_of_a_wrong_shape_are_refused(make_tiny: MakeTiny, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"region features of shape .* \(24, R, C\)"):
        changed(make_tiny(), regions=np.zeros(shape, np.float16))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["features", "regions"])
def test_non_finite_features_are_refused_with_their_image(make_tiny: MakeTiny, part: str, value: float) -> None:
    contents = make_tiny()
    getattr(contents, part)[17, 3] = value
    with pytest.raises(ValueError, match=r"NaN or infinite .*features at image 17"):
        changed(contents)


@pytest.mark.parametrize(
    ("positions", "complaint"),
    [
        ([], "give a list of 1 or more"),
        ([0, 24], "reach from 0 to 24; give some from 0 to 23"),
        ([-1], "reach from -1"),
        ([3, 3], "stand there twice"),
        (["a"] * 6, "give a list of 1 or more whole numbers"),
        ([[3]], "give a list of 1 or more whole numbers"),
    ],
)
def test_bad_splits_are_refused(make_tiny: MakeTiny, positions: list[int], complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"split 'odd' .*{complaint}"):
        changed(make_tiny(), splits={"odd": np.array(positions)})


@pytest.mark.parametrize("norm", [1.2e-15, 1e15])
def test_the_smallest_and_largest_features_are_ranked_as_those_of_norm_one(make_tiny: MakeTiny, norm: float) -> None:
    contents = make_tiny(600)
    factor = np.float32(2.0 ** round(np.log2(norm)))
    unit = unit_rows(contents.features) * np.float32(0.9 * norm / factor)
    scaled = Catalog(changed(contents, features=unit * factor))
    targets = torch.arange(600)
    closer = []
    for features in (torch.from_numpy(unit), torch.from_numpy(scaled.features)):
        target_rank = QueryRanking(features.roll(1, 0), EmbeddedGallery(features)).target_rank(targets)
        closer.append(target_rank.closer)
    assert closer[0].float().mean() > 100
    torch.testing.assert_close(closer[1], closer[0])


@pytest.mark.parametrize(
    ("factor", "complaint"),
    [
        (1e30, "beyond 1e.15 at image 0.* scale all features down"),
        (3e18, "beyond 1e.15 at image 0"),
        (1e-20, "no features of norm 1e-15 or more.* scale all features up"),
    ],
)
def test_features_whose_squares_float32_cannot_hold_are_refused(
    make_tiny: MakeTiny, factor: float, complaint: str
) -> None:
    contents = make_tiny()
    with pytest.raises(ValueError, match=f"catalogue 'tiny' has .*{complaint}"):
        changed(contents, features=unit_rows(contents.features) * np.float32(factor))


def test_one_image_of_huge_features_is_named_and_zeros_will_do(make_tiny: MakeTiny) -> None:
    contents = make_tiny(1500)
    contents.features[1200, 3] = 1e20
    with pytest.raises(ValueError, match="at image 1200"):
        changed(contents)
    zeros = np.zeros_like(contents.features)
    assert not Catalog(changed(contents, features=zeros)).features.any()


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 1e38])
def test_impossible_scales_of_regions_are_refused(make_tiny: MakeTiny, scale: float) -> None:
    with pytest.raises(ValueError, match="region features of scale"):
        changed(make_tiny(), region_scale=scale)


def test_overlong_ids_and_pictures_of_other_images_are_refused(make_tiny: MakeTiny) -> None:
    contents = make_tiny()
    with pytest.raises(ValueError, match=r"an id of 1,025 characters \('xxx"):
        changed(contents, ids=np.array(["x" * 1025, *contents.ids[1:]], dtype=object))
    with pytest.raises(ValueError, match=r"a name of 1,025 characters"):
        changed(contents, name="x" * 1025)
    assert isinstance(contents.images, EncodedImages)
    with pytest.raises(ValueError, match="23 pictures of 24 images"):
        changed(contents, images=EncodedImages(contents.images.encoded[1:], (16, 12)))


def test_attributes_of_other_images_are_refused(make_tiny: MakeTiny) -> None:
    table = make_tiny(20).attributes
    with pytest.raises(ValueError, match="attributes for 20 of 24 images"):
        changed(make_tiny(), attributes=table)


def test_attributes_outside_their_range_are_refused() -> None:
    codes = np.zeros((2, 1), np.int16)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        AttributeTable(("shiny",), np.full((2, 1), 1.5, np.float32), ("class",), (("boots",),), codes)
    with pytest.raises(ValueError, match=r"'class' has a code outside -1\.\.0"):
        AttributeTable((), np.zeros((2, 0), np.float32), ("class",), (("boots",),), codes + 1)


def test_pictures_are_fitted_on_white_without_distortion(make_tiny: MakeTiny) -> None:
    red = np.zeros((10, 20, 3), np.uint8)
    red[..., 0] = 255
    images = EncodedImages([np.frombuffer(encode(red), np.uint8)], (40, 40))
    picture = images.image(0)
    assert picture.shape == (40, 40, 3)
    assert (picture[:10] == 255).all()
    assert (picture[10:30] == (255, 0, 0)).all()
    assert (picture[30:] == 255).all()
    assert images.image(0, (10, 20)).tolist() == red.tolist()


@pytest.mark.parametrize(
    "positions",
    [
        np.array(["a"] * 6),
        np.zeros((6, 0)),
        np.array([24]),
        np.array([-1]),
        np.array([2**63], np.uint64),
        [0.5],
        None,
        [],
    ],
    ids=str,
)
def test_positions_that_are_none_are_refused_in_one_sentence(tiny_catalog, positions):
    with pytest.raises(ValueError, match=r"^positions .* from 0 to 23$"):
        tiny_catalog.take(positions)
    if positions is not None and len(positions):
        with pytest.raises(ValueError, match=r"^positions of region features .* from 0 to 23$"):
            tiny_catalog.read_regions(positions)


def test_a_drawn_catalogue_has_a_size_that_can_be_drawn():
    with pytest.raises(ValueError, match="is too large; give a size and a seed of at most 9 digits"):
        load_catalog("synthetic:99999999999999999999")
