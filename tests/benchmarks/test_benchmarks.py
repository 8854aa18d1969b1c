import json
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from dialog_env.benchmarks import report, results
from dialog_env.benchmarks.experiment import AgentSpec, Experiment
from dialog_env.benchmarks.results import Result, Run
from dialog_env.benchmarks.suites import Suite
from dialog_env.evaluate import protocol
from dialog_env.evaluate.protocol import Record
from dialog_env.evaluate.statistics import Difference
from dialog_env.io.atomic import file_digest, signed
from dialog_env.simulators import make_simulator
from tests.damage import damaged, flipped, refusal


def made_up_result(agent="random", seed=0, shift=0, dialogs=60):
    random = np.random.default_rng(seed)
    closer = random.integers(0, 90, (dialogs, 6))
    closer[:, 1:] = np.maximum(closer[:, 1:] - shift, 0)
    record = Record(
        target=np.arange(dialogs),
        shown=random.integers(0, 100, (dialogs, 6)),
        closer=closer,
        equal=np.ones_like(closer),
        images=100,
    )
    run = Run(agent, seed, "drawn", "test", "aa", "bb", "toy", "toy-1", 0, 5, "half", "cc", {})
    return Result(run, record, {"command": "none"}, {})


def test_a_result_is_read_back_as_it_was_written(tmp_path):
    result = made_up_result()
    results.write(result, tmp_path / "run")
    again = results.read(tmp_path / "run")
    assert again.run == result.run
    assert np.array_equal(again.record.closer, result.record.closer)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["scores"] == again.scores()
    (tmp_path / "run" / "dialogs.h5").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"dialogs\.h5 is damaged or of another result than result\.json"):
        results.read(tmp_path / "run")


def without_digests(folder):
    """As results were before they had digests."""
    path = folder / "result.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: content[key] for key in ("run", "scores", "training", "provenance")}))


def test_results_of_before_there_were_digests_are_read(tmp_path):
    results.write(made_up_result(), tmp_path)
    without_digests(tmp_path)
    with h5py.File(tmp_path / "dialogs.h5", "r+") as file:
        file.attrs["ties"] = "half"
    assert np.array_equal(results.read(tmp_path).record.closer, made_up_result().record.closer)
    whole = (tmp_path / "dialogs.h5").read_bytes()
    heap = whole.index(b"GCOL") + 16
    (tmp_path / "dialogs.h5").write_bytes(whole[:heap] + bytes(512) + whole[heap + 512 :])
    with pytest.raises(ValueError, match=r"dialogs\.h5 is no record of dialogs \(the heap at byte"):
        results.read(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "dialogs.h5"])
@pytest.mark.parametrize("spoil", [flipped, damaged])
def test_damaged_results_are_refused_or_read_as_they_were(tmp_path, name, spoil):
    results.write(made_up_result(), tmp_path)
    whole, refused = results.read(tmp_path), 0
    for content in spoil((tmp_path / name).read_bytes(), seed=4, count=80):
        (tmp_path / name).write_bytes(content)
        sentence = refusal(results.read, tmp_path)
        if sentence:
            refused += 1
            assert str(tmp_path) in sentence
            assert "\n" not in sentence
        else:
            again = results.read(tmp_path)
            assert (again.run, again.training, again.provenance) == (whole.run, whole.training, whole.provenance)
            assert np.array_equal(again.record.closer, whole.record.closer)
    assert refused > 70


def test_other_kinds_of_file_in_a_result_are_refused(tmp_path):
    output, folder = tmp_path, tmp_path / "run"
    results.write(made_up_result(), folder)
    for name in ("result.json", "dialogs.h5"):
        path, whole = folder / name, (folder / name).read_bytes()
        for content in (b"", b"[]", b"{}", b"[" * 10**5, b"\xff", (folder / "dialogs.h5").read_bytes()[:90]):
            path.write_bytes(content)
            assert refusal(results.read, folder).startswith(str(path))
        path.unlink()
        assert str(path) in refusal(results.read, folder)
        assert str(path) in refusal(results.read_all, output)
        path.mkdir()
        assert "is a folder" in refusal(results.read, folder)
        path.rmdir()
        os.mkfifo(path)
        assert "is a pipe" in refusal(results.read, folder)
        path.unlink()
        path.symlink_to(path)
        with pytest.raises(OSError, match=str(path)):
            results.read_all(output)
        path.unlink()
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", np.full(60, -1)),
        ("target", np.full(60, 100)),
        ("target", np.full(59, 3)),
        ("target", np.zeros((60, 1), int)),
        ("shown", np.full((60, 6), 100)),
        ("shown", np.full((60, 5), 3)),
        ("shown", np.full((60, 6), -1)),
        ("closer", np.full((60, 6), -1)),
        ("closer", np.full((60, 6), np.nan)),
        ("closer", np.full((60, 6), 100)),
        ("closer", np.full((61, 6), 3)),
        ("closer", np.full(60, 3)),
        ("equal", np.full((60, 6), 0)),
        ("equal", np.full((60, 6), 99)),
        ("equal", np.full((60, 6), b"3")),
        ("equal", "a group"),
        ("equal", None),
        ("images", 0),
        ("images", -5),
        ("images", 50),
        ("images", 100.5),
        ("images", None),
        ("images", "many"),
        ("ties", "thirds"),
        ("ties", "strict"),
        ("ties", 3),
        ("ties", None),
    ],
)
def test_dialogs_that_no_run_can_have_given_are_refused(tmp_path, name, value):
    results.write(made_up_result(), tmp_path)
    without_digests(tmp_path)
    with h5py.File(tmp_path / "dialogs.h5", "r+") as file:
        part = file.attrs if name in ("images", "ties") else file
        del part[name]
        if isinstance(value, str) and value == "a group":
            file.create_group(name)
        elif value is not None:
            part[name] = value
    sentence = refusal(results.read, tmp_path)
    assert sentence.startswith(f"{tmp_path / 'dialogs.h5'} is no record of dialogs (")
    assert name in sentence


def test_dialogs_that_cannot_be_are_not_written_either(tmp_path):
    made = made_up_result()
    for wrong in ({"closer": made.record.closer - 1000}, {"images": 0}, {"ties": "thirds"}):
        with pytest.raises(ValueError, match=r"closer|images|ties"):
            results.write(replace(made, record=replace(made.record, **wrong)), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("run",), None),
        (("run",), []),
        (("run", "seed"), "0"),
        (("run", "turns"), 4),
        (("run", "turns"), True),
        (("run", "turns"), 10**30),
        (("run", "ties"), "thirds"),
        (("run", "colour"), "red"),
        (("run", "configuration"), []),
        (("scores",), None),
        (("scores", "R@1"), None),
        (("scores", "R@1"), "high"),
        (("scores", "R@1"), [None]),
        (("training",), 3),
        (("provenance",), None),
        (("dialogs",), 3),
        (("dialogs",), "0" * 64),
    ],
)
def test_results_with_other_keys_are_refused(tmp_path, keys, value):
    results.write(made_up_result(), tmp_path)
    path = tmp_path / "result.json"
    content = json.loads(path.read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(content))
    assert f"{path} is a damaged result" in refusal(results.read, tmp_path)
    path.write_text(json.dumps(signed(content)))
    assert str(tmp_path) in refusal(results.read, tmp_path)
    if keys != ("dialogs",) and keys[-1] != "colour":
        del part[keys[-1]]
        path.write_text(json.dumps(signed(content)))
        assert bool(refusal(results.read, tmp_path)) == (keys[-1] != "R@1")


def test_tables_and_plots_come_from_the_results(tmp_path):
    made = [made_up_result("random", seed) for seed in (0, 1)]
    made += [made_up_result("better", seed, shift=30) for seed in (0, 1)]
    text = report.write(made, tmp_path, baseline="random")
    rows = [line for line in text.splitlines() if line.startswith("| better")]
    found = [np.mean([result.values("found")[:, turn] for result in made[2:]]) for turn in range(5)]
    assert [cell.split(" [")[0] for cell in rows[0].split(" | ")[1:]] == [f"{value:.1f}" for value in found]
    mean = np.mean([result.values("percentile")[:, -1] for result in made[2:]])
    assert f"| {mean:.1f} [" in rows[2]
    gain = np.mean([made[2 + seed].values("MRR")[:, -1] - made[seed].values("MRR")[:, -1] for seed in (0, 1)])
    assert f"| {gain:+.2f} [+" in rows[-1]
    assert (tmp_path / "table.md").read_text() == text
    with Image.open(tmp_path / "turns.png") as picture:
        assert picture.width > 600
    assert "| agent, turn 5 | R@10 | MRR | R@1 |" in text
    assert "\nFound: the target has been shown by that turn.\n" in text
    assert "IQM: interquartile mean, of the middle half" in text
    assert "corrected for the 3 verdicts" in text
    assert "Share of the ceiling" not in text
    with pytest.raises(ValueError, match="no results of 'best'"):
        report.differences(made, "best")


def test_who_was_trained_with_fewer_seeds_is_named(tmp_path):
    learner, another = ([made_up_result(name, seed) for seed in seeds] for name, seeds in (("a", (0, 1)), ("b", (1,))))
    made = [replace(each, training={"epochs": 1}) for each in (*learner, *another)]
    text = report.write([made_up_result("random"), *made], tmp_path)
    assert "training seeds 0, 1; 1 of b. In brackets" in text


def test_the_same_results_give_the_same_bytes(tmp_path):
    made = [made_up_result("random"), made_up_result("better", shift=30)]
    for name in ("once", "again"):
        report.write(made, tmp_path / name, baseline="random")
    written = {path.name: path.read_bytes() for path in (tmp_path / "once").iterdir()}
    assert written.keys() == {"table.md", "table.csv", "table.tex", "turns.png", "index.html"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == written


def shown_to(result, share, seed=5):
    """The same dialogs, in which a share of the targets is shown at the first turn."""
    shown = result.record.shown.copy()
    found = np.random.default_rng(seed).random(len(shown)) < share
    shown[:, 1:] = np.where(shown[:, 1:] == result.record.target[:, None], 99, shown[:, 1:])
    shown[found, 1] = result.record.target[found]
    return replace(result, record=replace(result.record, shown=shown))


def test_agents_stand_between_chance_and_the_ceiling(tmp_path):
    made = [shown_to(made_up_result(name), share) for name, share in (("random", 0.0), ("ceiling", 1.0), ("mine", 0.5))]
    made.append(shown_to(made_up_result("ceiling@asks"), 1.0))
    share = report.shares_of_ceiling(report.by_agent(made))
    assert share.keys() == {"mine", "ceiling@asks"}
    chance, ceiling, mine = (result.values("found")[:, -1].mean() for result in made[:3])
    assert share["mine"].interval.value == pytest.approx(100 * (mine - chance) / (ceiling - chance))
    assert share["mine"].interval.low < share["mine"].interval.value < share["mine"].interval.high
    text = report.write(made, tmp_path)
    assert "| agent, turn 5 | share of the ceiling |" in text
    assert "| ceiling@asks less ceiling | +0.0 [+0.0, +0.0] |" in text
    level = [made[0], replace(made[0], run=replace(made[0].run, agent="ceiling"))]
    assert report.shares_of_ceiling(report.by_agent(level)) == {}


def test_an_agent_that_is_not_trained_stands_beside_every_seed_of_one_that_is():
    trained = [replace(made_up_result("b", seed, shift=30), training={"updates": 1}) for seed in (3, 4)]
    alone = made_up_result("random", 0)
    own, other = report.paired(trained, [alone], "percentile")
    assert own.shape == other.shape == (2, 60, 5)
    assert np.array_equal(other[0], other[1])
    with pytest.raises(ValueError, match="not trained with the same seeds"):
        report.paired(trained, [replace(alone, training={"updates": 1})], "percentile")


def test_an_agent_is_better_in_the_dialogs_in_which_it_is_higher_and_level_ones_count_half():
    first = made_up_result(agent="a", dialogs=200)
    closer = first.record.closer.copy()
    closer[:60, -1] += 1
    closer[60:100, -1] -= 1
    second = Result(replace(first.run, agent="b"), replace(first.record, closer=closer + 1), {}, {})
    first = Result(first.run, replace(first.record, closer=first.record.closer + 1), {}, {})
    share = report.improvement([first], [second])
    assert share.value == pytest.approx(100 * (60 + 100 / 2) / 200)
    assert share.low < share.value < share.high
    assert f"| {share:.1f} |" in report.differences([second, first], "b")


def test_a_verdict_is_that_of_the_corrected_p():
    above, below = Difference(1, 0.5, 1.5, 0.01), Difference(-1, -1.5, -0.5, 0.01)
    assert report.verdict(above, 0.0301) == "yes (p = 0.030)"
    assert report.verdict(below, 0.0004) == "no, lower (p < 0.001)"
    assert report.verdict(above, 0.08) == "not shown (p = 0.080)"
    wrong = [made_up_result(f"agent {number}", 100 + number, dialogs=40) for number in range(30)]
    wrong = [Result(replace(result.run, seed=0), result.record, {}, {}) for result in wrong]
    for result in wrong:
        result.record.shown[:, 0] = 0
    text = report.differences(wrong, "agent 0")
    assert "corrected for the 87 verdicts" in text
    assert text.count("| not shown (") == 87
    differences = [report.difference([result], [wrong[0]], "MRR") for result in wrong[1:]]
    assert min(difference.p for difference in differences) < 0.05


def test_agents_are_written_with_configuration_and_settings():
    assert AgentSpec.parse("supervised") == AgentSpec("supervised", "supervised", "released", {})
    spec = AgentSpec.parse("supervised@paper:epochs=3,learning_rate=1e-4,fusion=sum")
    assert (spec.name, spec.configuration) == ("supervised", "paper")
    assert spec.settings == {"epochs": 3, "learning_rate": 1e-4, "fusion": "sum"}
    with pytest.raises(ValueError, match="write name, name@configuration"):
        AgentSpec.parse("supervised:epochs")


@pytest.fixture
def toy_user():
    return "tests.toys:ToyUser"


def test_a_benchmark_trains_evaluates_and_keeps_what_it_did(tiny_file, tmp_path, toy_user):
    suite = Suite(catalog=str(tiny_file), simulator=toy_user)
    spec = "supervised:epochs=1,batch=8"
    first = [Experiment(suite, tmp_path / "out").run(agent, 3) for agent in ("random", spec)]
    assert [result.run.agent for result in first] == ["random", spec]
    assert sorted(first[0].record.target) == list(range(6))
    assert np.array_equal(first[0].record.target, first[1].record.target)
    assert np.array_equal(first[0].record.shown[:, 0], first[1].record.shown[:, 0])
    assert first[1].training["updates"] == 2
    folder = next((tmp_path / "out").glob("*supervised*")) / "agent"
    assert first[1].training["sha256"] == {"agent.safetensors": file_digest(folder / "agent.safetensors")}
    content = json.loads(next((tmp_path / "out").glob("*supervised*/result.json")).read_text())
    assert {"command", "time", "git", "packages", "machine", "device"} <= set(content["provenance"])
    assert content["run"]["simulator"] == "toy-1"


def test_a_result_that_is_there_is_not_made_again_and_never_overwritten(tiny_file, tmp_path, toy_user):
    suite = Suite(catalog=str(tiny_file), simulator=toy_user)
    Experiment(suite, tmp_path).run("random", 0)
    path = next(tmp_path.glob("*/result.json"))
    written = path.stat().st_mtime_ns
    Experiment(suite, tmp_path).run("random", 0)
    assert path.stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="holds a result of other settings"):
        Experiment(replace(suite, turns=3), tmp_path).run("random", 0)
    assert path.stat().st_mtime_ns == written


def test_a_sample_of_targets_is_part_of_a_run(tiny_file, tmp_path, toy_user):
    suite = Suite(catalog=str(tiny_file), simulator=toy_user, targets=4)
    made = Experiment(suite, tmp_path).run("random", 0)
    assert (made.dialogs, made.images, made.run.targets) == (4, 6, 4)
    assert Experiment(suite, tmp_path).run("random", 0).run == made.run
    with pytest.raises(ValueError, match="holds a result of other settings"):
        Experiment(replace(suite, targets=None), tmp_path).run("random", 0)
    with pytest.raises(ValueError, match="targets is 7; give a whole number from 1 to 6"):
        Experiment(replace(suite, targets=7), tmp_path / "many").run("random", 0)


def test_runs_with_different_users_or_agents_have_different_names():
    base = made_up_result().run
    others = [replace(base, user="attributes:3"), replace(base, user="attributes:10"), replace(base, agent="a:b=1")]
    assert len({run.name for run in [base, *others]}) == 4
    assert "/" not in replace(base, user="captioner:some/folder/x", catalog="some/place.h5").name


def test_results_that_do_not_belong_together_are_refused_and_seeds_count_once(tmp_path):
    first, again = made_up_result(seed=0), made_up_result(seed=1)
    assert report.table([first, again, again]) == report.table([first, again])
    other = Result(replace(first.run, agent="b", simulator="relevance-1"), first.record, {}, {})
    with pytest.raises(ValueError, match="differ in simulator"):
        report.table([first, other])
    apart = Result(replace(again.run, agent="b"), again.record, {}, {"updates": 1})
    with pytest.raises(ValueError, match="not trained with the same seeds"):
        report.differences([replace(first, training={"updates": 1}), apart], "random")


def test_dialogs_are_paired_by_target_whatever_order_they_were_held_in():
    first = made_up_result(agent="a")
    order = np.random.default_rng(1).permutation(60)
    held = {name: getattr(first.record, name)[order] for name in ("target", "shown", "closer", "equal")}
    again = Result(replace(first.run, agent="b"), Record(**held, images=100), {}, {})
    assert "+0.00 [+0.00, +0.00]" in report.differences([first, again], "a")
    other = replace(again.record, target=again.record.target + 1)
    with pytest.raises(ValueError, match="different targets"):
        report.table([first, replace(again, record=other)])


def test_ties_are_part_of_a_run_and_other_agents_are_known_by_their_source(tiny_file, tmp_path, toy_user):
    suite = Suite(catalog=str(tiny_file), simulator=toy_user)
    half = Experiment(suite, tmp_path).run("tests.agents.test_agents.Mean", 0)
    assert half.run.configuration["source"]
    with pytest.raises(ValueError, match="holds a result of other settings"):
        Experiment(replace(suite, ties="strict"), tmp_path).run("tests.agents.test_agents.Mean", 0)
    with pytest.raises(ValueError, match="choose half or strict"):
        replace(suite, ties="nope")


def test_a_row_says_what_its_agent_asked_to_know(tiny_file, tmp_path, toy_user):
    experiment = Experiment(Suite(catalog=str(tiny_file), simulator=toy_user), tmp_path)
    results = [experiment.run(agent, 0) for agent in ("random", "tests.evaluate.test_protocol.Reader")]
    assert results[1].run.configuration["declared"] == "reads attributes, knows the user"
    rows = report.table(results).splitlines()
    assert (
        sum(
            row.startswith("| tests.evaluate.test_protocol.Reader (reads attributes, knows the user) |") for row in rows
        )
        == 3
    )
    assert sum(row.startswith("| random |") for row in rows) == 3


def test_an_agent_that_does_not_know_the_words_of_the_user_is_refused(tiny_file, tmp_path, toy_user):
    experiment = Experiment(Suite(catalog=str(tiny_file), simulator=toy_user), tmp_path)
    agent = experiment.agent("supervised", 0)
    with pytest.raises(ValueError, match="use the user it was trained with"):
        protocol.run(agent, experiment.test, make_simulator("describer", experiment.test), seed=0)
    with pytest.raises(ValueError, match=r"no agent 'nope'; known are"):
        experiment.agent("nope", 0)
    with pytest.raises(ValueError, match="is not an agent"):
        experiment.agent("json.dumps", 0)
