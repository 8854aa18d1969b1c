"""Agents that hear somebody else than they know."""

from __future__ import annotations

import numpy as np
import pytest

from tools.strangers import Strangers


def test_a_stranger_leads_an_agent_that_browses_nowhere_near(capsys: pytest.CaptureFixture[str]) -> None:
    strangers = Strangers(("greedy",), catalog="synthetic:60:1", split="all", dialogs=12, turns=3)
    found, sure = strangers.hold("greedy")
    assert found.shape == (3, 12)
    assert (np.diff(found.astype(int), axis=0) >= 0).all()
    assert sure == 0
    strangers()
    told = capsys.readouterr().out
    assert "found by turn 3, %" in told
    assert "| greedy |" in told
