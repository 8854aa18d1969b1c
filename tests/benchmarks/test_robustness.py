"""Agents who meet another user than they learned from, and users whose words are lost on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dialog_env.benchmarks import carry, noise, results
from dialog_env.benchmarks.carry import CarryCommand
from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.noise import NoiseCommand
from dialog_env.benchmarks.results import Result
from dialog_env.benchmarks.suites import Suite, find_suite
from dialog_env.benchmarks.tables import Cell

TOY = "tests.toys:ToyUser"
LEARNER = "supervised:epochs=1,batch=8,statistics=1"


@pytest.fixture
def suite(tiny_file: Path, tmp_path: Path) -> str:
    """The file of a suite of six tiny images and the toy user."""
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps({"name": "tiny", "catalog": str(tiny_file), "simulator": TOY, "seeds": [0, 1]}))
    return str(path)


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.suffix in (".json", ".safetensors")}


def read(folder: Path) -> list[Result]:
    return [results.read(path.parent) for path in sorted(folder.rglob("result.json"))]


def test_every_agent_meets_every_user_and_each_training_is_done_once(suite: str, tmp_path: Path) -> None:
    command = CarryCommand(
        suite=suite,
        agents=("random", LEARNER),
        output=tmp_path / "out",
        trained=tmp_path / "trained",
        device="cpu",
        users=(TOY, "describer"),
    )
    command()
    found = read(tmp_path / "out")
    pairs = sorted((each.run.agent, each.run.training_user or each.run.user, each.run.user) for each in found)
    learned = [(LEARNER, one, other) for one in (TOY, "describer") for other in (TOY, "describer") for _ in (0, 1)]
    assert pairs == sorted([("random", TOY, TOY), ("random", "describer", "describer"), *learned])
    assert len(list((tmp_path / "trained").glob("*/training.json"))) == 4
    digests = {
        (each.run.training_user or each.run.user, each.run.seed, str(each.training["sha256"]))
        for each in found
        if each.training
    }
    assert len(digests) == 4
    text = (tmp_path / "out" / "carry.md").read_text()
    assert text.count("| random | - |") == 2
    assert text.count(f"| {LEARNER} | describer |") == 3
    with Image.open(tmp_path / "out" / "carry.png") as picture:
        assert min(picture.size) > 300
    before = files(tmp_path)
    command()
    assert files(tmp_path) == before
    assert (tmp_path / "out" / "carry.md").read_text() == text


def test_a_cell_of_the_square_is_the_result_of_who_learned_there_and_was_met_here(suite: str, tmp_path: Path) -> None:
    users = (TOY, "describer")
    CarryCommand(suite, (LEARNER,), (0,), tmp_path / "out", tmp_path / "trained", device="cpu", users=users)()
    square = {(each.run.training_user or each.run.user, each.run.user): [each] for each in read(tmp_path / "out")}
    rows = carry.table({LEARNER: square}, users, "R@1").rows
    for row, learned in zip(rows, users, strict=True):
        expected = [square[learned, met][0].values("R@1")[:, -1].mean() for met in users]
        assert [cell.interval.value for cell in row[2:] if isinstance(cell, Cell)] == pytest.approx(expected)
    lost = carry.losses({LEARNER: square}, users)
    assert lost is not None
    assert [row[1:3] for row in lost.rows] == [[TOY, "describer"], ["describer", TOY]]
    cell = lost.rows[0][3]
    assert isinstance(cell, Cell)
    own, other = (square[learned, "describer"][0].values("found")[:, -1].mean() for learned in ("describer", TOY))
    assert cell.interval.value == pytest.approx(other - own)


def test_an_agent_hears_a_stranger_in_its_own_words(tiny_file: Path, tmp_path: Path) -> None:
    suite = Suite(catalog=str(tiny_file), simulator=TOY, training_simulator="describer")
    experiment = Experiment(suite, tmp_path)
    heard, learned_from = experiment.user(experiment.test), experiment.user(experiment.train)
    assert heard.vocabulary == learned_from.vocabulary
    assert heard.id.startswith("toy-1:words-")
    assert learned_from.id.startswith("describer")
    assert experiment.user(experiment.validation).id == learned_from.id
    result = experiment.run(LEARNER, 0)
    assert (result.run.simulator, result.run.training_user) == (heard.id, "describer")
    alike = Experiment(
        Suite(catalog=str(tiny_file), simulator="describer:seed=1", training_simulator="describer"), tmp_path
    )
    assert alike.user(alike.test).id.startswith("describer")
    assert "words" not in alike.user(alike.test).id


def test_the_id_that_a_suite_asks_for_is_that_of_the_user_who_speaks(tiny_file: Path, tmp_path: Path) -> None:
    suite = Suite(catalog=str(tiny_file), simulator=TOY, training_simulator="describer", user="toy-1")
    with pytest.raises(FileNotFoundError, match="hearing='loud' is neither exact nor mended, and no folder"):
        Experiment(replace(suite, hearing="loud"), tmp_path)
    Experiment(suite, tmp_path)
    with pytest.raises(ValueError, match="is of user toy-2, and this is toy-1"):
        Experiment(Suite(catalog=str(tiny_file), simulator=TOY, training_simulator="describer", user="toy-2"), tmp_path)


def test_noise_is_in_the_evaluation_alone(suite: str, tmp_path: Path) -> None:
    command = NoiseCommand(
        suite=suite,
        agents=(LEARNER, "random"),
        seeds=(0,),
        output=tmp_path / "out",
        trained=tmp_path / "trained",
        device="cpu",
        kinds=("dropped", "misspelt"),
        rates=(0.0, 0.5, 1.0),
    )
    command()
    found = [each for each in read(tmp_path / "out") if each.run.agent == LEARNER]
    assert len(found) == 5
    assert len({str(each.training["sha256"]) for each in found}) == 1
    assert len(list((tmp_path / "trained").glob("*/training.json"))) == 1
    assert len({each.run.simulator for each in found}) == 5
    still = next(each for each in found if each.run.user == TOY)
    plain = Experiment(find_suite(suite), tmp_path / "plain", trained=tmp_path / "trained").run(LEARNER, 0)
    assert plain.run == still.run
    assert np.array_equal(plain.record.shown, still.record.shown)
    silent = next(each for each in found if "dropped=1.0" in each.run.user)
    assert not np.array_equal(silent.record.closer, still.record.closer)
    before, text = files(tmp_path / "out"), (tmp_path / "out" / "noise.md").read_text()
    command()
    assert files(tmp_path / "out") == before
    assert (tmp_path / "out" / "noise.md").read_text() == text
    with Image.open(tmp_path / "out" / "noise.png") as picture:
        assert min(picture.size) > 500


def test_a_cell_of_the_curve_is_the_result_at_that_rate(suite: str, tmp_path: Path) -> None:
    rates = (0.0, 0.4)
    NoiseCommand(suite, ("random", "greedy"), (0,), tmp_path / "out", tmp_path, device="cpu", rates=rates)()
    by_user = {(each.run.agent, each.run.user): each for each in read(tmp_path / "out")}
    rows = {tuple(cell.strip() for cell in row.split("|")[1:3]): row for row in text_rows(tmp_path / "out", "found")}
    assert len(rows) == 2 * len(noise.KINDS)
    for (agent, kind), row in rows.items():
        cells = [float(cell.split()[0]) for cell in row.split("|")[3:-1]]
        users = [TOY if not rate else f"noisy:inner={TOY},{kind}={rate}" for rate in rates]
        expected = [by_user[agent, user].values("found")[:, -1].mean() for user in users]
        assert cells == pytest.approx(expected, abs=0.051)


def test_agents_are_compared_with_the_first_one_at_every_rate(suite: str, tmp_path: Path) -> None:
    command = NoiseCommand(suite, ("greedy", "random"), (0,), tmp_path, tmp_path, device="cpu", rates=(0.0, 0.4))
    command()
    text = (tmp_path / "noise.md").read_text()
    rows = text[text.index("| agent against greedy |") :].splitlines()[2:]
    names = [tuple(cell.strip() for cell in row.split("|")[1:4]) for row in rows if row.startswith("|")]
    assert names == [("random", "-", "0%"), *(("random", kind, "40%") for kind in noise.KINDS)]
    found = {each.run.agent: each for each in read(tmp_path) if each.run.user == TOY}
    last = {agent: each.values("found")[:, -1].mean() for agent, each in found.items()}
    assert float(rows[0].split("|")[4].split()[0]) == pytest.approx(last["random"] - last["greedy"], abs=0.006)


def text_rows(output: Path, metric: str) -> list[str]:
    """The rows of the table of a metric."""
    lines = (output / "noise.md").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"| {metric}:"))
    return lines[first + 2 : lines.index("", first)]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (NoiseCommand(kinds=("sung",)), "kinds='sung' is not known; choose one of dropped"),
        (NoiseCommand(rates=()), "give --kinds and --rates"),
        (NoiseCommand(agents=()), "no agent is named"),
        (NoiseCommand(suite="nowhere"), "no suite 'nowhere'"),
        (CarryCommand(users=("captioner", "captioner")), "users are captioner, captioner; give two or more"),
    ],
)
def test_what_cannot_be_run_is_refused(command: NoiseCommand | CarryCommand, sentence: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        command()


def test_a_belief_that_is_trained_already_is_used_again(tiny_file: Path, tmp_path: Path) -> None:
    suite, agent = Suite(catalog=str(tiny_file), simulator=TOY), "belief:epochs=1,batch=4,images=8,evidence=8,regions=4"
    first, again = (
        Experiment(suite, tmp_path / name, trained=tmp_path / "trained").run(agent, 0) for name in ("a", "b")
    )
    assert np.array_equal(first.record.shown, again.record.shown)
    assert first.training["sha256"] == again.training["sha256"]
