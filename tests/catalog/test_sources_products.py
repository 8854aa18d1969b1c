"""Source `products`: what it makes of a folder in the layout of Fashion Product Images (Small)."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dialog_env.catalog.sources.manifest import Manifest
from dialog_env.catalog.sources.photo_grades import bounds_of, measure, scale
from dialog_env.catalog.sources.photographs import read_pictures
from dialog_env.catalog.sources.products import COLUMNS, Products, read_brands, read_styles, split_of
from tests.conftest import shared_path

ROW = ["Women", "Footwear", "Shoes", "Heels", "Red", "", "", "Casual", "Catwalk Women Red Heels"]


def write_products(root: Path, rows: list[list[str]], columns: tuple[str, ...] = COLUMNS) -> None:
    """A folder with `styles.csv` of raw lines and a picture for every row whose id is a number."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    (root / "styles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number, row in enumerate(rows):
        if row[0].isdecimal():
            picture = Image.new("RGB", (60, 80), "white")
            picture.paste((200, number % 256, 40), (5, 30, 55, 50))
            picture.save(root / "images" / f"{row[0]}.jpg")


def products(root: Path, **settings: object) -> Products:
    """The source with settings that do not matter for its manifest."""
    return Products(root, root / "backbone", root / "out.h5", **settings)  # type: ignore[arg-type]


def test_rows_become_images_with_attributes(tmp_path: Path) -> None:
    write_products(tmp_path, [["1", *ROW], ["2", "", *ROW[1:]], ["3", *ROW[:4], "Blue", *ROW[5:]]])
    manifest = products(tmp_path).manifest()
    assert manifest.ids == ["1", "2", "3"]
    assert manifest.files[2] == tmp_path / "images" / "3.jpg"
    table = manifest.attribute_table({"shiny": np.array([0, 0.5, np.nan], np.float32)})
    assert table.categorical_names == ("gender", "articleType", "baseColour", "usage", "brand")
    assert table.codes("gender").tolist() == [0, -1, 0]
    assert table.codes("baseColour").tolist() == [1, 1, 0]
    assert table.values[2] == ("Blue", "Red")
    assert table.grade("shiny")[1] == 0.5


def test_commas_in_the_name_of_a_product_are_kept(tmp_path: Path) -> None:
    write_products(tmp_path, [["7", *ROW[:-1], "Puma Men White, Blue, Red Shoe"]])
    [row], notes = read_styles(tmp_path / "styles.csv")
    assert row["productDisplayName"] == "Puma Men White, Blue, Red Shoe"
    assert notes == (
        f"{tmp_path / 'styles.csv'} has more fields than columns in 1 lines (2); the rest was read as part of "
        "productDisplayName",
    )
    write_products(tmp_path, [[str(number), *ROW, "extra"] for number in range(7)])
    assert "in 7 lines (2, 3, 4, 5, 6, …)" in products(tmp_path).manifest().notes[0]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ('Wheel 24" Men Shoe', 'Wheel 24" Men Shoe'),
        ('"Puma Men White, Blue Shoe"', "Puma Men White, Blue Shoe"),
        ('"Puma ""Fast"" Shoe"', 'Puma "Fast" Shoe'),
        ("Puma Men's Shoe", "Puma Men's Shoe"),
    ],
)
def test_quotes_within_a_line_are_read_as_meant(tmp_path: Path, name: str, read: str) -> None:
    write_products(tmp_path, [["6", *ROW], ["7", *ROW[:-1], name], ["8", *ROW]])
    rows, notes = read_styles(tmp_path / "styles.csv")
    assert [row["productDisplayName"] for row in rows] == [ROW[-1], read, ROW[-1]]
    assert not notes


@pytest.mark.parametrize("at", range(len(ROW)))
@pytest.mark.parametrize("mark", ['"{}', '"{}" more', '"'])
def test_a_stray_quote_is_named_with_its_line_and_loses_no_product(tmp_path: Path, at: int, mark: str) -> None:
    rows = [[str(number), *ROW] for number in range(40)]
    rows[20][1 + at] = mark.format(rows[20][1 + at])
    write_products(tmp_path, rows)
    with pytest.raises(ValueError, match=r"styles\.csv has (a stray quote .*|. of 10 fields) in line 22 .*mend"):
        products(tmp_path).manifest()


def test_a_file_that_is_cut_off_is_told_by_its_pictures_and_its_last_line(tmp_path: Path) -> None:
    write_products(tmp_path, [[str(number), *ROW] for number in range(40)])
    path = tmp_path / "styles.csv"
    content = path.read_text()
    path.write_text("".join(content.splitlines(keepends=True)[:31]))
    manifest = products(tmp_path).manifest()
    assert (len(manifest.ids), manifest.skipped["image without row"], manifest.notes) == (30, 10, ())
    path.write_text(content[: content.index("\n30,") - 5])
    manifest = products(tmp_path).manifest()
    assert manifest.skipped["image without row"] == 10
    assert "its last row may be cut off" in manifest.notes[0]
    path.write_text(content[: content.index("\n30,") + 9])
    with pytest.raises(ValueError, match="2 of 10 fields in line 32"):
        products(tmp_path).manifest()


def test_text_that_is_no_list_is_refused(tmp_path: Path) -> None:
    write_products(tmp_path, [["1", *ROW]])
    (tmp_path / "styles.csv").write_bytes((tmp_path / "styles.csv").read_bytes()[:-9] + b"\xff\xfe\n")
    with pytest.raises(ValueError, match=r"styles\.csv is no list of products: byte .* is not of UTF-8 text"):
        products(tmp_path).manifest()
    write_products(tmp_path, [["1", *ROW, "x"]], (*COLUMNS, "id"))
    with pytest.raises(ValueError, match=r"styles\.csv has a column twice"):
        products(tmp_path).manifest()


def test_rows_without_image_are_skipped_and_counted(tmp_path: Path) -> None:
    write_products(tmp_path, [["1", *ROW], ["2", *ROW], ["3", *ROW]])
    (tmp_path / "images" / "2.jpg").unlink()
    manifest = products(tmp_path).manifest()
    assert manifest.ids == ["1", "3"]
    assert manifest.skipped["row without image"] == 1


def test_a_category_keeps_its_rows_only(tmp_path: Path) -> None:
    write_products(tmp_path, [["1", *ROW], ["2", "Men", "Apparel", *ROW[2:]]])
    assert products(tmp_path, category="Apparel").manifest().ids == ["2"]
    with pytest.raises(ValueError, match=r"no row of category 'Shoes'; choose one of Apparel, Footwear"):
        products(tmp_path, category="Shoes").manifest()


@pytest.mark.parametrize("column", ["id", "articleType", "baseColour", "productDisplayName"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    at = COLUMNS.index(column)
    row = ["1", *ROW]
    write_products(tmp_path, [row[:at] + row[at + 1 :]], COLUMNS[:at] + COLUMNS[at + 1 :])
    with pytest.raises(ValueError, match=rf"styles\.csv has no column {column}; its columns must be"):
        products(tmp_path).manifest()


def test_bad_rows_are_named(tmp_path: Path) -> None:
    write_products(tmp_path, [["1", *ROW], ["1", *ROW]])
    with pytest.raises(ValueError, match=r"the id '1' twice, again in line 3"):
        products(tmp_path).manifest()
    write_products(tmp_path, [["1", *ROW], ["2", "Men", "Footwear"]])
    with pytest.raises(ValueError, match=r"3 of 10 fields in line 3"):
        products(tmp_path).manifest()
    write_products(tmp_path, [["", *ROW]])
    with pytest.raises(ValueError, match=r"no id in line 2"):
        products(tmp_path).manifest()
    write_products(tmp_path, [])
    with pytest.raises(ValueError, match="no rows"):
        products(tmp_path).manifest()
    (tmp_path / "styles.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no list of products at .*styles\.csv"):
        products(tmp_path).manifest()


def test_no_image_at_all_is_refused(tmp_path: Path) -> None:
    write_products(tmp_path, [["1", *ROW]])
    (tmp_path / "images" / "1.jpg").unlink()
    with pytest.raises(ValueError, match="found no image"):
        products(tmp_path).manifest()


def test_duplicate_ids_from_any_source_are_refused() -> None:
    with pytest.raises(ValueError, match="the id 'a' 2 times"):
        Manifest("odd", ["a", "b", "a"], [Path("x")] * 3, ["train"] * 3, {})


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_broken_picture_is_named_or_skipped_and_counted(tmp_path: Path, damage: str) -> None:
    write_products(tmp_path, [["1", *ROW], ["2", *ROW], ["3", *ROW]])
    path = tmp_path / "images" / "2.jpg"
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) - 60], "empty": b"", "text": b"no picture"}[damage])
    manifest = products(tmp_path).manifest()
    with pytest.raises(ValueError, match=r"2\.jpg is truncated or cannot be decoded .*--skip-broken"):
        read_pictures(manifest, skip_broken=False)
    kept, pictures = read_pictures(manifest, skip_broken=True)
    assert kept.ids == ["1", "3"]
    assert kept.skipped["image cannot be decoded"] == 1
    assert len(pictures.content) == len(pictures.measures["bright in colour"]) == 2
    assert pictures.size == (80, 60)


def test_a_picture_that_went_away_is_named(tmp_path: Path) -> None:
    write_products(tmp_path, [["1", *ROW]])
    manifest = products(tmp_path).manifest()
    (tmp_path / "images" / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"no picture at .*1\.jpg; put it back"):
        read_pictures(manifest, skip_broken=True)


def test_brands_are_the_words_before_the_gender_when_many_products_have_them() -> None:
    names = ["Red Tape Men's Black Shoes"] * 15 + ["RED TAPE Women Shoes"] * 5 + ["Rare Men Shoes"] * 19
    names += ["Red Tape Semi Casual Shoe", "Red Tapestry Shoe", "Women Shoes", ""]
    brands = read_brands(names)
    assert brands[:20] == ["Red Tape"] * 20
    assert brands[20:] == [""] * 19 + ["Red Tape", "", "", ""]


def test_splits_depend_on_the_id_alone_and_have_their_shares() -> None:
    counts = Counter(split_of(str(number)) for number in range(20_000))
    assert [split_of(name) for name in ("1541", "1549", "1550")] == ["train", "train", "test"]
    assert counts["train"] / 20_000 == pytest.approx(0.65, abs=0.01)
    assert counts["validation"] / 20_000 == pytest.approx(0.08, abs=0.01)
    assert counts["test"] / 20_000 == pytest.approx(0.27, abs=0.01)


def drawn(colour: tuple[int, int, int], box: tuple[int, int, int, int], backdrop: int = 255) -> np.ndarray:
    """A rectangle on a backdrop, (80, 60, 3)."""
    picture = np.full((80, 60, 3), backdrop, np.uint8)
    left, top, right, bottom = box
    picture[top:bottom, left:right] = colour
    return picture


def test_brightness_is_that_of_the_object_and_not_of_the_backdrop() -> None:
    colours = [(20, 20, 20), (120, 80, 40), (250, 40, 40)]
    for backdrop in (255, 200):
        values = [measure(drawn(colour, (5, 30, 55, 50), backdrop))["bright in colour"] for colour in colours]
        np.testing.assert_allclose(values, np.array([20, 120, 250]) / 255, rtol=1e-6)


def test_a_white_object_with_a_dark_outline_is_bright() -> None:
    picture = drawn((60, 60, 60), (5, 30, 55, 50))
    picture[31:49, 6:54] = 255
    assert measure(picture)["bright in colour"] > 0.85


def test_leg_grows_with_height_and_a_gap_under_the_arch_is_no_leg() -> None:
    low, high = (measure(drawn((0, 0, 0), (5, top, 55, 60)))["long on the leg"] for top in (40, 10))
    assert low == pytest.approx(20 / 50)
    assert high == pytest.approx(50 / 50)
    heeled = drawn((0, 0, 0), (5, 20, 55, 60))
    heeled[40:60, 10:50] = 255
    assert measure(heeled)["long on the leg"] == pytest.approx(20 / 50)


def test_a_picture_without_object_is_unknown_and_stays_so_when_scaled() -> None:
    blank = measure(np.full((80, 60, 3), 255, np.uint8))
    assert all(np.isnan(value) for value in blank.values())
    values = np.array([np.nan, *range(101)])
    scaled = scale(values, bounds_of(values))
    assert np.isnan(scaled[0])
    assert scaled[1] == 0
    assert scaled[-1] == 1
    assert scaled[51] == pytest.approx(0.5)
    assert np.isnan(scale(np.full(3, np.nan), bounds_of(np.full(3, np.nan)))).all()
    assert (scale(np.full(3, 7.0), bounds_of(np.full(3, 7.0))) == 0.5).all()


def test_the_real_photographs_are_listed_whole() -> None:
    root = shared_path("data", "footwear")
    manifest = products(root, category="Footwear").manifest()
    assert len(manifest.ids) == 8080
    assert not any(manifest.skipped.values())
    positions = manifest.split_positions()
    assert list(positions) == ["train", "validation", "test"]
    assert len(positions["test"]) >= 1500
    with (root / "styles.csv").open(encoding="utf-8") as file:
        colours = [row["baseColour"] for row in csv.DictReader(file)]
    assert manifest.columns["baseColour"] == colours
    known = Counter(manifest.columns["brand"])
    assert known[""] < 400
    assert known["Puma"] > 700


def test_measures_of_real_photographs_agree_with_their_labels() -> None:
    folder = shared_path("data", "footwear")
    rows, notes = read_styles(folder / "styles.csv")
    assert not notes

    def mean(name: str, column: str, value: str) -> float:
        chosen = [row["id"] for row in rows if row[column] == value][:150]
        pictures = (np.asarray(Image.open(folder / "images" / f"{identifier}.jpg")) for identifier in chosen)
        return float(np.nanmean([measure(picture)[name] for picture in pictures]))

    colours = [mean("bright in colour", "baseColour", colour) for colour in ("Black", "Grey", "White")]
    assert colours == sorted(colours)
    assert colours[2] - colours[0] > 0.2
    assert mean("long on the leg", "articleType", "Sports Shoes") > mean("long on the leg", "articleType", "Flip Flops")
