"""The comparison with the paper: its arms, its verdicts, its tables."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dialog_env import agents
from dialog_env.agents.base import AGENT_FILE, TrainingData
from dialog_env.benchmarks.experiment import AgentSpec
from dialog_env.benchmarks.jobs import Plan
from dialog_env.benchmarks.paper import arms, report, run, scores
from dialog_env.benchmarks.results import Result
from dialog_env.benchmarks.suites import Suite
from dialog_env.catalog import Catalog, Contents
from dialog_env.evaluate import protocol
from dialog_env.evaluate.statistics import paired_difference
from dialog_env.io import checkpoint
from dialog_env.simulators import make_simulator
from dialog_env.training.epochs import CHECKPOINT_FILE
from tests.benchmarks.test_benchmarks import made_up_result
from tests.conftest import tiny_contents
from tests.toys import ToyUser


@pytest.mark.parametrize("arm", arms.ARMS, ids=lambda arm: arm.label)
def test_every_arm_can_be_made(arm: arms.Arm) -> None:
    gallery = Catalog(tiny_contents(size=60))
    user = make_simulator(arm.user or "describer", gallery)
    agent = AgentSpec.parse(arm.agent).create(gallery, user.vocabulary)
    agent.check_user(user)


def test_those_who_train_on_make_the_same_number_of_updates_from_the_same_weights() -> None:
    gallery = Catalog(tiny_contents(size=60))
    user = make_simulator("describer", gallery)
    trained_on = (
        arms.CONTINUED,
        arms.CONTINUED_AGAINST_5,
        arms.SCST,
        arms.SCST_TUNED,
        arms.POLICY_IMPROVEMENT,
        arms.WITHOUT_LOOK_AHEAD,
    )
    made = [AgentSpec.parse(arm.agent).create(gallery, user.vocabulary).settings for arm in trained_on]
    assert len({(settings.epochs, settings.batch, settings.learning_rate) for settings in made}) == 1
    assert all(settings.pretraining == made[0].pretraining for settings in made)
    assert made[1].negatives == made[3].negatives == made[5].negatives == 5


def test_a_supervised_agent_that_trains_on_begins_where_the_first_training_ended(tmp_path: Path) -> None:
    gallery = Catalog(tiny_contents(size=60))
    validation = gallery.split("validation")
    training_data = TrainingData(
        gallery, ToyUser(gallery), validation, ToyUser(validation), pretrained=tmp_path / "pretrained"
    )
    first = {"epochs": 2, "batch": 20, "statistics": 2}
    trained = {}
    for epochs in (0, 1):
        agent = agents.create(
            "continued",
            gallery=gallery,
            vocabulary=training_data.simulator.vocabulary,
            pretraining=first,
            **{**first, "epochs": epochs},
        )
        agent.train(training_data, tmp_path / str(epochs), progress=False)
        trained[epochs] = agent
    (folder,) = (tmp_path / "pretrained").iterdir()
    before, after = (
        protocol.run(agents.load(f), gallery, training_data.simulator, seed=0) for f in (folder, tmp_path / "0")
    )
    assert np.array_equal(before.closer, after.closer)
    begun = checkpoint.read(folder / AGENT_FILE).below("network")
    went_on = checkpoint.read(tmp_path / "1" / CHECKPOINT_FILE).below("network")
    assert not torch.equal(begun["head.weight"], went_on["head.weight"])
    assert (begun["head.weight"] - went_on["head.weight"]).abs().max() < 1e-3


def made_up(arm: arms.Arm, shift: int) -> list[Result]:
    results = [made_up_result(arm.agent, seed, shift) for seed in (0, 1)]
    history = [{"gain": 0.25}, {"gain": 0.75}]
    return [replace(result, training={"history": history}) for result in results]


def test_the_report_has_a_row_for_every_claim_and_draws_both_figures(tmp_path: Path) -> None:
    shifts = {arm: 45 - 2 * number for number, arm in enumerate(arms.ARMS)}
    shifts[arms.POLICY_IMPROVEMENT] = 60
    results = {arm: made_up(arm, shift) for arm, shift in shifts.items()}
    missing = arms.FEEDBACK[-2]
    del results[missing]
    text = report.write(results, {missing: "nothing to tell"}, tmp_path)
    rows = [line for line in text.splitlines() if line.startswith("| policy improvement | supervised, trained on |")]
    assert len(rows) == 1
    assert rows[0].count("| yes (p") == 2
    claimed = [claim for claim in arms.CLAIMS if missing not in (claim.better, claim.than)]
    verdicts = [text.count(f"| {word} (p ") for word in ("yes", "not shown", "no, lower")]
    assert sum(verdicts) == 3 * len(claimed)
    assert f"corrected for the {3 * len(claimed)} verdicts" in text
    assert "intervals over dialogs and training seeds" in text
    assert "Left out: relevance (nothing to tell)." in text
    assert "| policy improvement | 0.50 (by seed: 0.50, 0.50) |" in text
    assert (tmp_path / "table.md").read_text() == text
    kept = json.loads((tmp_path / "results.json").read_text())
    assert len(kept) == 2 * (len(arms.ARMS) - 1)
    assert {"arm", "run", "images", "dialogs", "scores", "training", "provenance"} == set(kept[0])
    for name in ("turns.png", "feedback.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 900


def test_the_tables_can_be_made_again_from_the_scores_alone(tmp_path: Path) -> None:
    results = {arm: made_up(arm, 20 + 3 * number) for number, arm in enumerate(arms.ARMS)}
    report.write(results, {}, tmp_path)
    again = report.rewrite(tmp_path)
    assert (tmp_path / "table.md").read_text() == again
    assert "training seeds alone, for these dialogs" in again
    assert "dialogs in which it ranks higher" not in again
    assert "| policy improvement | 0.50 (by seed: 0.50, 0.50) |" in again
    own, other = (
        [[result.values("found")[:, -1].mean()] for result in results[arm]] for arm in (arms.SCST, arms.CONTINUED)
    )
    difference = paired_difference(np.round(own, 4), np.round(other, 4))
    assert f"| SCST | supervised, trained on | {difference:+.2f} |" in again
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ValueError, match="has no scores"):
        report.rewrite(tmp_path)
    (tmp_path / "results.json").write_text('[{"arm": 1}]')
    with pytest.raises(ValueError, match=r"results\.json is no scores of the comparison"):
        report.rewrite(tmp_path)


@pytest.mark.parametrize("folder", ["paper-synthetic", "paper-footwear"])
def test_the_published_tables_are_those_of_the_published_scores(folder: str, tmp_path: Path) -> None:
    published = Path(__file__).parents[2] / "benchmarks" / "results" / folder
    shutil.copy(published / "results.json", tmp_path)
    assert report.rewrite(tmp_path) == (published / "table.md").read_text()
    verdicts = report.claims(scores.read(published))
    assert verdicts in (published.parents[2] / "docs" / "claims.md").read_text()


def planned(catalog: Path, simulator: str, folder: Path) -> Plan:
    return Plan(Suite(catalog=str(catalog), simulator=simulator), folder / "out", "cpu", None)


def test_arms_that_a_catalogue_has_nothing_for_are_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = tiny_contents()
    bare = Contents("bare", contents.ids, np.asarray(contents.features), splits=contents.splits)
    path = tmp_path / "bare.h5"
    Catalog(bare).write(path)
    greedy, told = arms.Arm("greedy", "greedy"), arms.Arm("3 attributes", "greedy", "attributes:3")
    monkeypatch.setattr(run, "LEARNERS", (greedy,))
    monkeypatch.setattr(run, "FEEDBACK", (told,))
    results, missing, _ = run.run(planned(path, "relevance", tmp_path), seeds=(1, 0))
    assert [result.run.seed for result in results[greedy]] == [0, 1]
    assert "has no attributes to tell" in missing[told]
    assert told not in results


def test_an_arm_of_which_a_run_failed_is_left_out_with_the_reason_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.h5"
    Catalog(tiny_contents()).write(path)
    broken, greedy = arms.Arm("broken", "tests.benchmarks.test_suites:Broken"), arms.Arm("greedy", "greedy")
    monkeypatch.setattr(run, "LEARNERS", (broken, greedy))
    monkeypatch.setattr(run, "FEEDBACK", ())
    results, missing, failed = run.run(planned(path, "describer", tmp_path), seeds=(0, 1))
    assert [result.run.seed for result in results[greedy]] == [0, 1]
    assert missing == {broken: "nothing goes"}
    assert failed == {f"{broken.agent}, seed {seed} with describer": "nothing goes" for seed in (0, 1)}


def test_the_user_of_the_benchmark_and_its_seeds_have_to_be_there(tmp_path: Path) -> None:
    path = tmp_path / "tiny.h5"
    Catalog(tiny_contents()).write(path)
    with pytest.raises(ValueError, match="no user simulator 'nobody'"):
        run.run(planned(path, "nobody", tmp_path), seeds=(0,))
    with pytest.raises(ValueError, match="no training seeds"):
        run.run(planned(path, "describer", tmp_path), seeds=())


def test_a_seed_that_is_given_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.h5"
    Catalog(tiny_contents()).write(path)
    greedy = arms.Arm("greedy", "greedy")
    monkeypatch.setattr(run, "LEARNERS", (greedy,))
    monkeypatch.setattr(run, "FEEDBACK", ())
    results, _, _ = run.run(planned(path, "describer", tmp_path), seeds=(1, 1, 0))
    assert [result.run.seed for result in results[greedy]] == [0, 1]
