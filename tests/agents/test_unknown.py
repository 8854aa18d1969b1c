"""Words that become unknown while an agent learns."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.agents.settings import as_told
from dialog_env.agents.training.unknown import draw_unknown, with_unknown
from dialog_env.catalog import Catalog
from tests.conftest import tiny_contents
from tests.toys import ToyUser

UNK = 9


def test_a_share_of_the_words_is_unknown_and_unknown_ones_come_between() -> None:
    tokens = torch.zeros(2000, 16, dtype=torch.int64)
    tokens[:, :4] = torch.randint(1, UNK, (2000, 4), generator=torch.Generator().manual_seed(0))
    drawn = draw_unknown(1, 2000, 16, torch.Generator().manual_seed(1))[0]
    heard = with_unknown(tokens, drawn, 0.2, UNK)
    for before, after in zip(tokens.tolist(), heard.tolist(), strict=True):
        left = iter(before)
        assert all(token in left for token in after if token not in (0, UNK))
        length = len([token for token in after if token])
        assert not any(after[length:])
    kept, unknown = ((heard > 0) & (heard < UNK)).sum(), (heard == UNK).sum()
    assert kept / 8000 == pytest.approx(0.8, abs=0.02)
    assert unknown / 8000 == pytest.approx(0.4, abs=0.02)
    assert torch.equal(with_unknown(tokens, drawn, 0.0, UNK), tokens)


def test_a_sentence_that_becomes_too_long_loses_its_end() -> None:
    tokens = torch.arange(1, 17)[None]
    heard = with_unknown(tokens, torch.stack([torch.ones(1, 16), torch.zeros(1, 16)], dim=1), 0.5, 20)
    assert heard.tolist() == [[20, 1, 20, 2, 20, 3, 20, 4, 20, 5, 20, 6, 20, 7, 20, 8]]


@pytest.mark.parametrize("name", ["supervised", "belief"])
def test_agents_learn_with_unknown_words_where_they_are_told_to(name: str, tmp_path: Path) -> None:
    gallery = Catalog(tiny_contents(40))
    user = ToyUser(gallery)
    data = TrainingData(gallery, user, gallery, user)
    weights = {}
    for share in (0.0, 0.3):
        agent = agents.create(name, gallery=gallery, vocabulary=user.vocabulary, epochs=1, unknown=share)
        agent.train(data, tmp_path / f"{share}", progress=False)
        weights[share] = torch.cat([each.flatten() for each in agent.network.state_dict().values()])
    assert weights[0.0].isfinite().all()
    assert weights[0.3].isfinite().all()
    assert not torch.equal(weights[0.0], weights[0.3])
    exact = agents.create(name, gallery=gallery, vocabulary=user.vocabulary, epochs=2)
    with pytest.raises(ValueError, match=r"of a training with unknown 0\.3 and this one has 0\.0"):
        exact.train(data, tmp_path / "0.3", progress=False)
    with pytest.raises(ValueError, match="unknown is 2"):
        agents.create(name, gallery=gallery, vocabulary=user.vocabulary, unknown=2)


def test_settings_that_came_later_are_told_where_they_are_used() -> None:
    plain = asdict(agents.agent_class("supervised").Settings())
    assert "unknown" not in as_told(plain)
    assert as_told({"inner": plain, "unknown": 0.1}) == {"inner": as_told(plain), "unknown": 0.1}
