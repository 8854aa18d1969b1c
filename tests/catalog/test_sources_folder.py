"""Source `folder`: any pictures, any table, and one sentence for each thing that can be wrong with them."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dialog_env.catalog import Catalog, images
from dialog_env.catalog.__main__ import main
from dialog_env.catalog.images import OTHER_FORMATS, decode_picture, readable
from dialog_env.catalog.sources.folder import Folder
from dialog_env.catalog.sources.products import split_of
from dialog_env.simulators import make_simulator
from tests.damage import damaged, refusal

HEADER = "file,colour,price,note,brand"
COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 200)}


def write_pictures(root: Path, count: int = 40, first: int = 0, suffix: str = ".png") -> list[str]:
    """Coloured squares in two folders, and the lines of a table about them."""
    lines = []
    for number in range(first, first + count):
        colour = list(COLOURS)[number % 3]
        folder = ("small", "large")[number % 2]
        path = root / folder / f"item {number:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (32, 32), "white")
        side = 6 + number % 20
        picture.paste(COLOURS[colour], (4, 4, 4 + side, 4 + side))
        picture.save(path)
        lines.append(f"{path.name},{colour},{side + 0.5},text number {number},acme")
    return lines


def write_table(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def folder(root: Path, **settings: object) -> Folder:
    """The source, with settings that do not matter for its manifest."""
    settings = {"backbone": root / "no backbone", "output": root.parent / "out.h5", **settings}
    return Folder(root, **settings)  # type: ignore[arg-type]


def test_a_plain_folder_becomes_a_catalogue_without_attributes(tmp_path: Path, backbones: dict[str, Path]) -> None:
    write_pictures(tmp_path / "data")
    (tmp_path / "data" / "readme.txt").write_text("text")
    (tmp_path / "data" / ".hidden.png").write_text("text")
    settings = {"dimensions": 6, "region_channels": 5, "grid": 2}
    catalog = folder(tmp_path / "data", backbone=backbones["vit"], **settings).build()
    assert catalog.name == "data"
    assert catalog.attributes is None
    assert set(catalog.ids) == {f"{('small', 'large')[n % 2]}/item {n:03d}" for n in range(40)}
    assert Counter(map(split_of, map(str, catalog.ids))) == catalog.splits
    assert catalog.provenance["skipped"]["file that is no picture"] == 1
    assert catalog.image(0).shape == (32, 32, 3)
    with pytest.raises(ValueError, match="has no attributes to describe"):
        make_simulator("describer", catalog)


def test_columns_are_guessed_and_what_was_guessed_is_said(
    tmp_path: Path,
    backbones: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = write_table(tmp_path / "any.csv", write_pictures(tmp_path / "data"))
    arguments = ["--root", str(tmp_path / "data"), "--table", str(table), "--backbone", str(backbones["vit"])]
    main(["build", "folder", *arguments, "--output", str(tmp_path / "out.h5"), "--grid", "2"])
    said = capsys.readouterr().out
    for line in (
        "column 'file' names the pictures",
        "column 'colour' is an attribute of 3 values",
        "column 'price' is graded, from 6.5 to 25.5",
        "column 'note' is left out, 40 of 40 values are different (--attributes takes it all the same)",
        "column 'brand' is left out, it is all alike",
    ):
        assert f"{table}: {line}" in said
    catalog = Catalog.open(tmp_path / "out.h5")
    known = catalog.attributes
    assert known is not None
    assert (known.categorical_names, known.graded_names) == (("colour",), ("price",))
    place = list(catalog.ids).index("large/item 001")
    assert known.values[0][known.codes("colour")[place]] == "green"
    low, high = catalog.provenance["graded attributes"]["price"]
    assert known.grade("price")[place] == pytest.approx((7.5 - low) / (high - low), abs=1e-5)
    sentences = make_simulator("describer", catalog).sentences(torch.tensor([0, 1]), torch.tensor([1, 2]))
    assert all(re.search("price|green|blue|red", sentence) for sentence in sentences)


def test_roles_of_columns_can_be_set(tmp_path: Path) -> None:
    lines = [f"{line},{('train', 'val', 'test')[n % 3]}" for n, line in enumerate(write_pictures(tmp_path / "data"))]
    table = write_table(tmp_path / "any.csv", lines, f"{HEADER},split")
    manifest = folder(tmp_path / "data", table=table, attributes=("note", "price"), ignore=("colour",)).manifest()
    assert set(manifest.columns) == {"note", "price"}
    assert not manifest.graded
    place = manifest.ids.index("large/item 001")
    assert manifest.splits[place] == "validation"
    assert manifest.columns["price"][place] == "7.5"


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("colour;picture\nred;{0}\nblue;{1}\n", ";"), ("picture\tcolour\r\n{0}\tred\r\n{1}\tblue\r\n", "tab"),
     ('picture,colour\n"{0}","red"\n"{1}","a ""deep"", dark\nblue"\n', "quotes"),
     ("\ufeffpicture,colour\n{0},red\n{1},blue\n", "byte order mark")],
)  # fmt: skip
def test_tables_of_the_usual_dialects_are_read(tmp_path: Path, text: str, delimiter: str) -> None:
    write_pictures(tmp_path / "data", 2)
    (tmp_path / "any.csv").write_text(text.format("small/item 000", "item 001.png"), encoding="utf-8", newline="")
    manifest = folder(tmp_path / "data", table=tmp_path / "any.csv").manifest()
    colours = dict(zip(manifest.ids, manifest.columns["colour"], strict=True))
    assert colours["small/item 000"] == "red"
    assert "blue" in colours["large/item 001"]


def test_pictures_without_a_row_stay_and_rows_without_a_picture_are_counted(tmp_path: Path) -> None:
    lines = write_pictures(tmp_path / "data", 12)
    table = write_table(tmp_path / "any.csv", [*lines[3:], "elsewhere.png,red,1,x,acme"])
    manifest = folder(tmp_path / "data", table=table).manifest()
    assert len(manifest.ids) == 12
    assert manifest.skipped["row without image"] == 1
    place = manifest.ids.index("small/item 000")
    assert manifest.columns["colour"][place] == ""
    assert np.isnan(manifest.graded["price"][place])


BAD_TABLES = {
    "no header": ("", "has no rows below its header|without a name"),
    "no rows": (HEADER, "has no rows below its header"),
    "no ids": ("colour,price\nred,1\nblue,2", r"no column that names the pictures \(column 'colour' begins with 'red'"),
    "other ids": ("file,colour\nx.png,red\ny.png,blue", "no column that names the pictures .* begins with 'x.png'"),
    "twice": ("file,colour\nA,red\nsmall/item 000,blue", r"speaks of the picture .* in lines 2 and 3"),
    "alike": ("file,colour\nA,red\nB,red", r"no column that tells .* \(.*'colour' is left out, it is all alike\)"),
    "empty": ("file,colour\nA,\nB,", "'colour' is left out, it is empty"),
    "short row": ("file,colour\nA", "has 1 of 2 fields in line 2 .*; mend the line"),
    "long row": ("file,colour\nA,red,blue", "has 3 of 2 fields in line 2"),
    "quote": ('file,colour\n"A,red\nB,blue', "has a stray quote or another slip in line 2"),
    "column twice": ("file,colour,colour\nA,red,blue", "a column without a name or two of one"),
    "unnamed": ("file,,colour\nA,red,blue", "a column without a name or two of one"),
    "climbing": ("file,colour\nA,red\n../B,blue", r"line 3, column 'file', names a picture '\.\./"),
    "line break": ('file,colour\nA,red\n"item\n001.png",blue', r"line 3, .* names a picture 'item\\n001.png'"),
    "NUL": ("file,colour\nA,red\nitem\0 001.png,blue", "has a NUL in line 3"),
    "split": ("file,colour,split\nA,red,train\nB,blue,a/b", "has a split 'a/b'; name splits by letters"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_table_that_does_not_fit_is_one_sentence(tmp_path: Path, kind: str) -> None:
    write_pictures(tmp_path / "data", 4)
    text, message = BAD_TABLES[kind]
    text = text.replace("A", "item 000.png").replace("B", "item 001.png")
    (tmp_path / "any.csv").write_text(text, encoding="utf-8", newline="")
    with pytest.raises(ValueError, match=message) as told:
        folder(tmp_path / "data", table=tmp_path / "any.csv").manifest()
    assert "\n" not in str(told.value)
    assert "; " in str(told.value)


def test_damaged_tables_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write_table(tmp_path / "any.csv", write_pictures(tmp_path / "data", 12))
    refused = []
    for content in damaged(path.read_bytes(), seed=3, count=300):
        path.write_bytes(content)
        refused.append(refusal(folder(tmp_path / "data", table=path).manifest))
    assert sum(map(bool, refused)) > 100
    assert not [sentence for sentence in refused if "\n" in sentence]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attributes": ("size",)}, "has no column 'size'; it has file, colour, price, note, brand"),
        ({"attributes": ("brand",)}, "column 'brand' is 'acme' in every row and tells no picture from another"),
        ({"graded": ("colour",)}, "graded column 'colour' holds 'green', which is no number"),
        ({"graded": ("price",), "attributes": ("price",)}, "column 'price' cannot be an attribute and graded"),
        ({"id_column": "colour"}, "names no picture in column 'colour' .*; name the column"),
        ({"table": None, "graded": ("price",)}, r"columns \(price\) are named without a table; give it as --table"),
    ],
)
def test_roles_that_do_not_fit_are_one_sentence(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    table = write_table(tmp_path / "any.csv", write_pictures(tmp_path / "data"))
    with pytest.raises(ValueError, match=message):
        folder(tmp_path / "data", **{"table": table, **settings}).manifest()


def test_an_empty_folder_and_two_pictures_of_one_name_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "readme.txt").write_text("text")
    with pytest.raises(ValueError, match=r"data holds no picture \(1 other files\); give a folder of pictures"):
        folder(tmp_path / "data").manifest()
    with pytest.raises(FileNotFoundError, match=r"no folder .*none; give the folder of the data set"):
        folder(tmp_path / "none").build()
    write_pictures(tmp_path / "data", 1)
    write_pictures(tmp_path / "data", 1, suffix=".jpg")
    with pytest.raises(ValueError, match=r"two pictures of one name, .*item 000\.jpg and .*item 000\.png; rename one"):
        folder(tmp_path / "data").manifest()


def test_names_that_cannot_be_ids_are_one_sentence(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 1)
    (tmp_path / "data" / "two\nlines.png").write_bytes((tmp_path / "data" / "small" / "item 000.png").read_bytes())
    with pytest.raises(ValueError, match=r"data names a picture 'two\\nlines'; give names without"):
        folder(tmp_path / "data").manifest()


@pytest.mark.parametrize("kind", ["corrupt", "bomb"])
def test_a_picture_that_cannot_be_decoded_is_named_and_nothing_written(
    tmp_path: Path,
    backbones: dict[str, Path],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_pictures(tmp_path / "data")
    broken = tmp_path / "data" / "small" / "item 004.png"
    if kind == "corrupt":
        broken.write_bytes(broken.read_bytes()[:40])
    else:
        monkeypatch.setattr(images, "MOST_PIXELS", 5000)
        Image.new("RGB", (100, 100)).save(broken)
    source = folder(tmp_path / "data", backbone=backbones["vit"], grid=0)
    with pytest.raises(ValueError, match=r"image .*item 004\.png is truncated or cannot be decoded .*--skip-broken"):
        source.build()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    source.skip_broken = True
    assert len(source.build()) == 39


def test_a_wrong_backbone_is_noticed_before_the_first_picture_is_read(
    tmp_path: Path, backbones: dict[str, Path]
) -> None:
    write_pictures(tmp_path / "data")
    (tmp_path / "data" / "small" / "item 004.png").write_bytes(b"broken")
    with pytest.raises(FileNotFoundError, match="is no backbone; it must hold"):
        folder(tmp_path / "data").build()
    with pytest.raises(ValueError, match="gives no class token"):
        folder(tmp_path / "data", backbone=backbones["convolution"], pooling="cls").build()


def test_a_picture_that_changes_during_a_build_is_noticed(tmp_path: Path) -> None:
    from dialog_env.catalog.sources.photographs import read_pictures

    write_pictures(tmp_path / "data", 3)
    manifest, items = read_pictures(folder(tmp_path / "data").manifest(), skip_broken=False)
    manifest.files[1].write_bytes(manifest.files[2].read_bytes())
    assert bytes(items.content[0]) == manifest.files[0].read_bytes()
    with pytest.raises(ValueError, match=r"item 000\.png was changed while the catalogue was built"):
        bytes(items.content[1])


@pytest.mark.parametrize("form", [form for form in OTHER_FORMATS if form in readable()])
def test_pictures_of_other_formats_are_decoded(form: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(content, form)  # square: older Pillows make an empty ICO otherwise
    picture = decode_picture(content.getvalue(), "a", "b")
    assert picture.mode == "RGB"
    assert np.abs(np.asarray(picture).astype(int)[8, 8] - (200, 30, 30)).max() < 12


def test_a_grown_folder_keeps_the_scale_of_its_grades(tmp_path: Path, backbones: dict[str, Path]) -> None:
    table = write_table(tmp_path / "any.csv", write_pictures(tmp_path / "data"))
    settings = {"backbone": backbones["vit"], "dimensions": 6, "region_channels": 5, "grid": 2}
    old = folder(tmp_path / "data", table=table, **settings).build()
    more = write_table(tmp_path / "more.csv", write_pictures(tmp_path / "more", 6, first=100))
    grown = folder(tmp_path / "more", table=more, split="added", **settings).add()
    assert (len(grown), grown.splits) == (46, {**old.splits, "added": 6})
    assert grown.attributes is not None
    low, high = old.provenance["graded attributes"]["price"]
    added = grown.split("added")
    place = list(added.ids).index("small/item 100")
    expected = np.clip((6.5 - low) / (high - low), 0, 1)
    assert added.attributes is not None
    assert added.attributes.grade("price")[place] == pytest.approx(expected, abs=1e-5)
