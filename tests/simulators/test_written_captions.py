"""People's sentences from a CSV of one's own and from the JSON of Shoes and Fashion-IQ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.catalog.sources.written import read_captions
from dialog_env.simulators.captioner.caption_data import WrittenPairs, open_captions
from dialog_env.simulators.captioner.training import CaptionerSettings, CaptionTraining
from dialog_env.world.vocabulary import Vocabulary
from tests.conftest import shared_path, tiny_contents


def captions(path: Path, split: str = "train", **settings: object) -> WrittenPairs:
    """The captions of a file about a split of the tiny catalogue."""
    source = open_captions(str(path), Catalog(tiny_contents(240)).split(split), pairs=1, seed=0, **settings)  # type: ignore[arg-type]
    assert isinstance(source, WrittenPairs)
    return source


def said(source: WrittenPairs) -> list[tuple[int, int, str]]:
    """Target, candidate and sentence of every pair."""
    vocabulary = Vocabulary.from_sentences(source.sentences())
    examples = source.draw(vocabulary, torch.Generator())
    sentences = vocabulary.decode(examples.tokens)
    return list(zip(examples.targets.tolist(), examples.candidates.tolist(), sentences, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "target,candidate,sentence\ntiny-001,tiny-002,is redder\ntiny-001,tiny-002,has a bow\n"
        "tiny-003,tiny-004,is open\n",
        "Caption;Reference;Target\nis redder;tiny-002;tiny-001\nhas a bow;tiny-002.jpg;tiny-001.png\n"
        "is open;tiny-004;tiny-003\n",
        "worker\tsource\tfeedback\ttarget\n1\ttiny-002\tIs redder!\ttiny-001\n2\ttiny-002\thas a bow\ttiny-001\n"
        "3\ttiny-004\tis open\ttiny-003\n",
    ],
)
def test_pairs_of_a_table_are_read_in_any_order_of_columns_and_several_a_pair(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    source = captions(tmp_path / "pairs.csv")
    assert said(source) == [(1, 2, "is redder"), (1, 2, "has a bow"), (3, 4, "is open")]
    examples = source.draw(Vocabulary.from_sentences(source.sentences()), torch.Generator())
    assert source.references(examples)[0] == ["is redder", "has a bow"]


def test_a_row_without_candidate_is_about_one_image(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("target,candidate,sentence\ntiny-001,,a red boot\ntiny-003,tiny-004,is open\n")
    source = captions(tmp_path / "pairs.csv")
    assert source.relative == 1
    assert [row[::2] for row in said(source)] == [(3, "is open"), *[(1, "a red boot")] * 5]
    assert captions(tmp_path / "pairs.csv", relative_only=True).sentences() == ["is open"]


def test_json_of_shoes_and_of_fashion_iq_is_read(tmp_path: Path) -> None:
    shoes = [{"ImageName": "tiny-001", "ReferenceImageName": "tiny-002", "RelativeCaption": "is redder"}]
    (tmp_path / "shoes.json").write_text(json.dumps(shoes))
    assert said(captions(tmp_path / "shoes.json")) == [(1, 2, "is redder")]
    (tmp_path / "iq" / "captions").mkdir(parents=True)
    for kind, first in (("dress", "tiny-001"), ("shirt", "elsewhere-1")):
        entry = {"target": first, "candidate": "tiny-002", "captions": ["is redder", " has a bow", ""]}
        (tmp_path / "iq" / "captions" / f"cap.{kind}.train.json").write_text(json.dumps([entry]))
        test = [{"candidate": "tiny-002", "captions": ["nobody knows of what"]}]
        (tmp_path / "iq" / "captions" / f"cap.{kind}.test.json").write_text(json.dumps(test))
    assert said(captions(tmp_path / "iq")) == [(1, 2, "is redder"), (1, 2, "has a bow")]
    assert said(captions(tmp_path / "iq" / "captions" / "cap.dress.train.json")) == said(captions(tmp_path / "iq"))


BAD = {
    "columns": (
        "target,sentence\ntiny-001,is red",
        r"pairs\.csv has no column 'candidate'; it has target, sentence: give a CSV",
    ),
    "no target": ("target,candidate,sentence\n,tiny-002,is red", r"pairs\.csv has no target in line 2; mend or remove"),
    "no sentence": ("target,candidate,sentence\ntiny-001,tiny-002,", r"pairs\.csv has no sentence in line 2"),
    "unknown": (
        "target,candidate,sentence\ntiny-001,tiny-002,is red\ntiny-001,nobody,is red",
        r"1 of 2 captions cannot be used \(.*pairs\.csv, line 3: the catalogue has no image 'nobody'\); mend them",
    ),
    "itself": ("target,candidate,sentence\ntiny-001,tiny-001,is red", r"line 2: 'tiny-001' is compared with itself"),
    "wordless": ("target,candidate,sentence\ntiny-001,tiny-002,?!", r"line 2: '\?!' about 'tiny-001' has no word"),
}


@pytest.mark.parametrize("kind", BAD)
def test_captions_that_cannot_be_used_are_named_by_file_and_line(tmp_path: Path, kind: str) -> None:
    text, message = BAD[kind]
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        captions(tmp_path / "pairs.csv")


@pytest.mark.parametrize(
    "entry", [{"target": "tiny-001"}, {"candidate": "tiny-001", "captions": ["a"]}, {"target": 5, "sentence": "a"}]
)
def test_json_entries_that_are_no_captions_are_refused(tmp_path: Path, entry: dict[str, object]) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps([entry]))
    with pytest.raises(ValueError, match=r"pairs\.json has .* as entry 0; give texts: target, candidate, caption"):
        captions(tmp_path / "pairs.json")


def test_pairs_of_one_gallery_are_parted_for_learning_and_judging(tmp_path: Path) -> None:
    rows = [f"tiny-{a:03d},tiny-{a + 1:03d},sentence {a}" for a in range(170)]
    (tmp_path / "pairs.csv").write_text("\n".join(["target,candidate,sentence", *rows]))
    parts = [
        set(captions(tmp_path / "pairs.csv", "train+validation", part=part).sentences()) for part in ("learn", "judge")
    ]
    whole = set(captions(tmp_path / "pairs.csv", "train+validation").sentences())
    assert parts[0] | parts[1] == whole == {f"sentence {a}" for a in range(170)}
    assert not parts[0] & parts[1]
    assert 0 < len(parts[1]) < 30
    apart = [len(captions(tmp_path / "pairs.csv", split).sentences()) for split in ("train", "validation")]
    assert sum(apart) < 170
    settings = CaptionerSettings("show_tell", epochs=1, hidden=8, embedding=8, threshold=0)
    sources = [captions(tmp_path / "pairs.csv", "train+validation", part=part) for part in ("learn", "judge")]
    saved = CaptionTraining(settings, *sources, tmp_path / "captioner").run(progress=False)
    assert saved.provenance["split"] == "train+validation"
    with pytest.raises(ValueError, match="images are in both splits"):
        CaptionTraining(settings, sources[0], sources[0], tmp_path / "other")
    with pytest.raises(ValueError, match=r"has no split 'train\+none'; choose one of all, train"):
        captions(tmp_path / "pairs.csv", "train+none")


def test_a_pair_is_scored_once_however_many_spoke_of_it(tmp_path: Path) -> None:
    rows = ["tiny-003,tiny-004,is open", "tiny-001,tiny-002,is redder", "tiny-003,tiny-004,has a bow"]
    (tmp_path / "pairs.csv").write_text("\n".join(["target,candidate,sentence", *rows]))
    source = captions(tmp_path / "pairs.csv")
    vocabulary = Vocabulary.from_sentences(source.sentences())
    scored = source.scored(vocabulary, torch.Generator())
    assert len(said(source)) == 3
    assert sorted(vocabulary.decode(scored.tokens)) == ["is open", "is redder"]
    assert sorted(source.references(scored)) == [["is open", "has a bow"], ["is redder"]]
    (tmp_path / "pairs.csv").write_text("\n".join(["target,candidate,sentence", *rows, "tiny-005,tiny-006,a", rows[0]]))
    assert len(captions(tmp_path / "pairs.csv").scored(vocabulary, torch.Generator()).targets) == 3
    more = [*rows, "tiny-005,tiny-006,is open", "tiny-005,tiny-006,is dark"]
    (tmp_path / "pairs.csv").write_text("\n".join(["target,candidate,sentence", *more]))
    source = captions(tmp_path / "pairs.csv")
    assert all(len(each) == 2 for each in source.references(source.scored(vocabulary, torch.Generator())))


def test_of_a_few_pairs_one_judges(tmp_path: Path) -> None:
    for first in range(20):
        rows = [f"tiny-{a:03d},tiny-{a + 1:03d},sentence {a}" for a in range(first, first + 4)]
        (tmp_path / "pairs.csv").write_text("\n".join(["target,candidate,sentence", *rows]))
        parts = [captions(tmp_path / "pairs.csv", "all", part=part).sentences() for part in ("learn", "judge")]
        assert len(parts[1]) >= 1
        assert len(parts[0]) + len(parts[1]) == 4


def test_the_real_captions_of_fashion_iq_are_read() -> None:
    folder = shared_path("data", "fashion_iq")
    lists = json.loads((folder / "image_splits" / "split.dress.val.json").read_text())
    found = read_captions(folder, lists)
    assert (len(found.relative["all"]), found.single["all"]) == (2 * (5985 + 2017), [])
