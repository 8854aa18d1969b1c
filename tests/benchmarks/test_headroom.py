"""The way from chance to the ceiling, and what asking well is worth on it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dialog_env.benchmarks.headroom import share_of_ceiling, value_of_asking

Values = NDArray[np.float64]


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def held(generator: np.random.Generator, seeds: int, dialogs: int = 400) -> tuple[Values, Values, Values]:
    """Found or not in percent, by an agent that goes half of the way; some dialogs are easier for all than others."""
    ease = generator.random(dialogs)
    chance = 100.0 * (generator.random((1, dialogs)) < 0.1)
    ceiling = 100.0 * (ease < 0.9)[None]
    level = 0.5 + (0.05 * generator.standard_normal((seeds, 1)) if seeds > 1 else 0)
    own = np.where(generator.random((seeds, dialogs)) < 0.5, ease < level, generator.random((seeds, dialogs)) < level)
    return 100.0 * own, chance, ceiling


def test_the_share_is_that_of_the_means() -> None:
    share = share_of_ceiling(np.array([20.0, 40, 60]), np.array([10.0, 10, 10]), np.array([70.0, 100, 100]))
    assert share.value == pytest.approx(100 * (40 - 10) / (90 - 10))
    assert share.low < share.value < share.high


def test_the_ends_of_the_way_are_0_and_100(generator: np.random.Generator) -> None:
    own, chance, ceiling = held(generator, seeds=1)
    for ends, expected in ((chance, 0), (ceiling, 100)):
        share = share_of_ceiling(ends, chance, ceiling)
        assert (share.value, share.low, share.high) == pytest.approx((expected,) * 3)
    share = share_of_ceiling(own, chance, ceiling)
    assert 0 < share.low < share.high < 100


def test_the_share_does_not_depend_on_the_unit(generator: np.random.Generator) -> None:
    own, chance, ceiling = held(generator, seeds=3)
    plain = share_of_ceiling(own, chance, ceiling)
    scaled = share_of_ceiling(own / 100 + 3, chance / 100 + 3, ceiling / 100 + 3)
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx((plain.value, plain.low, plain.high))


@pytest.mark.parametrize("seeds", [1, 5])
def test_its_interval_covers_as_often_as_it_says(seeds: int, generator: np.random.Generator) -> None:
    truth = 100 * (0.5 - 0.1) / (0.9 - 0.1)
    covered = [
        interval.low <= truth <= interval.high
        for interval in (share_of_ceiling(*held(generator, seeds)) for _ in range(300))
    ]
    assert 0.91 <= np.mean(covered) <= 0.985


def test_seeds_that_disagree_widen_it(generator: np.random.Generator) -> None:
    own, chance, ceiling = held(generator, seeds=1)
    apart = np.concatenate([own, np.zeros_like(own), own])
    alike = share_of_ceiling(own.repeat(3, axis=0), chance, ceiling)
    wide = share_of_ceiling(apart, chance, ceiling)
    assert wide.high - wide.low > 3 * (alike.high - alike.low)
    assert wide.value < alike.value
    assert share_of_ceiling(own, chance, ceiling.repeat(3, axis=0)).value == pytest.approx(alike.value)
    repeated = (each.repeat(3, axis=0) for each in (chance, ceiling))
    assert share_of_ceiling(apart, *repeated).value == pytest.approx(wide.value)


def test_the_value_of_asking_is_paired_by_dialog(generator: np.random.Generator) -> None:
    likely = generator.normal(50, 30, (1, 500))
    gain = value_of_asking(likely + generator.normal(3, 5, (1, 500)), likely)
    assert 2 < gain.low < gain.value < gain.high < 4
    assert value_of_asking(likely, likely).value == 0


def test_what_cannot_be_placed_is_refused(generator: np.random.Generator) -> None:
    own, chance, ceiling = held(generator, seeds=2)
    with pytest.raises(ValueError, match=r"between those of \(1, 399\) of chance and .*; run all on the same gallery"):
        share_of_ceiling(own, chance[:, 1:], ceiling)
    with pytest.raises(ValueError, match=r"\(3, 400\) of the ceiling; run"):
        share_of_ceiling(own, chance, ceiling.repeat(3, axis=0))
    with pytest.raises(ValueError, match="no way from one to the other"):
        share_of_ceiling(own, ceiling, ceiling)
    with pytest.raises(ValueError, match="cannot be paired"):
        value_of_asking(own, ceiling[:, 1:])
