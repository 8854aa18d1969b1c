"""People who talk to the service at the same time."""

from __future__ import annotations

import re

import pytest

from tools.talkers import Talkers

pytest.importorskip("uvicorn", reason="uvicorn is not installed; the extra `web` has it")


@pytest.mark.slow
def test_all_who_talk_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    Talkers(catalog="synthetic:60:1", agent="greedy", people=12, turns=3, pause=0.05)()
    told = capsys.readouterr().out
    assert "12 people, 36 turns with greedy on synthetic:60:1" in told
    middle, most, longest = map(int, re.findall(r"(\d+) ms", told))
    assert 0 <= middle <= most <= longest
