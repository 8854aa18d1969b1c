"""How far an agent that says how sure it is can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dialog_env import agents
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.calibration import believed, reliability
from tests.conftest import tiny_contents
from tests.toys import ToyUser


def test_whoever_is_right_as_often_as_expected_has_no_error() -> None:
    random = np.random.default_rng(0)
    probability = random.random((4000, 5))
    right = random.random((4000, 5)) < probability
    honest = reliability(probability, right)
    assert honest.count.sum() == 20000
    assert honest.error < 0.02
    assert np.allclose(honest.expected, honest.observed, atol=0.05)
    boastful = reliability(np.sqrt(probability), right)
    assert boastful.error == pytest.approx(float((np.sqrt(probability) - probability).mean()), abs=0.02)
    assert (boastful.expected[1:] > boastful.observed[1:]).all()


def test_bins_hold_what_lies_in_them() -> None:
    found = reliability(np.array([0.05, 0.07, 0.95, 1.0]), np.array([False, True, True, True]))
    assert found.count.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.expected[0] == pytest.approx(0.06)
    assert found.observed[[0, 9]].tolist() == [0.5, 1.0]
    assert np.isnan(found.expected[1:9]).all()
    assert found.error == pytest.approx((2 * 0.44 + 2 * 0.025) / 4)


def test_an_agent_is_heard_in_the_very_run_of_the_protocol() -> None:
    gallery = Catalog(tiny_contents(size=40))
    user = ToyUser(gallery)
    agent: Any = agents.create("ceiling", gallery=gallery, vocabulary=user.vocabulary)
    record, probability, right = believed(agent, gallery, user, seed=0, batch=7)
    assert np.array_equal(record.shown, protocol.run(agent, gallery, user, seed=0).shown)
    assert probability.shape == right.shape == (40, 5)
    assert np.array_equal(right, record.closer[:, 1:] == 0)
    alike = record.equal[:, 1:][right]  # the ceiling believes in all that are level with the target alike
    assert np.all(probability[right] <= 1 / alike + 1e-6)
    with pytest.raises(ValueError, match="Supervised has no log_belief"):
        believed(agents.create("supervised", gallery=gallery, vocabulary=user.vocabulary), gallery, user, seed=0)


def test_what_is_no_probability_is_refused() -> None:
    for probability in (np.array([1.2]), np.array([np.nan]), np.array([0.1, 0.2])):
        with pytest.raises(ValueError, match="make no diagram"):
            reliability(probability, np.array([True]))
