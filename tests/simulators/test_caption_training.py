"""Captioners learn from captions, go on after an interruption, and refuse what they cannot learn from."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dialog_env.catalog import Catalog, Contents
from dialog_env.catalog.sources.captions import Captions, ImageCaption, RelativeCaption, load_captions
from dialog_env.io import checkpoint
from dialog_env.simulators.captioner import save_captioner
from dialog_env.simulators.captioner.caption_data import DescribedPairs, Examples, WrittenPairs, batches, open_captions
from dialog_env.simulators.captioner.training import CaptionerSettings, CaptionTraining
from dialog_env.simulators.captioner.user import CAPTIONER_FILE, CaptioningUser
from dialog_env.training.epochs import CHECKPOINT_FILE
from dialog_env.world.vocabulary import Vocabulary, split_words
from tests.conftest import shared_path, tiny_contents

SMALL = CaptionerSettings(epochs=4, batch=8, hidden=16, embedding=16, attention=16, threshold=0, learning_rate=0.01)


def written(
    relative: list[tuple[str, str, str]], single: list[tuple[str, str]] | None = None, listed: str = "train"
) -> Captions:
    """Captions as from files."""
    return Captions(
        names={listed: ()},
        relative={listed: [RelativeCaption(*entry) for entry in relative]},
        single={listed: [ImageCaption(*entry) for entry in single or []]},
        unlisted=0,
    )


def training(
    contents: Contents, folder: Path, recipe: CaptionerSettings = SMALL, pairs: int = 40, **settings: Any
) -> CaptionTraining:
    catalog = Catalog(contents)
    sources = [DescribedPairs(catalog.split(name), pairs) for name in ("train", "validation")]
    return CaptionTraining(recipe, *sources, folder, **settings)


def weights(folder: Path, file: str = CHECKPOINT_FILE) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in load_file(folder / file).items() if not name.startswith("optimiser")}


@pytest.mark.parametrize("architecture", ["show_tell", "show_attend_tell", "adaatt"])
def test_validation_loss_falls_and_the_best_epoch_is_kept(tmp_path: Path, architecture: str) -> None:
    learner = training(tiny_contents(48), tmp_path, replace(SMALL, architecture=architecture), pairs=200)
    before = learner.validation_loss()
    saved = learner.run(progress=False)
    losses = [row["validation"] for row in learner.done.history]
    assert min(losses) < before - 0.3
    assert saved.provenance["validation loss"] == min(losses)
    assert saved.provenance["epoch"] == losses.index(min(losses)) + 1
    assert saved.network.architecture == architecture
    assert all(tensor.dtype == torch.float16 for tensor in weights(tmp_path, CAPTIONER_FILE).values())
    assert any((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("architecture", ["fc", "show_attend_tell"])
def test_a_training_that_was_stopped_ends_in_the_same_weights(
    tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(SMALL, architecture=architecture)
    whole = training(tiny_contents(), tmp_path / "whole", recipe).run(progress=False)
    stopped = training(tiny_contents(), tmp_path / "parts", recipe)
    update, made = CaptionTraining._update, [0]

    def stops(self: CaptionTraining, examples: Examples, rate: float) -> Tensor:
        made[0] += 1
        if made[0] == 13:  # in the middle of the third epoch
            raise KeyboardInterrupt
        return update(self, examples, rate)

    monkeypatch.setattr(CaptionTraining, "_update", stops)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(progress=False)
    monkeypatch.setattr(CaptionTraining, "_update", update)
    resumed = training(tiny_contents(), tmp_path / "parts", recipe)
    assert resumed.done.epoch == 2
    parts = resumed.run(progress=False)
    assert parts.fingerprint == whole.fingerprint
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_learning_rate_falls_along_half_a_cosine_or_stays(
    tmp_path: Path, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    update = CaptionTraining._update

    def listening(self: CaptionTraining, examples: Examples, rate: float) -> Tensor:
        rates.append(rate)
        return update(self, examples, rate)

    monkeypatch.setattr(CaptionTraining, "_update", listening)
    training(tiny_contents(), tmp_path, replace(SMALL, schedule=schedule, patience=9)).run(progress=False)
    middle = len(rates) // 2
    expected = [0.01, 0.005, 0.0] if schedule == "cosine" else [0.01] * 3
    assert [rates[0], rates[middle], rates[-1]] == pytest.approx(expected, abs=1e-4)


def test_a_checkpoint_of_before_there_was_a_choice_of_schedules_goes_on(tmp_path: Path) -> None:
    training(tiny_contents(), tmp_path).run(progress=False)
    saved = checkpoint.read(tmp_path / CHECKPOINT_FILE)
    del saved.facts["identity"]["recipe"]["schedule"]
    checkpoint.write(tmp_path / CHECKPOINT_FILE, saved.tensors, saved.facts)
    assert training(tiny_contents(), tmp_path).done.epoch == 4
    with pytest.raises(ValueError, match="a training with schedule 'cosine' and this one has 'constant'"):
        training(tiny_contents(), tmp_path, replace(SMALL, schedule="constant"))
    with pytest.raises(ValueError, match="no schedule 'linear'; known are cosine, constant"):
        replace(SMALL, schedule="linear")


def test_another_seed_ends_in_other_weights(tmp_path: Path) -> None:
    recipes = {"first": SMALL, "second": replace(SMALL, seed=1)}
    prints = {
        training(tiny_contents(), tmp_path / key, each).run(progress=False).fingerprint for key, each in recipes.items()
    }
    assert len(prints) == 2


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.4, 1.0])
    monkeypatch.setattr(CaptionTraining, "validation_loss", lambda self: next(losses))
    learner = training(tiny_contents(), tmp_path, replace(SMALL, epochs=9, patience=2))
    saved = learner.run(progress=False)
    assert learner.done.epoch == 4
    assert saved.provenance["epoch"] == 2
    assert training(tiny_contents(), tmp_path, replace(SMALL, epochs=9, patience=2)).stopped


def test_a_finished_training_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = training(tiny_contents(), tmp_path).run(progress=False)
    monkeypatch.setattr(CaptionTraining, "_update", lambda *_: pytest.fail("trained again"))
    assert training(tiny_contents(), tmp_path).run(progress=False).fingerprint == first.fingerprint


def test_a_checkpoint_of_another_training_is_refused_by_what_differs(tmp_path: Path) -> None:
    training(tiny_contents(), tmp_path, replace(SMALL, epochs=1)).run(progress=False)
    for change, named in (({"hidden": 8}, "hidden 16"), ({"architecture": "fc"}, "architecture 'show_attend_tell'")):
        with pytest.raises(ValueError, match=f"with {named} and this one has"):
            training(tiny_contents(), tmp_path, replace(SMALL, epochs=1, **change))
    with pytest.raises(ValueError, match="with captions"):
        training(tiny_contents(seed=1), tmp_path, replace(SMALL, epochs=1))
    checkpoint.write(tmp_path / CHECKPOINT_FILE, {}, {"identity": {"agent": "supervised"}})
    with pytest.raises(ValueError, match="not of the training of a captioner"):
        training(tiny_contents(), tmp_path, replace(SMALL, epochs=1))


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(tiny_contents(), tmp_path, replace(SMALL, epochs=2, patience=1)).run(progress=False)
    kept = (tmp_path / CHECKPOINT_FILE).read_bytes()
    monkeypatch.setattr(CaptionTraining, "stopped", False)
    monkeypatch.setattr(CaptionTraining, "_update", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(ValueError, match="the loss is nan in epoch"):
        training(tiny_contents(), tmp_path, replace(SMALL, epochs=2, patience=1)).run(progress=False)
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == kept


def test_a_catalogue_without_regions_trains_what_looks_at_pooled_features_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="show_attend_tell looks at region features and catalogue 'tiny' has none"):
        training(tiny_contents(regions=None), tmp_path)
    saved = training(tiny_contents(regions=None), tmp_path, replace(SMALL, architecture="show_tell", epochs=1)).run(
        progress=False
    )
    gallery = Catalog(tiny_contents(regions=None)).split("test")
    assert CaptioningUser(gallery, argument=tmp_path).sentences(torch.tensor([0, 1]), torch.tensor([2, 3]))
    assert saved.network.sizes.regions == 0


def test_regions_that_do_not_fit_into_memory_are_read_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(SMALL, epochs=1)
    kept = training(tiny_contents(), tmp_path / "kept", recipe).run(progress=False)
    monkeypatch.setattr("dialog_env.simulators.captioner.training.KEPT_BYTES", 0)
    read = training(tiny_contents(), tmp_path / "read", recipe)
    assert read.images.regions is None
    assert read.run(progress=False).fingerprint == kept.fingerprint


def test_splits_that_share_images_are_refused(tmp_path: Path) -> None:
    catalog = Catalog(tiny_contents())
    sources = [DescribedPairs(catalog.split(name), 10) for name in ("all", "validation")]
    with pytest.raises(ValueError, match=r"6 images are in both splits, say 'tiny-012'"):
        CaptionTraining(SMALL, *sources, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "pix2pix"}, "no captioner architecture 'pix2pix'; known are"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_a_threshold_above_all_counts_leaves_no_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the vocabulary is empty; lower the count threshold"):
        training(tiny_contents(), tmp_path, replace(SMALL, threshold=10_000))


def test_described_pairs_differ_from_draw_to_draw_and_never_compare_an_image_with_itself() -> None:
    gallery = Catalog(tiny_contents()).split("train")
    source = DescribedPairs(gallery, 300)
    vocabulary = Vocabulary.from_sentences(source.sentences())
    generator = torch.Generator().manual_seed(1)
    first, second = source.draw(vocabulary, generator), source.draw(vocabulary, generator)
    assert not torch.equal(first.targets, second.targets)
    assert bool((first.targets != first.candidates).all())
    assert len(first.candidates.unique()) == len(gallery)
    again = source.draw(vocabulary, torch.Generator().manual_seed(1))
    assert torch.equal(again.tokens, first.tokens)
    spoken = vocabulary.decode(first.tokens)
    assert spoken == source.describers[0].sentences(first.targets, first.candidates)


def test_words_below_the_threshold_are_learned_as_unknown() -> None:
    source = DescribedPairs(Catalog(tiny_contents()).split("train"), 200)
    vocabulary = Vocabulary(("is", "UNK"))
    tokens = source.draw(vocabulary, torch.Generator().manual_seed(0)).tokens
    assert set(tokens.unique().tolist()) == {0, 1, 2}


def test_half_of_the_described_candidates_look_like_the_target() -> None:
    contents = tiny_contents(400, dimensions=2)
    gallery = Catalog(contents).split("all")
    pairs = DescribedPairs(gallery, 2000).draw(Vocabulary(("is", "UNK")), torch.Generator().manual_seed(0))
    distance = np.linalg.norm(contents.features[pairs.targets] - contents.features[pairs.candidates], axis=1)
    everything = np.linalg.norm(contents.features[pairs.targets][:, None] - contents.features, axis=2)
    place = (everything < distance[:, None]).sum(axis=1)
    share = float((place <= 64).mean())
    assert 0.5 < share < 0.66  # half of them, and 64 of 400 of the others


def test_batches_hold_every_example_once_in_sentences_of_similar_length() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 16, 1000)
    tokens = torch.tensor(np.where(np.arange(16) < lengths[:, None], 1, 0))
    examples = Examples(torch.arange(1000), torch.arange(1000) + 1, tokens)
    made = batches(examples, 16, torch.Generator().manual_seed(0))
    assert torch.cat([each.targets for each in made]).sort().values.equal(torch.arange(1000))
    assert all(each.tokens.shape[1] == int((each.tokens != 0).sum(1).max()) for each in made)
    steps = sum(each.tokens.shape[1] for each in made)
    assert steps < 0.7 * 16 * len(made)
    assert [len(each.targets) for each in made].count(16) >= 60
    sizes = [each.tokens.shape[1] for each in made]
    assert sizes != sorted(sizes)


def test_written_pairs_are_those_of_the_split_and_single_captions_get_five_distant_images() -> None:
    catalog = Catalog(tiny_contents(240))
    train = catalog.split("train")
    relative = [("tiny-001", "tiny-002", "is redder"), ("tiny-003", "tiny-200", "is in another split")]
    source = WrittenPairs(train, written(relative, [("tiny-004", "a red boot"), ("tiny-220", "of another split")]))
    examples = source.draw(Vocabulary.from_sentences(source.sentences()), torch.Generator())
    assert (source.relative, len(examples.targets)) == (1, 6)
    assert (examples.targets[0], examples.candidates[0]) == (1, 2)
    assert examples.targets[1:].tolist() == [4] * 5
    shown = examples.candidates[1:]
    assert len(shown.unique()) == 5
    distances = np.linalg.norm(train.features - train.features[4], axis=1)
    assert distances[shown.numpy()].min() >= np.sort(distances)[-12]
    assert source.sentences() == ["is redder", "a red boot"]
    assert source.references(examples.take(torch.tensor([0]))) == [["is redder"]]


def test_captions_of_a_folder_are_held_out_without_those_of_single_images(tmp_path: Path) -> None:
    def entry(**fields: str) -> list[dict[str, str]]:
        return [fields]

    relative = entry(ImageName="tiny-001", ReferenceImageName="tiny-002", RelativeCaption="is redder")
    single = entry(ImageName="tiny-003", Caption="a blue boot")
    (tmp_path / "relative_captions_shoes.json").write_text(json.dumps(relative))
    (tmp_path / "captions_shoes.json").write_text(json.dumps(single))
    (tmp_path / "train_im_names.txt").write_text("tiny-001\ntiny-002\ntiny-003\n")
    (tmp_path / "eval_im_names.txt").write_text("tiny-020\n")
    train = Catalog(tiny_contents()).split("train")
    taught = open_captions(str(tmp_path), train, pairs=1, seed=0)
    held_out = open_captions(str(tmp_path), train, pairs=1, seed=0, relative_only=True)
    assert taught.sentences() == ["is redder", "a blue boot"]
    assert held_out.sentences() == ["is redder"]
    with pytest.raises(FileNotFoundError, match=r"no captions at .*nowhere; give a CSV with the columns"):
        open_captions(str(tmp_path / "nowhere"), train, pairs=1, seed=0)


def test_captions_that_cannot_be_used_are_counted_and_listed_and_left_out_on_demand() -> None:
    train = Catalog(tiny_contents()).split("train")
    captions = written(
        [
            ("tiny-001", "tiny-002", "is redder"),
            ("tiny-001", "nowhere", "is wider"),
            ("tiny-003", "tiny-003", "is the same"),
            ("tiny-004", "tiny-005", "?!"),
        ],
        [("gone", "a boot")],
    )
    with pytest.raises(ValueError, match=r"4 of 5 captions cannot be used \(the catalogue has no image 'nowhere'; "):
        WrittenPairs(train, captions)
    source = WrittenPairs(train, captions, skip_unusable=True)
    assert source.left_out == [
        "the catalogue has no image 'nowhere'",
        "'tiny-003' is compared with itself",
        "'?!' about 'tiny-004' has no word",
        "the catalogue has no image 'gone'",
    ]
    assert source.sentences() == ["is redder"]


def test_captions_about_no_image_of_the_split_are_refused() -> None:
    with pytest.raises(ValueError, match="no caption is about images of split 'test' alone"):
        WrittenPairs(Catalog(tiny_contents()).split("test"), written([("tiny-001", "tiny-002", "is redder")]))


def test_a_captioner_learns_from_written_captions(tmp_path: Path) -> None:
    """Colours of which the first feature tells: what is said must depend on the images."""
    contents = tiny_contents(240)
    catalog = Catalog(contents)
    first = contents.features[:, 0]
    random = np.random.default_rng(0)
    pairs = [random.choice(np.arange(*split), 2, replace=False) for split in [(0, 120)] * 400 + [(120, 180)] * 60]
    captions = written(
        [(f"tiny-{a:03d}", f"tiny-{b:03d}", "is red" if first[a] > first[b] else "has blue laces") for a, b in pairs]
    )
    sources = [WrittenPairs(catalog.split(name), captions) for name in ("train", "validation")]
    recipe = replace(SMALL, architecture="show_tell", epochs=12, dropout=0.1)
    saved = CaptionTraining(recipe, *sources, tmp_path).run(progress=False)
    assert saved.vocabulary.words == ("blue", "has", "is", "laces", "red", "UNK")
    test = catalog.split("test")
    user = CaptioningUser(test, argument=tmp_path)
    targets, candidates = torch.triu_indices(len(test), len(test), 1)
    said = np.array(user.sentences(targets, candidates))
    more = test.features[targets, 0] > test.features[candidates, 0]
    assert set(said) <= {"is red", "has blue laces"}
    assert ((said == "is red") == more).mean() > 0.85


def test_human_captions_pass_through_vocabulary_and_tokens_without_loss_above_the_threshold() -> None:
    captions = load_captions(shared_path("data", "shoes_captions"))
    assert (len(captions.relative["train"]), len(captions.relative["evaluation"])) == (8990, 1761)
    threshold = 5
    vocabulary = Vocabulary.from_sentences(captions.sentences("train"), threshold)
    counts = Counter(word for sentence in captions.sentences("train") for word in split_words(sentence))
    frequent = {word for word, count in counts.items() if count > threshold}
    assert {*vocabulary.words[:-1]} == frequent
    assert len(frequent) > 500
    for split in ("train", "evaluation"):
        sentences = [caption.sentence for caption in captions.relative[split]]
        spoken = vocabulary.decode(vocabulary.encode(sentences))
        for sentence, back in zip(sentences, spoken, strict=True):
            kept = [word if word in frequent else "UNK" for word in split_words(sentence)[:16]]
            assert back.split() == kept


def test_a_damaged_or_unfinished_captioner_is_refused(tmp_path: Path) -> None:
    gallery = Catalog(tiny_contents()).split("test")
    with pytest.raises(FileNotFoundError, match=r"has no captioner\.safetensors: no epoch of training has ended"):
        CaptioningUser(gallery, argument=tmp_path)
    saved = training(tiny_contents(), tmp_path, replace(SMALL, epochs=1)).run(progress=False)
    path = tmp_path / CAPTIONER_FILE
    shutil.copy(path, tmp_path / "copy.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is truncated or no captioner"):
        CaptioningUser(gallery, argument=tmp_path)
    with torch.no_grad():
        saved.network.logit.bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"weight 'logit\.bias' of the captioner is not finite"):
        save_captioner(path, saved.network, saved.vocabulary)


@pytest.mark.parametrize("wrong", [{"batch": np.array("text")}, {"clip": "x"}, {"learning_rate": []}, {"epochs": True}])
def test_settings_of_other_types_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"^{next(iter(wrong))} is [^\n]*; give a"):
        CaptionerSettings(**wrong)
