"""Suites, runs side by side, the leaderboard, and the looks of tables."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from dialog_env import agents
from dialog_env.agents.baselines.random import Random
from dialog_env.benchmarks import gap, leaderboard, results, tables
from dialog_env.benchmarks.__main__ import main
from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.jobs import Plan, progress, run_all
from dialog_env.benchmarks.jobs.processes import Processes
from dialog_env.benchmarks.jobs.progress import at_work
from dialog_env.benchmarks.jobs.task import Task
from dialog_env.benchmarks.paper.claims import claimed
from dialog_env.benchmarks.suites import SUITES, Suite, find_suite
from dialog_env.benchmarks.tables import Cell, Table
from dialog_env.catalog import load_catalog
from dialog_env.evaluate.intervals import Interval
from dialog_env.io.atomic import signed
from dialog_env.simulators import make_simulator
from tests.benchmarks.test_benchmarks import made_up_result
from tests.conftest import REPOSITORY
from tests.damage import flipped, refusal

USER = "tests.toys:ToyUser"
TRAINED = "supervised:epochs=1,batch=8"


@pytest.fixture
def suite(tiny_file: Path) -> Suite:
    return Suite(name="tiny", catalog=str(tiny_file), simulator=USER, seeds=(0, 1))


def test_every_suite_of_the_project_can_be_read_and_names_what_it_is_of() -> None:
    assert {"drawn-1k", "drawn-10k", "drawn-100k", "photographs", "photographs-captioner"} <= set(SUITES)
    for name in SUITES:
        suite = find_suite(name)
        assert suite.name == name
        assert suite.about
        assert suite.catalog.startswith("synthetic") or suite.build
    drawn = find_suite("drawn-1k")
    gallery = load_catalog(drawn.catalog).split(drawn.test_split)
    assert (gallery.fingerprint, make_simulator(drawn.simulator, gallery).id) == (drawn.gallery, drawn.user)


def test_no_gallery_of_drawn_shoes_holds_one_that_an_agent_has_learned_from() -> None:
    shipped = re.search(r"synthetic:\d+:\d+", agents.load("belief").learned_from)
    assert shipped is not None
    for suite in map(find_suite, SUITES):
        for learned_from in filter(None, (suite.training_catalog, shipped[0])):
            if suite.catalog.startswith("synthetic"):  # of one seed the shoes are the same, however many they are
                assert (learned_from.split(":")[2:] or ["0"]) != (suite.catalog.split(":")[2:] or ["0"])


def test_a_suite_of_ones_own_is_a_file(tmp_path: Path, suite: Suite) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(asdict(suite)))
    assert find_suite(str(path)) == suite
    with pytest.raises(FileNotFoundError, match="no suite 'nope'; choose from drawn-100k, drawn-10k"):
        find_suite("nope")
    path.write_text(json.dumps({**asdict(suite), "colour": "red"}))
    assert refusal(find_suite, str(path)).startswith(f"{path} is no suite")
    with pytest.raises(ValueError, match=r"cannot be called '\.\./x'"):
        replace(suite, name="../x")


def test_a_suite_refuses_another_gallery_or_user_and_tells_how_its_files_are_made(tmp_path: Path, suite: Suite) -> None:
    with pytest.raises(ValueError, match="suite tiny is of gallery feed, and this is"):
        Experiment(replace(suite, gallery="feed"), tmp_path)
    with pytest.raises(ValueError, match="suite tiny is of user other, and this is toy-1"):
        Experiment(replace(suite, user="other"), tmp_path)
    missing = replace(suite, catalog="nowhere.h5", build="make them")
    with pytest.raises(FileNotFoundError, match=r"needs files that are not there .* make them with `make them`"):
        Experiment(missing, tmp_path)


@pytest.mark.parametrize("agent", [TRAINED, "belief:epochs=1,batch=8,images=8,regions=0"])
def test_suites_that_train_the_same_train_once(tmp_path: Path, suite: Suite, agent: str) -> None:
    trained = tmp_path / "trained"
    first = Experiment(suite, tmp_path / "a", trained=trained).run(agent, 0)
    files = {path: path.stat().st_mtime_ns for path in trained.rglob("*.safetensors")}
    assert files
    other = replace(suite, evaluation_seed=1)
    second = Experiment(other, tmp_path / "b", trained=trained).run(agent, 0)
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*.safetensors")} == files
    assert second.training == first.training
    again = Experiment(suite, tmp_path / "c", trained=trained).run(agent, 0)
    for name in ("target", "shown", "closer", "equal"):
        assert np.array_equal(getattr(again.record, name), getattr(first.record, name))
    Experiment(suite, tmp_path / "a", trained=trained).run(agent, 1)
    assert len(list(trained.glob(f"{agent.partition(':')[0]}*"))) == 2


def test_an_agent_may_learn_from_another_user_and_catalogue(tmp_path: Path, suite: Suite) -> None:
    elsewhere = tmp_path / "elsewhere.h5"
    shutil.copy(suite.catalog, elsewhere)
    carried = replace(suite, training_catalog=str(elsewhere), training_simulator="tests.toys:ToyUser")
    run = Experiment(carried, tmp_path / "out").run(TRAINED, 0).run
    assert (run.training_user, run.user) == (USER, USER)


@pytest.mark.slow
def test_runs_beside_each_other_give_what_one_after_the_other_gives_and_a_failure_stops_none(
    tmp_path: Path, suite: Suite
) -> None:
    broken = "tests.benchmarks.test_suites:Broken"
    found = {}
    for name, way in (("serial", None), ("parallel", Processes(2))):
        plan = Plan(suite, tmp_path / name, "cpu", tmp_path / name / "trained")
        found[name], failed = run_all(plan, plan.open(), ["random", broken, TRAINED], suite.seeds, way)
        assert failed.keys() == {f"{broken}, seed 0"}
        assert failed[f"{broken}, seed 0"].startswith("nothing goes")
    for one, other in zip(found["serial"], found["parallel"], strict=True):
        assert one.run == other.run
        assert np.array_equal(one.record.closer, other.record.closer)
    assert [result.run.seed for result in found["serial"]] == [0, 0, 1]


def test_one_that_fails_is_reported_and_does_not_stop_the_rest(
    tmp_path: Path, suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(suite, tmp_path, "cpu", None)
    agents = ["tests.benchmarks.test_suites:Broken", "random"]
    done, failed = run_all(plan, plan.open(), agents, (0,))
    assert [result.run.agent for result in done] == ["random"]
    assert list(failed.values()) == ["nothing goes"]
    assert "Broken, seed 0 failed: nothing goes" in capsys.readouterr().out


class Broken(Random):
    """Cannot act."""

    name = "broken"

    def act(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise RuntimeError("nothing goes")


def test_a_packed_result_is_the_result_and_damage_is_noticed(tmp_path: Path) -> None:
    result = replace(made_up_result(), training={"updates": 3, "history": [{"loss": 1}]})
    path = tmp_path / "seed0.json"
    results.write_packed(result, path)
    again = results.read_packed(path)
    assert (again.run, again.provenance, again.training) == (result.run, result.provenance, {"updates": 3})
    for metric in ("found", "MRR", "repeat rate"):
        assert np.array_equal(again.values(metric), result.values(metric))
    whole = path.read_bytes()
    for content in flipped(whole, seed=1, count=30):
        path.write_bytes(content)
        assert str(path) in refusal(results.read_packed, path)
    for name, value in (("closer", ""), ("closer", "AAAA"), ("target", "x"), ("extra", "")):
        content = json.loads(whole)
        del content["sha256"]
        content["dialogs"][name] = value
        path.write_text(json.dumps(signed(content)))
        assert f"{path} is no result" in refusal(results.read_packed, path)


def test_a_leaderboard_is_made_of_its_results_and_takes_none_of_another_suite(tmp_path: Path) -> None:
    suite = find_suite("drawn-1k")
    made = [made_up_result("random"), made_up_result("greedy", shift=20), made_up_result("random", seed=1)]
    made = [replace(each, run=replace(each.run, gallery=suite.gallery, user="captioner")) for each in made]
    made.append(replace(made[0], run=replace(made[0].run, agent="rocchio", user="relevance", simulator="relevance-1")))
    folder, page = tmp_path / "results", tmp_path / "RESULTS.md"
    films = tmp_path / "films"
    films.mkdir()
    (films / "greedy.gif").write_bytes(b"GIF89a")
    leaderboard.publish(made, suite, folder, films)
    text = leaderboard.write(folder, page)
    assert (folder / "drawn-1k" / "greedy" / "film.gif").read_bytes() == b"GIF89a"
    assert "](film.gif)" in (folder / "drawn-1k" / "greedy" / "README.md").read_text()
    assert "film" not in (folder / "drawn-1k" / "random" / "README.md").read_text()
    assert page.read_text() == text
    assert text.index("| random |") < text.index("| greedy |")
    assert "| rocchio, hears relevance |" in text
    assert (
        "--simulator relevance --agents rocchio"
        in (folder / "drawn-1k" / "rocchio--hears-relevance" / "README.md").read_text()
    )
    assert leaderboard.write(folder, page) == text
    (folder / "drawn-1k" / "composed.md").write_text("what people said\n")
    assert "what people said" in leaderboard.write(folder, page)
    with pytest.raises(ValueError, match="has turns 5, and suite drawn-1k 4"):
        leaderboard.publish(made, replace(suite, turns=4), folder)
    with pytest.raises(ValueError, match="has gallery 'aa'"):
        leaderboard.publish([made_up_result()], suite, folder)
    with pytest.raises(FileNotFoundError, match="holds no results"):
        leaderboard.write(tmp_path / "empty", page)


def test_the_leaderboard_of_the_project_is_that_of_its_results(tmp_path: Path) -> None:
    kept = REPOSITORY / "benchmarks" / "results"
    folder = tmp_path / "benchmarks" / "results"
    for name in (*SUITES, *(path.parent.name for path in kept.glob(f"*/{gap.NAME}.md"))):
        if (kept / name).exists():
            shutil.copytree(kept / name, folder / name)
    text = leaderboard.write(folder, tmp_path / "RESULTS.md")
    assert text == (REPOSITORY / "RESULTS.md").read_text()
    for path in folder.rglob("README.md"):
        assert path.read_text() == (kept / path.relative_to(folder)).read_text()


def test_what_the_page_of_the_belief_says_of_suites_is_what_is_published() -> None:
    page, agent = (REPOSITORY / "docs" / "belief.md").read_text(), ""
    counted = {"three": 3, "five": 5}
    rows = re.findall(r"^\| (.*suite `([a-z0-9-]+)`.*?) \| [\d,]+ \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) >= 4
    for said, suite, values in rows:
        agent = (re.findall(r"^`(belief[^`]*)`", said) or [agent])[0]
        group = leaderboard.read(REPOSITORY / "benchmarks" / "results", find_suite(suite))[agent]
        trainings = next(number for word, number in counted.items() if word in said)
        assert len(group) == trainings, said
        found = np.mean([result.values("found").mean(axis=0) for result in group], axis=0)
        assert values.split(" | ") == [f"{value:.1f}" for value in found], said


@pytest.mark.parametrize("page", ["claims", "agents"])
def test_tables_of_other_pages_show_what_the_leaderboard_shows(page: str) -> None:
    """Tables whose head names a suite, as in "drawn-1k: found"; columns after it are of the same suite."""
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", (REPOSITORY / "RESULTS.md").read_text(), re.M | re.S))
    checked = 0
    for head, body in re.findall(
        r"^\| agent \| (.*: found.*) \|\n\|[-|]+\n((?:\|.*\n)+)", (REPOSITORY / "docs" / f"{page}.md").read_text(), re.M
    ):
        suites = [column.partition(": found")[0] if ": found" in column else "" for column in head.split(" | ")]
        for row in body.splitlines():
            suite = ""
            for named, cell in zip(suites, row.strip("| ").split(" | ")[1:], strict=True):
                suite = named or suite
                assert f"| {cell} |" in sections[suite], (suite, row)
                checked += 1
    assert checked > 20


def test_only_pairs_that_were_both_run_are_compared() -> None:
    groups = {name: [made_up_result(name, seed, shift) for seed in (0, 1)] for name, shift in (("continued", 0),)}
    assert claimed(groups) is None
    groups["policy_improvement"] = [made_up_result("policy_improvement", seed, 30) for seed in (1, 2)]
    table = claimed(groups)
    assert table is not None
    assert [row[:2] for row in table.rows] == [["policy_improvement", "continued"]]


def test_a_table_looks_the_same_in_every_form() -> None:
    table = Table(
        ["agent & co", "found_1"],
        [["a|b <c>", Cell(Interval(1.25, 1, 2), 2)], ["d", "none"], ["e", Cell(Interval(-1, -2, 3), 1, signed=True)]],
        "A note < here.",
    )
    assert tables.markdown(table).splitlines()[2] == "| a\\|b <c> | 1.25 [1.00, 2.00] |"
    assert tables.markdown(table).splitlines()[4] == "| e | -1.0 [-2.0, +3.0] |"
    rows = list(csv.reader(io.StringIO(tables.comma_separated(table))))
    assert rows[0] == ["agent & co", "found_1", "found_1: low", "found_1: high"]
    assert rows[1:] == [["a|b <c>", "1.25", "1.00", "2.00"], ["d", "none", "", ""], ["e", "-1.0", "-2.0", "+3.0"]]
    latex = tables.latex(table)
    assert r"agent \& co & found\_1 \\" in latex
    assert r"$1.25$ {\scriptsize $[1.00, 2.00]$}" in latex
    page = tables.hypertext(table)
    assert '<th scope="row">a|b &lt;c&gt;</th>' in page
    assert "<td>1.25<small>1.00 to 2.00</small></td>" in page
    assert "A note &lt; here." in page


def test_a_suite_is_run_by_the_command_line_and_its_page_stands(
    tmp_path: Path, suite: Suite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.json").write_text(json.dumps(asdict(suite)))
    main(["run", "--suite", "tiny.json", "--agents", "random", "ceiling", "--device", "cpu"])
    assert "| ceiling (knows the user) |" in capsys.readouterr().out
    page = Path("runs/tiny/index.html").read_text()
    assert re.search(r'<img src="turns\.png"', page)
    assert page.count("<table>") == 4


def test_a_log_that_a_stopped_run_has_left_is_no_run_at_work(tmp_path, monkeypatch):
    plan = Plan(find_suite("drawn-1k"), tmp_path, "cpu", None)
    left, begins = Task(plan, "random", 0), Task(plan, "greedy", 0)
    left.log.parent.mkdir(parents=True)
    left.log.write_text("dialogs: 40%\n")
    told: list[str] = []
    monkeypatch.setattr(progress, "at_work", lambda *known: told.append(at_work(*known)) or told[-1])
    ended = iter([[], [], [0, 1]])

    def wait(handles, seconds):
        if told:
            begins.log.write_text("dialogs: 10%\n")
        return next(ended)

    assert list(progress.followed({0: left, 1: begins}, wait, lambda handle: "")) == [(left, ""), (begins, "")]
    assert told[:2] == ["0 at work", "1 at work; greedy, seed 0: dialogs: 10%"]
