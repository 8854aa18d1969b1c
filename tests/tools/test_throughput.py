"""The benchmark measures what it says, and compares with implementations that give the same answers."""

import json
import re
from dataclasses import replace
from pathlib import Path

import gymnasium
import pytest
import torch
from PIL import Image

from dialog_env.simulators.captioner import PrecomputedCaptioner
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from tools.throughput import SMALL, answers, clock, compiled, dialogs, hits, ranking, recordings, report, updates
from tools.throughput.__main__ import main
from tools.throughput.clock import PeakMemory, Shares, fastest, fastest_in_turn
from tools.throughput.rows import Figure, Findings, Row
from tools.throughput.run import run
from tools.throughput.workload import Material, literal

TINY = replace(SMALL, images=20, words=8, galleries=(40, 80), repeats=1, feedback=(1, 4))


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now)

    def passes(self, seconds):
        self.now += seconds


class Workshop:
    """Something whose parts take known times."""

    def __init__(self, time):
        self.time = time

    def saw(self):
        self.time.passes(2)
        self.sharpen()
        self.time.passes(1)

    def sharpen(self):
        self.time.passes(4)


def test_shares_count_a_part_within_another_once_and_the_rest_as_the_rest(monkeypatch):
    time = Clock(monkeypatch)
    shop = Workshop(time)

    def work():
        time.passes(1)
        shop.saw()
        time.passes(2)

    shares = Shares([(shop, "saw", "sawing"), (shop, "sharpen", "sharpening")], "cpu").of(work)
    assert shares == {"all else": 0.3, "sawing": 0.3, "sharpening": 0.4}
    assert "saw" not in vars(shop), "what was timed must be as before"


def test_the_fastest_repeat_counts(monkeypatch):
    time = Clock(monkeypatch)
    durations = iter((3.0, 1.0, 2.0))
    assert fastest(lambda: time.passes(next(durations)), 3) == 1.0
    more = iter((3.0, 2.0, 1.0, 0.5))
    assert fastest(lambda: time.passes(next(more)), 1, patience=6.0) == 1.0


def test_works_that_are_compared_are_done_in_turn(monkeypatch):
    time, done = Clock(monkeypatch), []

    def work(name, durations):
        done.append(name)
        time.passes(next(durations))

    slow, fast = iter((3.0, 2.0, 4.0)), iter((0.5, 1.0, 0.25))
    both = [lambda: work("slow", slow), lambda: work("fast", fast)]
    assert fastest_in_turn(both, 1, patience=6.6) == [2.0, 0.25]
    assert done == ["slow", "fast"] * 3


def test_the_peak_of_memory_is_seen_after_it_was_given_back():
    with PeakMemory("cpu") as used:
        torch.ones(32 << 20, dtype=torch.uint8).sum()
    assert used.peak - used.before > 24 << 20


def test_the_loop_over_queries_gives_what_the_batched_ranking_gives():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(300, 8, generator=generator)
    queries, targets = torch.randn(9, 8, generator=generator), torch.arange(9)
    closer, nearest, few = literal("ranking").literal_ranking(queries, embeddings, targets, 4)
    ours = QueryRanking(queries, EmbeddedGallery(embeddings))
    assert torch.equal(ours.target_rank(targets).closer, closer)
    assert torch.equal(ours.top(1)[:, 0], nearest)
    assert torch.equal(ours.top(4), few)


def test_the_captioner_measured_says_what_the_literal_one_says():
    material = Material(TINY, "cpu")
    targets, candidates = torch.randint(20, (2, 50), generator=torch.Generator().manual_seed(0))
    parts = [torch.from_numpy(part) for part in (material.gallery.features, material.gallery.read_regions())]
    pairs = [torch.cat([part[targets], part[targets] - part[candidates]], dim=-1) for part in parts]
    said = literal("captioner").LiteralCaptioner(material.weights, "show_attend_tell").greedy(*pairs)
    assert torch.equal(material.user.feedback(targets, candidates, targets), said)


def test_a_literal_update_asks_sixty_five_times():
    assert updates.LITERAL_CALLS == 65


def test_bookkeeping_is_measured_in_turns_that_really_happen():
    material = Material(TINY, "cpu")
    env = gymnasium.make_vec(
        "DialogRetrieval-v0",
        4,
        catalog=material.gallery,
        split="all",
        simulator=material.user,
        autoreset_mode="SameStep",
    ).unwrapped
    player = dialogs._Player(env, 4)
    user, decide = env.dialogs.world.simulator, env.dialogs.action.decide
    seen = []
    record = lambda action: seen.append(env.state.turn.tolist()) or step(action)  # noqa: E731
    step, env.step = env.step, record
    dialogs._play_for_nothing(player)
    assert seen == [[turn] * 4 for turn in range(5)]
    assert (env.dialogs.world.simulator, env.dialogs.action.decide) == (user, decide)


def test_whether_compiling_pays_is_measured_with_every_step_compiled(monkeypatch):
    time = Clock(monkeypatch)
    material = Material(replace(TINY, compiled=True, batch=3), "cpu")
    network = material.user._captioner.network
    plain = type(network).step
    monkeypatch.setattr(type(network), "step", lambda *arguments: time.passes(1.0) or plain(*arguments))
    compiled_steps = []

    def compile_by_hand(step, dynamic):
        def compiled_step(words, *arguments):
            compiled_steps.append(len(words))
            time.passes(-0.75)  # of the second that the plain step takes
            return step(words, *arguments)

        return compiled_step

    monkeypatch.setattr(torch, "compile", compile_by_hand)
    (figure,) = compiled.measure(material).figures
    assert (figure.measured, figure.met) == ("4.00x at 1 pair, 4.00x at 3 pairs", False)
    assert {1, 3} <= set(compiled_steps)
    assert material.user._captioner.network is network
    assert "step" not in vars(network), "what was measured must be as before"


def test_without_a_compiler_the_figure_says_so(monkeypatch):
    def without_a_compiler(step, dynamic):
        raise RuntimeError("No working C++ compiler found\nin three lines\nor more")

    monkeypatch.setattr(torch, "compile", without_a_compiler)
    material = Material(replace(TINY, compiled=True), "cpu")
    (figure,) = compiled.measure(material).figures
    assert (figure.measured, figure.met) == ("not measured: No working C++ compiler found", None)


def test_the_larger_share_of_bookkeeping_counts():
    assert dialogs._bookkeeping("turns", 0.05, 0.09, 0.08).met
    assert not dialogs._bookkeeping("turns", 0.05, 0.11, 0.08).met
    figure = dialogs._bookkeeping("turns", 0.11, 0.09, 0.08)
    assert (figure.met, figure.measured) == (False, "9.0% within a turn, 11.0% where user and ranking cost nothing")
    assert figure.why == "within a turn it is 8.0% when no ranking gives its memory back"


def test_what_bounds_the_ratio_of_environments_is_told_from_their_profile():
    material = Material(TINY, "cpu")
    keywords = {"catalog": material.gallery, "split": "all", "simulator": material.user}
    native = gymnasium.make_vec("DialogRetrieval-v0", TINY.dialogs, autoreset_mode="SameStep", **keywords)
    many = dialogs._Player(native, TINY.dialogs)
    single = dialogs._Player(gymnasium.make("DialogRetrieval-v0", **keywords), None)
    told = dialogs._why_missed(many, single, TINY, "cpu")
    assert re.fullmatch(r"the user takes \d+% of a native turn, \d+ µs for a pair among 8 .* in a batch", told)


def test_figures_say_whether_they_were_met():
    load = replace(TINY, galleries=(10, 100))
    products = {10: 2e-6, 100: 4e-5}
    assert ranking._growth(load, {10: 1e-5, 100: 9e-5}, products) == Figure(
        "growth of the ranking cost from 10 to 100 images",
        "linear or better",
        "9 times the cost for 10 times the images",
        True,
    )
    missed = ranking._growth(load, {10: 1e-5, 100: 1.1e-4}, products)
    assert not missed.met
    assert "200 ns for the matrix product and 800 ns for all comparisons with 10 images" in missed.why
    assert "400 ns for the matrix product and 700 ns for all comparisons with 100 images" in missed.why
    assert ranking._against_loop(load, 10.0, 10).met
    assert not ranking._against_loop(load, 9.9, 10).met


def test_the_table_shows_figures_rows_shares_and_memory():
    findings = Findings(
        [Row("answers", 128, 0.004, 32_000, "pairs/s", "by heart")],
        [
            Figure("answers", "10x", "12.0x", True, "not to be told"),
            Figure("cards", "1", "not measured: none", None),
            Figure("turns", "20x", "9.0x", False, "the user takes 92% of a turn"),
        ],
        {"a turn": {"ranking": 0.25, "all else": 0.75}},
        {"answers": 3 << 20},
    )
    origin = {"machine": "2 x Abacus, Linux", "device": "cpu", "command": "python", "time": "2020-01-01T00:00:00"}
    text = report.table(findings, origin)
    assert "2 x Abacus" in text
    assert "| answers | 10x | 12.0x | yes |" in text
    assert "| cards | 1 | not measured: none | — |" in text
    assert "* turns: the user takes 92% of a turn\n" in text
    assert "not to be told" not in text
    assert "| answers | 128 | 32,000 pairs/s | 4 ms | by heart |" in text
    assert "| a turn |  | 25.0% |  | 75.0% |" in text
    assert "| answers | 3 |" in text


def test_without_the_literal_implementations_the_message_says_so(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("tools.throughput.workload.import_module", missing)
    with pytest.raises(ValueError, match=r"compares with tests/literal_captioner\.py, which is not at hand"):
        run(TINY, "cpu", Path("unused"))


def test_parts_are_measured_by_name(tmp_path):
    text = run(TINY, "cpu", tmp_path, ["graphics card", "feedback"])
    content = json.loads((tmp_path / "throughput.json").read_text())
    works = {row["work"] for row in content["rows"]}
    assert "feedback of the captioner" in works
    assert any("on the CPU" in row["note"] for row in content["rows"])
    assert works.isdisjoint({"supervised update", "SyncVectorEnv, captioner", "ranking: rank, nearest, 4 nearest"})
    assert "not measured: no graphics card was given" in text
    with pytest.raises(ValueError, match="no part 'nothing' of the measuring; known are ranking, turns, feedback"):
        run(TINY, "cpu", tmp_path, ["nothing"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "--repeats is 0; give 1 or more"),
        (["--patience", "nan"], "--patience is nan; give 0 or more"),
        (["--small", "--repeats", "3"], "--small has repeats and patience of its own"),
    ],
)
def test_settings_that_do_not_fit_are_refused(arguments, message, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tools.throughput", *arguments])
    with pytest.raises(SystemExit, match=message):
        main()


def test_recordings_are_measured_on_a_graphics_card_alone():
    with pytest.raises(ValueError, match="captioners are recorded on a graphics card alone, give cuda"):
        recordings.measure("cpu")


@pytest.mark.slow
def test_the_whole_benchmark_runs_and_writes_table_json_and_plot(tmp_path):
    text = run(TINY, "cpu", tmp_path)
    assert (tmp_path / "table.md").read_text() == text
    content = json.loads((tmp_path / "throughput.json").read_text())
    works = {row["work"] for row in content["rows"]}
    assert {"supervised update", "policy-improvement update", "SyncVectorEnv, captioner"} <= works
    assert all(row["rate"] > 0 for row in content["rows"])
    assert sum(figure["met"] is None for figure in content["figures"]) == 3
    for shares in content["shares"].values():
        assert sum(shares.values()) == pytest.approx(1)
    assert content["workload"]["images"] == 20
    assert content["provenance"]["machine"]
    assert min(Image.open(tmp_path / "cost.png").size) > 300


def test_kept_answers_are_measured_by_the_share_of_pairs_that_are_known(capsys, monkeypatch):
    speak, turns, spoken, heard = PrecomputedCaptioner.feedback, answers._turns, [], []

    def counted(captioner, targets, candidates):
        spoken.append(len(targets))
        return speak(captioner, targets, candidates)

    def counting(*given):
        spoken.clear()
        seconds = turns(*given)
        heard.append(sum(spoken))
        return seconds

    monkeypatch.setattr(PrecomputedCaptioner, "feedback", counted)
    monkeypatch.setattr(answers, "_turns", counting)
    answers.measure(dialogs=8, repeats=1)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("x")]
    assert len(rows) == 2 + len(answers.SHARES)
    noted, without, nothing, half, most, everything, _ = heard
    assert noted == without == nothing > half > most > everything == 0
    assert half == pytest.approx(nothing / 2, abs=1)


def test_hits_are_counted_by_what_was_asked_before(capsys):
    hits.measure(turns=1_024, every=512, dialogs=8, catalog="synthetic:60")
    rows = [line for line in capsys.readouterr().out.splitlines() if line[2:3].isdigit()]
    assert [row.split(" | ")[0] for row in rows] == ["| 512", "| 1,024"]
    first, second = ([float(part.rstrip(" |%")) for part in row.split(" | ")[1:]] for row in rows)
    assert first[0] == first[1]
    assert 0 < first[1] < second[1] < second[0]
