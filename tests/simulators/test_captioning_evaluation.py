"""Scores agree with the field's package, intervals cover the truth, and utility tells good sentences from bad."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dialog_env.catalog import Catalog, Contents
from dialog_env.simulators.captioner import save_captioner
from dialog_env.simulators.captioner.caption_data import DescribedPairs, image_digests
from dialog_env.simulators.captioner.evaluation import mean_score, quality
from dialog_env.simulators.captioner.listener import Listener, derangement, utility
from dialog_env.simulators.captioner.report import evaluate, table
from dialog_env.simulators.captioner.sheet import pair_sheet
from dialog_env.simulators.captioner.training import CaptionerSettings, CaptionTraining
from dialog_env.simulators.captioner.user import CaptioningUser
from tests.conftest import tiny_contents
from tests.simulators.test_captioning_user import WORDS, network

SAID = ["is red", "has a higher heel", "is less shiny and blue", "are boots with laces", "is red and open"]
RIGHT = [["is red"], ["has a much higher heel", "is taller"], ["is duller", "is blue"], ["are boots"], ["is open"]]


@pytest.fixture(autouse=True)
def no_java(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java takes seconds to start; METEOR has a test of its own."""
    if "meteor" not in request.node.name:
        monkeypatch.setattr("dialog_env.simulators.captioner.evaluation.shutil.which", lambda _: None)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_scores_are_those_of_the_evaluation_package() -> None:
    pytest.importorskip("pycocoevalcap")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    right, given = dict(enumerate(RIGHT)), {number: [sentence] for number, sentence in enumerate(SAID)}
    scores = quality(SAID, RIGHT, random())
    bleu = Bleu(4).compute_score(right, given, verbose=0)[0]
    for order in range(4):
        assert scores[f"BLEU-{order + 1}"].value == pytest.approx(100 * bleu[order])
    assert scores["ROUGE-L"].value == pytest.approx(100 * Rouge().compute_score(right, given)[0])
    assert scores["CIDEr"].value == pytest.approx(100 * Cider().compute_score(right, given)[0])
    for score in scores.values():
        assert score.low <= score.value <= score.high
    assert scores["BLEU-1"].low < scores["BLEU-1"].high


def test_short_sentences_pay_the_brevity_penalty() -> None:
    pytest.importorskip("pycocoevalcap")
    full = quality(["is red and open"] * 3, [["is red and open"]] * 3, random())
    short = quality(["is red"] * 3, [["is red and open"]] * 3, random())
    assert full["BLEU-1"].value == pytest.approx(100, abs=1e-6)
    assert short["BLEU-1"].value == pytest.approx(100 * np.exp(-1), rel=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")
def test_meteor_is_there_where_java_is_and_gives_a_perfect_sentence_the_best_score() -> None:
    pytest.importorskip("pycocoevalcap")
    perfect = quality([right[0] for right in RIGHT], RIGHT, random())
    assert perfect["METEOR"].value > quality(SAID, RIGHT, random())["METEOR"].value


def test_meteor_is_left_out_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setattr("dialog_env.simulators.captioner.evaluation.shutil.which", lambda _: None)
    assert "METEOR" not in quality(SAID, RIGHT, random())


@pytest.mark.parametrize(("said", "right"), [([], []), (["is red"], []), (["is red"], [[]])])
def test_sentences_without_references_are_refused(said: list[str], right: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="give at least one sentence and one reference for each"):
        quality(said, right, random())


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    scores = [mean_score(generator.exponential(size=80), generator) for _ in range(200)]
    covered = np.mean([score.low <= 1 <= score.high for score in scores])
    assert 0.88 < covered < 0.99


class FeatureWorld:
    """Pairs of random images, and sentences that tell the signs of the target's first features."""

    def __init__(self, seed: int) -> None:
        self.gallery = Catalog(replace(tiny_contents(300, seed=seed), fingerprint=""))
        generator = torch.Generator().manual_seed(seed)
        self.targets, self.candidates = torch.randint(300, (2, 2000), generator=generator)

    def say(self, count: int) -> list[str]:
        signs = self.gallery.features[self.targets, :count] > 0
        return [" ".join(f"{'more' if up else 'less'}{k}" for k, up in enumerate(row)) for row in signs]


def test_utility_grows_with_what_sentences_tell_and_shuffled_ones_do_not_help() -> None:
    school, test = FeatureWorld(0), FeatureWorld(1)
    listener = Listener(school.gallery, school.targets, school.candidates, school.say(8))
    said = {f"{count} signs": test.say(count) for count in (2, 8)}
    moved = utility(listener, test.gallery, test.targets, test.candidates, said, random())
    assert abs(moved["silence (percentile)"].value - 50) < 8
    assert moved["8 signs"].low > moved["2 signs"].high
    assert moved["2 signs"].low > 5
    assert moved["8 signs, shuffled"].high < 3
    assert moved["2 signs, shuffled"].high < 3


@pytest.mark.parametrize("count", [2, 3, 100])
def test_shuffled_sentences_never_stay_with_their_pair(count: int) -> None:
    for seed in range(20):
        order = derangement(count, np.random.default_rng(seed))
        assert sorted(order) == list(range(count))
        assert (order != np.arange(count)).all()


def user_of(contents: Contents, folder: Path, **facts: list[str]) -> CaptioningUser:
    save_captioner(folder / "captioner.safetensors", network(), WORDS, facts)
    return CaptioningUser(Catalog(contents).split("test"), argument=folder)


def test_a_report_compares_the_captioner_with_its_references(tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    contents = tiny_contents(80)
    catalog = Catalog(contents)
    held_out = DescribedPairs(catalog.split("test"), 40, describers=3)
    user = user_of(contents, tmp_path)
    report = evaluate(user, held_out, DescribedPairs(catalog.split("train"), 400), random())
    assert (report["pairs"], report["references per pair"], report["captioner"]) == (40, 2, user.id)
    scores = report["quality"]
    assert scores["a reference"]["CIDEr"]["low"] > scores["captioner"]["CIDEr"]["high"]
    assert set(report["utility"]) == {
        "silence (percentile)",
        "captioner",
        "captioner, shuffled",
        "a reference",
        "a reference, shuffled",
    }
    again = evaluate(user, held_out, DescribedPairs(catalog.split("train"), 400), random())
    assert again == json.loads(json.dumps(report))
    assert f"| CIDEr | {scores['captioner']['CIDEr']['value']:.1f} [" in table(report)


def test_images_that_the_captioner_or_the_listener_has_seen_are_refused(tmp_path: Path) -> None:
    contents = tiny_contents()
    catalog = Catalog(contents)
    sources = {name: DescribedPairs(catalog.split(name), 10) for name in ("train", "test")}
    with pytest.raises(ValueError, match="the listener learned from 6 of the 6 images of split 'test'"):
        evaluate(user_of(contents, tmp_path), sources["test"], sources["test"], random())
    seen = user_of(contents, tmp_path, **{"image digests": image_digests(catalog.split("test"))[:2]})
    with pytest.raises(ValueError, match="the captioner learned from 2 of the 6 images"):
        evaluate(seen, sources["test"], sources["train"], random())


def test_a_sheet_shows_both_pictures_of_each_pair_and_its_sentences(tiny_catalog: Catalog) -> None:
    plain = pair_sheet(tiny_catalog, [0, 1, 2], [3, 4, 5], [("captioner", ["", "", ""])])
    sheet = pair_sheet(tiny_catalog, [0, 1, 2], [3, 4, 5], [("captioner", ["is red", "is blue", "is open"])])
    assert sheet.size == plain.size
    assert np.any(np.asarray(sheet) != np.asarray(plain))
    pixels = np.asarray(sheet)
    tile = tiny_catalog.image(4, (150, 150))
    rows, columns = (pixels.shape[axis] - 149 for axis in (0, 1))
    spots = [(y, x) for y in range(rows) for x in range(columns) if (pixels[y, x] == tile[0, 0]).all()]
    assert any(np.array_equal(pixels[y : y + 150, x : x + 150], tile) for y, x in spots)
    with pytest.raises(ValueError, match="has no pictures"):
        pair_sheet(Catalog(replace(tiny_contents(), images=None, fingerprint="")), [0], [1], [("a", ["b"])])


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulators", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.slow
def test_the_command_line_trains_evaluates_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    Catalog(tiny_contents(80)).write(tmp_path / "tiny.h5")
    catalog, folder = ("--catalog", tmp_path / "tiny.h5"), tmp_path / "trained"
    sizes = ["--hidden=16", "--embedding=16", "--attention=16", "--threshold=1"]
    short = ["--epochs=2", "--pairs=100", "--validation-pairs=50", "--device=cpu"]
    trained = run("train", *catalog, "--output", folder, *sizes, *short)
    assert trained.returncode == 0, trained.stderr
    assert "best of 2 epochs" in trained.stdout
    evaluated = run(
        *("evaluate", *catalog, "--captioner", folder, "--pairs", "30", "--listener-pairs", "200"),
        *("--output", tmp_path / "scores.json"),
    )
    assert evaluated.returncode == 0, evaluated.stderr
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["pairs"] == 30
    assert "| CIDEr |" in evaluated.stdout
    drawn = run("sheet", *catalog, "--captioner", folder, "--pairs", "3", "--output", tmp_path / "sheet.png")
    assert drawn.returncode == 0, drawn.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 600
    refused = run("train", *catalog, "--output", folder, *sizes, *short, "--hidden=8")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in refused.stderr


def test_a_tiny_captioner_trained_from_scratch_is_useful(tmp_path: Path) -> None:
    """The recipe works: what it says after a short training moves unseen targets well above silence."""
    contents = colourful_contents(400)
    catalog = Catalog(contents)
    sources = [DescribedPairs(catalog.split(name), 1500) for name in ("train", "validation")]
    recipe = CaptionerSettings(
        epochs=4, batch=32, hidden=32, embedding=32, attention=32, dropout=0.1, learning_rate=0.01, threshold=1
    )
    CaptionTraining(recipe, *sources, tmp_path).run(progress=False)
    test = catalog.split("test")
    user = CaptioningUser(test, argument=tmp_path)
    held_out = DescribedPairs(test, 300)
    pairs: tuple[Tensor, Tensor] = held_out._pairs(torch.Generator().manual_seed(5))
    training_data = DescribedPairs(catalog.split("train"), 3000)
    school = training_data._pairs(torch.Generator().manual_seed(6))
    listener = Listener(catalog.split("train"), *school, training_data.describers[0].sentences(*school))
    said = {"captioner": user.sentences(*pairs), "describer": held_out.describers[0].sentences(*pairs)}
    moved = utility(listener, test, *pairs, said, random())
    assert moved["captioner"].low > 5
    assert moved["captioner"].low > moved["captioner, shuffled"].high
    assert moved["captioner"].value > 0.6 * moved["describer"].value


def colourful_contents(size: int) -> Contents:
    """A tiny catalogue whose features hold its attributes, with noise."""
    contents = tiny_contents(size)
    attributes = contents.attributes
    assert attributes is not None
    generator = random()
    seen = np.concatenate(
        [attributes.graded, *(np.eye(5)[codes][:, :4] for codes in attributes.categorical.T)], axis=1
    ).astype(np.float32)
    seen = seen + generator.normal(scale=0.05, size=seen.shape).astype(np.float32)
    regions = np.repeat(seen[:, None], 4, axis=1).astype(np.float16)
    return replace(contents, features=seen, regions=regions, fingerprint="")
