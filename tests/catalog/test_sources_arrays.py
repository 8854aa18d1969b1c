"""Source `features`: arrays that somebody has extracted already."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from dialog_env.catalog import Catalog
from dialog_env.catalog.__main__ import main
from dialog_env.catalog.sources.arrays import Features
from tests.catalog.test_sources_folder import write_pictures, write_table
from tests.damage import damaged, refusal

COUNT = 40


def arrays(count: int = COUNT, width: int = 8, first: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(first)
    names = np.array([f"item {number:03d}" for number in range(first, first + count)])
    regions = random.standard_normal((count, 4, 6)).astype(np.float32)
    return {"features": random.standard_normal((count, width)).astype(np.float32), "ids": names, "regions": regions}


def write(path: Path, found: dict[str, np.ndarray]) -> Path:
    """A file of the kind that its name says."""
    if path.suffix == ".npz":
        np.savez(path, **found)
    elif path.suffix == ".npy":
        np.save(path, found["features"])
        path.with_suffix(".txt").write_text("\n".join(found["ids"]) + "\n")
    else:
        with h5py.File(path, "w") as file:
            for name, array in found.items():
                file[name] = array.astype(object) if array.dtype.kind == "U" else array
    return path


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
def test_features_of_every_kind_of_file_become_a_catalogue(tmp_path: Path, suffix: str) -> None:
    found = arrays()
    path = write(tmp_path / f"clip.{suffix}", found)
    ids = ["--ids", str(tmp_path / "clip.txt")] if suffix == "npy" else []
    main(["build", "features", "--file", str(path), "--output", str(tmp_path / "out.h5"), *ids])
    catalog = Catalog.open(tmp_path / "out.h5")
    assert catalog.name == "clip"
    np.testing.assert_array_equal(catalog.features, found["features"])
    assert list(catalog.ids) == found["ids"].tolist()
    if suffix == "npy":
        assert catalog.region_shape is None
    else:
        np.testing.assert_allclose(catalog.read_regions(), found["regions"], atol=2e-3)
    assert (catalog.attributes, catalog.image_size, catalog.space_id) == (None, None, "")
    assert sum(catalog.splits.values()) == COUNT


def test_a_table_and_pictures_join_by_id(tmp_path: Path) -> None:
    table = write_table(tmp_path / "any.csv", [line.replace(".png", "") for line in write_pictures(tmp_path / "data")])
    path = write(tmp_path / "clip.npz", arrays())
    settings = {"file": path, "output": tmp_path / "out.h5", "table": table, "pictures": tmp_path / "data"}
    catalog = Features(**settings).build()
    assert catalog.attributes is not None
    assert (catalog.attributes.categorical_names, catalog.attributes.graded_names) == (("colour",), ("price",))
    assert catalog.image(1)[10, 6].tolist() == [40, 160, 60]
    write(path, arrays(COUNT + 1))
    with pytest.raises(FileNotFoundError, match=r"data has no picture of item 040 \(1 of 41 ids\); add them, or leave"):
        Features(**settings).build()


def test_rows_are_added_and_another_width_or_space_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    write(tmp_path / "old.npz", arrays())
    old = Features(file=tmp_path / "old.npz", output=output, space="clip of July").build()
    write(tmp_path / "new.npz", arrays(5, first=100))
    grown = Features(file=tmp_path / "new.npz", output=output, space="clip of July").add()
    assert (len(grown), grown.space_id) == (45, old.space_id)
    np.testing.assert_array_equal(grown.features[:COUNT], old.features)
    write(tmp_path / "wide.npz", arrays(5, width=9, first=200))
    with pytest.raises(
        ValueError, match="features of 8 dimensions and what is to be added has 9; give features of the same"
    ):
        Features(file=tmp_path / "wide.npz", output=output).add()
    write(tmp_path / "other.npz", arrays(5, first=200))
    with pytest.raises(
        ValueError, match=r"lies in feature space .*clip of July.* and what is to be added lies in .*August"
    ):
        Features(file=tmp_path / "other.npz", output=output, space="clip of August").add()
    with pytest.raises(ValueError, match=r"has images item 100, item 101, item 102, … already \(5 in all\)"):
        Features(file=tmp_path / "new.npz", output=output).add()
    assert Catalog.open(output).fingerprint == grown.fingerprint


def changed(**change: object) -> dict[str, np.ndarray]:
    found = arrays()
    for name, array in change.items():
        found.pop(name)
        if array is not None:
            found[name] = np.asarray(array)
    return found


NAN = np.where(np.arange(COUNT * 8).reshape(COUNT, 8) == 17, np.nan, 1.0)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (changed(features=None), "has no array `features`"),
        (changed(features=np.ones((COUNT, 8), np.int64)), r"has features of int64 \(40, 8\)"),
        (changed(features=np.ones(COUNT)), r"has features of float64 \(40,\)"),
        (changed(features=NAN), "NaN or infinite features at image 2"),
        (changed(ids=np.arange(3)), "has 3 ids for 40 rows of features; give one for each"),
        (changed(ids=np.ones(COUNT)), "has ids of float64"),
        (changed(ids=["a"] * COUNT), "has the id 'a' 40 times"),
        (changed(ids=["../a", *map(str, range(COUNT - 1))]), r"names a picture '\.\./a'; give names without"),
        (changed(ids=[" ", *map(str, range(COUNT - 1))]), "names a picture ' '; give every picture a name"),
        (changed(ids=["a\nb", *map(str, range(COUNT - 1))]), r"names a picture 'a\\nb'"),
        (changed(regions=np.ones((COUNT, 4))), r"has regions of float64 \(40, 4\)"),
        (changed(regions=np.ones((3, 4, 4))), r"region features of shape \(3, 4, 4\) for 40 images"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(tmp_path: Path, found: dict[str, np.ndarray], message: str) -> None:
    path = write(tmp_path / "clip.npz", found)
    with pytest.raises(ValueError, match=message) as told:
        Features(file=path, output=tmp_path / "out.h5").build()
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "csv"])
def test_files_that_are_no_arrays_are_one_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    for content in (b"", b"no arrays", b"\x93NUMPY\x01\x00", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"clip\.{suffix} is .*; give a \.npy, \.npz or \.h5 file") as told:
            Features(file=path, output=tmp_path / "out.h5").build()
        assert "\n" not in str(told.value)
    with pytest.raises(FileNotFoundError, match="no file of features at"):
        Features(file=tmp_path / "none.npz", output=tmp_path / "out.h5").build()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
def test_damaged_files_are_read_or_refused_in_one_sentence(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix}", arrays(8, 4))
    refused = []
    for content in damaged(path.read_bytes(), seed=3, count=100):
        path.write_bytes(content)
        refused.append(refusal(Features(file=path, output=tmp_path / "out.h5").build))
    assert sum(map(bool, refused)) > 20
    assert not [sentence for sentence in refused if "\n" in sentence]


def test_pickles_in_arrays_are_not_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return open, (str(tmp_path / "started"),)

    np.savez(tmp_path / "trap.npz", features=np.array([Trap()], dtype=object), ids=np.array(["a"]))
    with pytest.raises(ValueError, match=r"trap\.npz is truncated or no file of features"):
        Features(file=tmp_path / "trap.npz", output=tmp_path / "out.h5").build()
    assert not (tmp_path / "started").exists()
