"""Intervals hold the truth as often as they say, and verdicts are right as often as they say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from dialog_env.evaluate.intervals import Interval
from dialog_env.evaluate.metrics import interquartile_mean
from dialog_env.evaluate.statistics import Difference, confidence_interval, holm, paired_difference
from dialog_env.evaluate.student_t import quantile, two_sided_p

DIALOGS = 300
REPLICATES = 1500
WIDER = 3 * math.sqrt(0.95 * 0.05 / REPLICATES)
"""How far a share of REPLICATES strays from what it would be with more of them."""

SOURCES = {
    "seeds": (1.0, 0.5, 0.5),
    "dialogs": (0.0, 1.0, 0.3),
    "seeds and dialogs": (math.sqrt(1 / DIALOGS), 1.0, 0.1),
    "seeds more than dialogs": (math.sqrt(20 / DIALOGS), 1.0, 0.3),
    "all three": (math.sqrt(1 / DIALOGS), 1.0, 1.0),
    "seeds and interaction": (math.sqrt(2 / DIALOGS), 0.1, 1.0),
    "interaction": (0.0, 0.3, 1.0),
}
"""What varies to the standard deviations of seeds, of dialogs and of their interaction."""


def share_covered(draw: Callable[[np.random.Generator], tuple[Interval, float]], replicates: int = REPLICATES) -> float:
    """How many percent of the intervals hold the truth that is drawn with them."""
    random = np.random.default_rng(1)
    pairs = (draw(random) for _ in range(replicates))
    return 100 * float(np.mean([interval.low <= truth <= interval.high for interval, truth in pairs]))


def crossed(random: np.random.Generator, seeds: int, sources: str, dialogs: int = DIALOGS) -> np.ndarray:
    """(S, M) values whose mean is zero in the long run, all seeds with the same dialogs."""
    of_seeds, of_dialogs, of_both = SOURCES[sources]
    drawn = (random.standard_normal(shape) for shape in ((seeds, 1), (1, dialogs), (seeds, dialogs)))
    parts = [scale * part for scale, part in zip((of_seeds, of_dialogs, of_both), drawn, strict=True)]
    return parts[0] + parts[1] + parts[2]


@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_an_interval_over_seeds_and_dialogs_covers_whatever_varies(seeds: int, sources: str) -> None:
    def draw(random: np.random.Generator) -> tuple[Interval, float]:
        return confidence_interval(crossed(random, seeds, sources), random), 0.0

    assert 93 - 100 * WIDER < share_covered(draw) < 97 + 100 * WIDER


def test_an_interval_of_one_seed_covers_over_dialogs() -> None:
    def draw(random: np.random.Generator) -> tuple[Interval, float]:
        return confidence_interval(random.exponential(size=DIALOGS), random), 1.0

    assert 93 - 100 * WIDER < share_covered(draw) < 97 + 100 * WIDER


def test_an_interval_of_scores_by_seed_covers_over_seeds() -> None:
    def draw(random: np.random.Generator) -> tuple[Interval, float]:
        return confidence_interval(random.standard_normal((3, 1)), random), 0.0

    assert 95 - 100 * WIDER < share_covered(draw) < 95 + 100 * WIDER


@pytest.mark.parametrize(
    ("likely", "of_seeds", "of_dialogs"),
    [(0.68, 0.1, 2.0), (0.68, 0.5, 1.0), (0.97, 0.1, 1.0), (0.01, 0.0, 0.5)],
    ids=["dialogs", "seeds", "close to all", "chance"],
)
@pytest.mark.parametrize("seeds", [1, 3, 5, 10])
def test_an_interval_of_a_share_of_dialogs_covers_and_stays_within_0_to_100(
    seeds: int, likely: float, of_seeds: float, of_dialogs: float
) -> None:
    middle, of_seeds = math.log(likely / (1 - likely)), of_seeds * (seeds > 1)

    def chance(more: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-middle - more))

    spread = math.hypot(of_seeds, of_dialogs)
    truth = 100 * float(chance(spread * np.random.default_rng(0).standard_normal(1_000_000)).mean())

    def draw(random: np.random.Generator) -> tuple[Interval, float]:
        more = of_seeds * random.standard_normal((seeds, 1)) + of_dialogs * random.standard_normal(DIALOGS)
        interval = confidence_interval(100.0 * (random.random((seeds, DIALOGS)) < chance(more)), random, percent=True)
        assert 0 <= interval.low <= interval.value <= interval.high <= 100
        return interval, truth

    assert 93 - 100 * WIDER < share_covered(draw) < 97.5 + 100 * WIDER


def test_what_no_dialog_has_shown_may_still_be_rare() -> None:
    random = np.random.default_rng(0)
    never = confidence_interval(np.zeros((3, 1000)), random, percent=True)
    assert never.low == 0
    assert never.high == pytest.approx(0.38, abs=0.01)  # about the "rule of three", 3 / 1000 on one side
    always = confidence_interval(np.full((3, 1000), 100.0), random, percent=True)
    assert (always.low, always.high) == pytest.approx((100 - never.high, 100))


@pytest.mark.parametrize("summary", [np.median, interquartile_mean], ids=["median", "interquartile mean"])
@pytest.mark.parametrize(
    ("seeds", "sources"), [(1, "dialogs"), (3, "seeds"), (3, "dialogs"), (3, "all three"), (5, "seeds and interaction")]
)
def test_an_interval_of_what_is_no_mean_covers(
    seeds: int, sources: str, summary: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialog_env.evaluate.statistics.RESAMPLES", 200)

    def draw(random: np.random.Generator) -> tuple[Interval, float]:
        return confidence_interval(crossed(random, seeds, sources, dialogs=60), random, summary), 0.0

    assert 91 < share_covered(draw, replicates=400) < 99


def test_the_median_of_whole_numbers_is_not_surer_than_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialog_env.evaluate.statistics.RESAMPLES", 200)

    def draw(random: np.random.Generator) -> tuple[Interval, float]:
        return confidence_interval(1.0 * random.binomial(1, 0.53, size=100), random, np.median), 1.0

    assert share_covered(draw, replicates=200) > 92
    values = np.array([[0.0] * 60 + [1000.0] * 40])
    assert confidence_interval(values, np.random.default_rng(0), np.median) == Interval(0, 0, 0)


def test_the_interquartile_mean_leaves_out_the_outer_quarters() -> None:
    values = np.array([[100.0, 3, 1, 2, -50, 4, 7, 6], [0, 0, 0, 0, 8, 8, 8, 8]])
    assert interquartile_mean(values).tolist() == [(2 + 3 + 4 + 6) / 4, 4]
    assert interquartile_mean(values.T, axis=0).tolist() == [3.75, 4]


def test_an_interval_over_seeds_is_wider_where_seeds_disagree() -> None:
    random = np.random.default_rng(0)
    dialogs = random.normal(0, 1, size=(1, 500))
    one, alike = confidence_interval(dialogs, random), confidence_interval(np.repeat(dialogs, 5, axis=0), random)
    apart = confidence_interval(dialogs + np.array([[-2.0], [-1], [0], [1], [2]]), random)
    assert (alike.low, alike.high) == pytest.approx((one.low, one.high))
    assert apart.high - apart.low > 3 * (alike.high - alike.low)
    assert apart.value == pytest.approx(alike.value)


def test_paired_differences_see_what_separate_intervals_do_not() -> None:
    random = np.random.default_rng(0)
    base = random.normal(50, 30, size=(1, 400))
    better = base + random.normal(1, 2, size=(1, 400))
    difference = paired_difference(better, base)
    assert difference.low > 0
    assert difference.p < 0.001
    assert confidence_interval(better, random).low < confidence_interval(base, random).high
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(base, base[:, 1:])


def test_a_difference_and_its_p_value_agree_and_agents_that_are_alike_do_not_differ() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        difference = paired_difference(crossed(random, 3, "all three"), 0.1 + crossed(random, 3, "seeds"))
        assert (difference.p < 0.05) == (difference.low > 0 or difference.high < 0)
    assert paired_difference(np.ones((3, 9)), np.ones((3, 9))) == Difference(0, 0, 0, 1)
    assert paired_difference(np.ones((3, 9)), np.zeros((3, 9))) == Difference(1, 1, 1, 0)
    assert paired_difference(np.ones(1), np.zeros(1)) == Difference(1, -math.inf, math.inf, 1)


def test_holm_counts_how_many_verdicts_there_are() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
    random = np.random.default_rng(0)
    wrong = [min(holm(random.random(20).tolist())) < 0.05 for _ in range(2000)]
    assert 0.03 < np.mean(wrong) < 0.065


def test_the_t_distribution_is_that_of_the_tables() -> None:
    tables = {1: 12.7062, 2: 4.30265, 4: 2.77645, 9: 2.26216, 30: 2.04227, 120: 1.97993, 1e6: 1.95997}
    for freedom, number in tables.items():
        assert quantile(0.95, freedom) == pytest.approx(number, abs=5e-5)
        assert two_sided_p(number, freedom) == pytest.approx(0.05, abs=1e-5)
    assert quantile(0.95, 2.5) == pytest.approx(3.57465, abs=5e-5)
    assert two_sided_p(50.0, 1) == pytest.approx(1 - 2 * math.atan(50) / math.pi)
    assert two_sided_p(50.0, 2) == pytest.approx(1 - 50 / math.sqrt(2 + 50**2), rel=1e-6)
    assert two_sided_p(0.0, 3) == 1
