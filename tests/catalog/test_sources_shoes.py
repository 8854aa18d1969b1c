"""Source `shoes`: captions without photographs, and photographs by the official lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dialog_env.catalog.sources.captions import RelativeCaption, load_captions
from dialog_env.catalog.sources.shoes import Shoes, class_of, split_of
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary, split_words
from tests.conftest import shared_path

TRAIN = [f"img_womens_boots_{number}.jpg" for number in range(40)]
EVALUATION = [f"img_womens_rain_boots_{number}.jpg" for number in range(10)]


def write_captions(
    folder: Path,
    relative: list[tuple[str, str, str]] | None = None,
    single: list[tuple[str, str]] | None = None,
) -> None:
    """The four files of the Shoes captions."""
    folder.mkdir(parents=True, exist_ok=True)
    relative = [(TRAIN[0], TRAIN[1], "is red")] if relative is None else relative
    single = [(EVALUATION[0], "blue boots")] if single is None else single
    names = ("ImageName", "ReferenceImageName", "RelativeCaption")
    entries = [dict(zip(names, entry, strict=True)) for entry in relative]
    (folder / "relative_captions_shoes.json").write_text(json.dumps(entries))
    entries = [{"ImageName": image, "Caption": sentence} for image, sentence in single]
    (folder / "captions_shoes.json").write_text(json.dumps(entries))
    (folder / "train_im_names.txt").write_text("\n".join(TRAIN) + "\n")
    (folder / "eval_im_names.txt").write_text("\n".join(EVALUATION))


def write_photographs(root: Path, names: list[str]) -> None:
    """Photographs in nested folders as in the original: `womens_boots/0/img_womens_boots_1.jpg`."""
    for number, name in enumerate(names):
        folder = root / "womens" / name.split("_img")[0].removesuffix(".jpg")[4:] / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28), (number * 5 % 256, 9, 9)).save(folder / name)


def shoes(root: Path, **settings: object) -> Shoes:
    """The source with settings that do not matter for its manifest."""
    return Shoes(root, root / "backbone", root / "out.h5", **settings)  # type: ignore[arg-type]


def test_captions_load_without_any_image(tmp_path: Path) -> None:
    write_captions(tmp_path)
    captions = load_captions(tmp_path)
    assert captions.relative["train"] == [RelativeCaption(target=TRAIN[0], candidate=TRAIN[1], sentence="is red")]
    assert captions.sentences("evaluation") == ["blue boots"]


def test_a_pair_across_the_lists_belongs_to_no_split(tmp_path: Path) -> None:
    across = [
        (TRAIN[0], EVALUATION[0], "is red"),
        (EVALUATION[1], EVALUATION[2], "is low"),
    ]
    write_captions(tmp_path, across)
    captions = load_captions(tmp_path)
    assert captions.relative["train"] == []
    assert [caption.sentence for caption in captions.relative["evaluation"]] == ["is low"]
    assert captions.unlisted == 1


def test_a_catalogue_without_photographs_says_that_they_are_missing(tmp_path: Path) -> None:
    write_captions(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"photographs of Shoes are missing: none of the 50 .*your own copy"):
        shoes(tmp_path).manifest()


def test_photographs_anywhere_below_the_root_are_found_with_their_class(tmp_path: Path) -> None:
    write_captions(tmp_path / "captions")
    write_photographs(tmp_path, [*TRAIN, *EVALUATION, "img_womens_clogs_1.jpg"])
    manifest = shoes(tmp_path, captions=tmp_path / "captions").manifest()
    assert manifest.ids == TRAIN + EVALUATION
    assert manifest.columns["class"] == ["boots"] * 40 + ["rain boots"] * 10
    assert manifest.skipped == {
        "listed image missing": 0,
        "image in no list": 1,
        "caption of a pair from different lists": 0,
    }
    positions = manifest.split_positions()
    assert positions["test"].tolist() == list(range(40, 50))
    assert sorted([*positions["train"], *positions["validation"]]) == list(range(40))
    table = manifest.attribute_table({"shiny": np.zeros(50, np.float32)})
    assert table.values == (("boots", "rain boots"),)


def test_missing_photographs_are_listed_or_skipped_and_counted(tmp_path: Path) -> None:
    write_captions(tmp_path)
    write_photographs(tmp_path, [*TRAIN[2:], *EVALUATION])
    with pytest.raises(FileNotFoundError, match=rf"2 of 50 .*missing .*{TRAIN[0]}, {TRAIN[1]}\).*--skip-missing"):
        shoes(tmp_path).manifest()
    manifest = shoes(tmp_path, skip_missing=True).manifest()
    assert len(manifest.ids) == 48
    assert manifest.skipped["listed image missing"] == 2


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    write_captions(tmp_path)
    write_photographs(tmp_path, TRAIN)
    write_photographs(tmp_path / "copy", TRAIN[:1])
    with pytest.raises(ValueError, match=rf"{TRAIN[0]} lies at .* and at"):
        shoes(tmp_path).manifest()


def test_the_class_is_read_from_the_name() -> None:
    assert class_of("img_womens_athletic_shoes_12.jpg") == "athletic shoes"
    with pytest.raises(ValueError, match="no class"):
        class_of("boots.jpg")


@pytest.mark.parametrize(
    ("relative", "complaint"),
    [([(TRAIN[0], TRAIN[1], "  ")], "as entry 0; give text"), ([(TRAIN[0], None, "is red")], "as entry 0; give text")],
)
def test_empty_captions_are_refused(tmp_path: Path, relative: list[tuple[str, str, str]], complaint: str) -> None:
    write_captions(tmp_path, relative)
    with pytest.raises(ValueError, match=rf"relative_captions_shoes\.json has .* {complaint}"):
        load_captions(tmp_path)


@pytest.mark.parametrize("file", ["train_im_names.txt", "eval_im_names.txt"])
def test_a_name_list_that_is_cut_off_is_told_by_the_captions(tmp_path: Path, file: str) -> None:
    pairs = [(names[5], name, "is red") for names in (TRAIN, EVALUATION) for name in names[:5]]
    write_captions(tmp_path, pairs, [(TRAIN[-1], "red"), (EVALUATION[-1], "blue")])
    path = tmp_path / file
    path.write_text(path.read_text()[:-30])
    for load in (load_captions, lambda folder: shoes(folder).manifest()):
        with pytest.raises(ValueError, match=r"captions of 1 images that stand in neither list .*list is cut off"):
            load(tmp_path)


def test_bad_caption_files_are_named(tmp_path: Path) -> None:
    write_captions(tmp_path)
    (tmp_path / "captions_shoes.json").write_text('[{"ImageName": ')
    with pytest.raises(ValueError, match=r"captions_shoes\.json is no list of captions"):
        load_captions(tmp_path)
    (tmp_path / "captions_shoes.json").write_text('{"ImageName": 3}')
    with pytest.raises(ValueError, match="is no list of captions"):
        load_captions(tmp_path)
    (tmp_path / "eval_im_names.txt").write_text(TRAIN[0])
    with pytest.raises(ValueError, match=rf"{TRAIN[0]}.* must be disjoint"):
        load_captions(tmp_path)
    (tmp_path / "eval_im_names.txt").write_text("a.jpg\na.jpg")
    with pytest.raises(ValueError, match=r"eval_im_names\.txt lists 'a\.jpg' more than once"):
        load_captions(tmp_path)
    (tmp_path / "eval_im_names.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no list of image names at .*eval_im_names\.txt"):
        load_captions(tmp_path)


def test_the_human_captions_fall_into_their_known_parts() -> None:
    captions = load_captions(shared_path("data", "shoes_captions"))
    assert {name: len(names) for name, names in captions.names.items()} == {"train": 10_000, "evaluation": 4_658}
    assert {name: len(found) for name, found in captions.relative.items()} == {"train": 8_990, "evaluation": 1_761}
    assert {name: len(found) for name, found in captions.single.items()} == {"train": 3_000, "evaluation": 600}
    assert captions.unlisted == 0
    assert len({class_of(name) for name in captions.names["train"]}) == 10
    validation = [split_of(name, "train") for name in captions.names["train"]].count("validation")
    assert 400 < validation < 600


def test_no_known_word_of_the_human_captions_is_lost() -> None:
    captions = load_captions(shared_path("data", "shoes_captions"))
    vocabulary = Vocabulary.from_sentences(captions.sentences("train"), threshold=4)
    known = set(vocabulary.words)
    sentences = captions.sentences("train") + captions.sentences("evaluation")
    expected = [
        " ".join(word if word in known else "UNK" for word in split_words(sentence)[:MAX_WORDS])
        for sentence in sentences
    ]
    assert vocabulary.decode(vocabulary.encode(sentences)) == expected
    assert sum(sentence.split().count("UNK") for sentence in expected) < 0.035 * sum(len(s.split()) for s in expected)
