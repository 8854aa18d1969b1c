"""The campaign's machinery: what hangs, dies or breaks is counted, what is done stays done, what is wrong is seen."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dialog_env.world.ranking import TargetRank
from dialog_env.world.vocabulary import Vocabulary
from tools.reliability import environment, metrics, rankings, vector_environment
from tools.reliability.campaign import run_part
from tools.reliability.cases import Case, Outcome, Part, fail
from tools.reliability.parts import PARTS
from tools.reliability.refusals import attempt, complaint
from tools.reliability.report import markdown
from tools.reliability.workers import do


def part(run: Callable[[Case], Outcome], cases: int = 4, seconds: float = 20) -> Part:
    """A part of the campaign for its tests."""
    return Part("toy", "toys", run, cases, cases, seconds=seconds, memory=256 << 20)


def hostile(case: Case) -> Outcome:
    """Hangs, dies, takes memory, breaks, fails, or ends well."""
    if case.number == 0:
        time.sleep(600)
    if case.number == 1:
        os.kill(os.getpid(), 9)
    if case.number == 2:
        np.ones(1 << 30)
    if case.number == 3:
        raise KeyError("anything")
    if case.number == 4:
        fail("silent", "nobody noticed")
    return Outcome(count=3)


def test_cases_that_hang_die_or_take_too_much_are_counted_and_the_others_go_on(tmp_path: Path) -> None:
    tally = run_part(part(hostile, seconds=10), 8, seed=0, scratch=tmp_path, workers=2)
    assert {number: outcome.verdict for number, outcome in tally.failures.items()} == {
        0: "hang",
        1: "hang",
        2: "hang",
        3: "unclear",
        4: "silent",
    }
    assert "status -9" in tally.failures[1].note
    assert "KeyError" in tally.failures[3].note
    assert tally.count == 5 + 3 * 3
    text = markdown([tally], 0, "abc", small=True, arguments="--small")
    assert "| `toy` | 14 | 0 | 0 | 1 | 3 | 0 | 1 | 0 |" in text
    assert "`--seed 0 --only toy --case 4`: silent: `nobody noticed`" in text


def count(case: Case) -> Outcome:
    """Leaves a mark, and says what it drew."""
    with (case.materials.parent / "marks").open("a") as file:
        file.write(f"{case.number}\n")
    return Outcome(note=str(case.random.integers(10**9)))


def test_what_has_been_done_is_not_done_again_even_where_the_last_line_was_cut_off(tmp_path: Path) -> None:
    first = run_part(part(count), 3, seed=0, scratch=tmp_path, workers=1)
    record = tmp_path / "outcomes" / "toy.jsonl"
    record.write_text(record.read_text()[:-9])
    second = run_part(part(count), 5, seed=0, scratch=tmp_path, workers=1)
    marks = (tmp_path / "marks").read_text().split()
    assert sorted(marks) == ["0", "1", "2", "2", "3", "4"]
    assert (first.count, second.count) == (3, 5)


def test_a_case_draws_the_same_alone_and_among_others(tmp_path: Path) -> None:
    run_part(part(count), 3, seed=5, scratch=tmp_path, workers=2)
    lines = (tmp_path / "outcomes" / "toy.jsonl").read_text()
    assert f'"note": "{do(part(count), 2, 5, tmp_path).note}"' in lines


def test_a_refusal_is_clear_when_it_is_raised_on_purpose_in_one_sentence_that_names_the_value() -> None:
    def lose() -> None:
        raise ValueError("turns is 0; give 1 or more")

    assert "by chance" in complaint(attempt(int, "0x").error, ["0x"])  # type: ignore[arg-type]
    assert "by chance" in complaint(attempt(lose).error, ["turns"])  # type: ignore[arg-type]
    refused = attempt(Vocabulary, ("a", "b")).error
    assert refused is not None
    assert complaint(refused, ["vocabulary"]) == ""
    assert "names none" in complaint(refused, ["turns"])
    assert "2 lines" in complaint(ValueError("one\ntwo"), [])
    assert "names none" in complaint(ValueError("something is wrong"), ["turns"])
    assert "escaped" in complaint(KeyError("turns"), ["turns"])
    missing = attempt(Path("/nonexistent/file").read_bytes).error
    assert missing is not None
    assert complaint(missing, ["anything else"]) != ""


def test_wrong_rewards_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closer_only(self: TargetRank, ties: str = "half") -> object:
        return self.closer.float()

    monkeypatch.setattr(TargetRank, "rank", closer_only)
    for each in (environment.PART, vector_environment.PART):
        found = [do(each, number, 0, tmp_path) for number in range(12)]
        assert any(outcome.verdict == "wrong" and "must be" in outcome.note for outcome in found)


def test_a_wrong_metric_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialog_env.evaluate.metrics.METRICS", {})
    monkeypatch.setattr(metrics, "METRICS", {})
    assert do(metrics.PART, 0, 0, tmp_path).verdict == "wrong"


def test_a_wrong_order_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankings.QueryRanking, "top", lambda self, count, excluded=None: self.queries.long()[:, :1])
    assert any(do(rankings.PART, number, 0, tmp_path).verdict != "right" for number in range(5))


@pytest.mark.parametrize("number", range(6))
def test_rankings_hold_against_sorting(number: int, tmp_path: Path) -> None:
    assert do(rankings.PART, number, 0, tmp_path) == Outcome(count=6)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all parts share their materials."""
    return tmp_path_factory.mktemp("reliability")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the campaign needs Linux")
@pytest.mark.parametrize("name", PARTS)
def test_every_part_finds_nothing_in_its_first_cases(name: str, scratch: Path) -> None:
    tally = run_part(PARTS[name], 2, seed=0, scratch=scratch, workers=1)
    assert tally.failures == {}
    assert tally.count >= 2 or tally.skipped
