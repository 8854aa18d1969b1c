"""Shoes and Fashion-IQ from descriptions, where the pictures are missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.catalog.sources.fashion_iq import FashionIq
from dialog_env.catalog.sources.sentences import CARD, TOKENS, SentenceEncoder, card
from dialog_env.catalog.sources.shoes import Shoes
from tests.catalog.encoders import write_sentence_encoder
from tests.catalog.test_sources_shoes import EVALUATION, TRAIN, write_captions
from tests.conftest import shared_path

pytest.importorskip("transformers", reason="extraction needs the extra `images`")

SENTENCES = ("a black high heel", "red pump with a bow", "a blue sandal with strap and low heel", "boot")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentence_encoder(tmp_path_factory.mktemp("encoder"))


def described(names: list[str]) -> dict[str, str]:
    return {name: f"{SENTENCES[n % len(SENTENCES)]} {'abcdefghij'[n % 10]}" for n, name in enumerate(names)}


@pytest.fixture
def shoes(tmp_path: Path, encoder: Path) -> Shoes:
    """The captions of Shoes with a description of every image."""
    write_captions(tmp_path / "data")
    (tmp_path / "described.json").write_text(json.dumps(described([*TRAIN, *EVALUATION, "img_womens_other_1.jpg"])))
    settings = {"dimensions": 6, "region_channels": 5, "batch": 4, "descriptions": tmp_path / "described.json"}
    return Shoes(tmp_path / "data", encoder, tmp_path / "shoes.h5", **settings)


def write_fashion_iq(root: Path, count: int = 60) -> None:
    """Lists, descriptions and captions of dresses."""
    for folder in ("image_splits", "descriptions", "captions"):
        (root / folder).mkdir(parents=True)
    for name, first in (("train", 0), ("val", count)):
        ids = [f"B{number:04d}" for number in range(first, first + count)]
        (root / "image_splits" / f"split.dress.{name}.json").write_text(json.dumps(ids))
        (root / "descriptions" / f"image_captions_dress_{name}.json").write_text(json.dumps(described(ids)))
        pairs = [
            {"target": target, "candidate": candidate, "captions": ["is red", "has a bow"]}
            for target, candidate in zip(ids[1:], ids[:-1], strict=True)
        ]
        (root / "captions" / f"cap.dress.{name}.json").write_text(json.dumps(pairs))


def test_a_sentence_is_the_mean_of_its_tokens_and_its_words_are_regions(encoder: Path) -> None:
    read = SentenceEncoder(encoder)
    pooled, regions = read(list(SENTENCES), 7)
    assert regions is not None
    assert (pooled.shape, regions.shape) == ((4, 16), (4, TOKENS, 16))
    torch.testing.assert_close(pooled.norm(dim=1), torch.ones(4))
    from transformers import AutoModel, AutoTokenizer

    network, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
    with torch.inference_mode():
        hidden = network(**tokenizer(SENTENCES[1], return_tensors="pt")).last_hidden_state[0]
    torch.testing.assert_close(pooled[1], torch.nn.functional.normalize(hidden.mean(0), dim=0), atol=1e-5, rtol=1e-4)
    words = hidden[1:-1]
    places = [place * len(words) // TOKENS for place in range(TOKENS)]
    torch.testing.assert_close(regions[1], words[places], atol=1e-5, rtol=1e-4)
    alone, none = read([SENTENCES[2]], 0)
    assert none is None
    torch.testing.assert_close(alone[0], pooled[2], atol=1e-5, rtol=1e-4)
    long = "a red pump with a bow and a strap and a low heel and a high boot of the shoe and a sandal"
    _, first = read([long], 1)
    assert first is not None
    assert len(torch.unique(first[0], dim=0)) == TOKENS
    torch.testing.assert_close(SentenceEncoder(encoder, pooling="cls")([SENTENCES[1]], 0)[0][0],
                               torch.nn.functional.normalize(hidden[0], dim=0), atol=1e-5, rtol=1e-4)  # fmt: skip


def test_shoes_are_built_from_descriptions_in_their_official_split(shoes: Shoes) -> None:
    catalog = shoes.build()
    assert catalog.name == "shoes, from descriptions"
    assert catalog.provenance["from"] == catalog.provenance["backbone"]["from"] == "descriptions"
    assert catalog.provenance["skipped"]["description of no listed image"] == 1
    assert list(catalog.split("test").ids) == EVALUATION
    assert set(catalog.split("train").ids) | set(catalog.split("validation").ids) == set(TRAIN)
    assert (catalog.dimensions, catalog.region_shape, catalog.image_size) == (6, (TOKENS, 5), (CARD, CARD))
    assert catalog.attributes is not None
    assert (catalog.attributes.categorical_names, catalog.attributes.graded_names) == (("class",), ())
    sentence = described([*TRAIN, *EVALUATION])[EVALUATION[0]]
    found = catalog.embedder(shoes.backbone)(sentence)
    np.testing.assert_allclose(found.pooled, catalog.split("test").features[0], atol=1e-5)
    with pytest.raises(ValueError, match="is no description; give a sentence"):
        catalog.embedder(shoes.backbone)(b"\x89PNG")


def test_a_card_shows_its_description_however_long(shoes: Shoes) -> None:
    catalog = shoes.build()
    first, second = catalog.images(np.array([0, 1]))
    assert first.shape == (CARD, CARD, 3)
    assert first.min() < 100
    assert (first != second).any()
    for text in ("x", "word " * 60, "a" * 300):
        assert len(card(text)) > 100


def test_descriptions_and_pictures_do_not_mix(shoes: Shoes, encoder: Path, tmp_path: Path) -> None:
    catalog = shoes.build()
    from tests.catalog.test_sources_shoes import write_photographs

    write_photographs(tmp_path / "data", [*TRAIN, *EVALUATION])
    pictures = Shoes(tmp_path / "data", encoder, tmp_path / "more.h5", like=tmp_path / "shoes.h5")
    with pytest.raises(ValueError, match=r"shoes\.h5 is made from descriptions and these are pictures; give descr"):
        pictures.build()
    other = write_sentence_encoder(tmp_path / "other", seed=1)
    shoes.like, shoes.backbone, shoes.output = tmp_path / "shoes.h5", other, tmp_path / "again.h5"
    with pytest.raises(ValueError, match="is another encoder than it was built with"):
        shoes.build()
    assert Catalog.open(tmp_path / "shoes.h5").space_id == catalog.space_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda found: found.pop(TRAIN[0]),
            rf"describes .* listed images and not {TRAIN[0]}; add them, or pass --skip",
        ),
        (lambda found: found.update({TRAIN[0]: " . "}), rf"describes image '{TRAIN[0]}' by no word"),
        (lambda found: found.update({TRAIN[0]: 5}), "is no file of descriptions"),
        (lambda found: found.clear(), "describes 0 of"),
    ],
)
def test_descriptions_that_cannot_be_used_are_one_sentence(shoes: Shoes, change, message: str) -> None:
    found = json.loads(shoes.descriptions.read_text())
    change(found)
    shoes.descriptions.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=message):
        shoes.build()
    assert not shoes.output.exists()


def test_missing_descriptions_are_left_out_on_request(shoes: Shoes) -> None:
    found = json.loads(shoes.descriptions.read_text())
    del found[EVALUATION[0]]
    shoes.descriptions.write_text(json.dumps(found))
    shoes.skip_missing = True
    assert list(shoes.build().split("test").ids) == EVALUATION[1:]


def test_fashion_iq_is_built_from_descriptions_or_pictures(tmp_path: Path, encoder: Path) -> None:
    write_fashion_iq(tmp_path / "data")
    source = FashionIq(
        tmp_path / "data", encoder, tmp_path / "dress.h5", descriptions=tmp_path / "data" / "descriptions", dimensions=6
    )
    catalog = source.build()
    assert catalog.name == "fashion-iq dress, from descriptions"
    assert catalog.attributes is None
    assert list(catalog.split("test").ids) == [f"B{number:04d}" for number in range(60, 120)]
    assert 0 < catalog.splits["validation"] < 10
    assert catalog.splits["train"] + catalog.splits["validation"] == 60
    source.descriptions = None
    with pytest.raises(FileNotFoundError, match=r"the photographs of Fashion-IQ are missing .* or --descriptions"):
        source.build()
    from PIL import Image

    for number in range(100):
        Image.new("RGB", (20, 30), (number, 0, 0)).save(tmp_path / "data" / f"B{number:04d}.png")
    with pytest.raises(FileNotFoundError, match=r"20 of 120 listed photographs .* are missing .*B0100, B0101"):
        source.manifest()
    source.skip_missing = True
    assert len(source.manifest().files) == 100


def test_a_folder_that_is_no_sentence_encoder_is_refused(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no sentence encoder; it must hold"):
        SentenceEncoder(tmp_path)
    with pytest.raises(ValueError, match="has no pooling 'projection'; choose mean or cls"):
        SentenceEncoder(encoder, pooling="projection")
    broken = write_sentence_encoder(tmp_path / "broken")
    (broken / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="has no tokenizer that can be loaded"):
        SentenceEncoder(broken)


@pytest.mark.slow
def test_the_real_encoder_puts_descriptions_of_alike_shoes_together() -> None:
    encode = SentenceEncoder(shared_path("models", "minilm"))
    sentences = ["a black high heel shoe with a platform", "black pumps with a high heel", "a green rubber rain boot"]
    pooled, regions = encode(sentences, 1)
    assert regions is not None
    assert (pooled.shape, regions.shape) == ((3, 384), (3, TOKENS, 384))
    likeness = pooled @ pooled.T
    assert likeness[0, 1] > 0.6 > likeness[0, 2]
