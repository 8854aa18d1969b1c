"""What earlier releases wrote is still understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialog_env import agents
from dialog_env.agents.base import AGENT_FILE
from dialog_env.agents.sb3.former_names import FORMER_NAMES
from dialog_env.agents.settings import of_today, settings_from
from dialog_env.catalog import Catalog
from dialog_env.io import checkpoint
from tests.toys import ToyUser

NAMES = sorted(name for name in agents.AGENTS if name.startswith("sb3-"))


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_whose_settings_were_saved_under_their_former_names_is_loaded(
    name: str, tiny_catalog: Catalog, tmp_path: Path
) -> None:
    user = ToyUser(tiny_catalog)
    agent = agents.create(name, gallery=tiny_catalog, vocabulary=user.vocabulary, seed=3)
    agent.save(tmp_path)
    saved = checkpoint.read(tmp_path / AGENT_FILE)
    former = {new: old for old, new in FORMER_NAMES.items()}
    settings = {former.get(key, key): value for key, value in saved.facts["settings"].items()}
    assert settings != saved.facts["settings"]
    checkpoint.write(tmp_path / AGENT_FILE, saved.tensors, {**saved.facts, "settings": settings})
    assert agents.load(tmp_path).settings == agent.settings
    assert of_today(type(agent).Settings, settings) == saved.facts["settings"]


def test_a_command_with_a_former_name_is_understood() -> None:
    kind = agents.agent_class("sb3-ppo")
    assert settings_from(kind.Settings, {"steps": 10}).total_timesteps == 10
    with pytest.raises(ValueError, match="no setting 'stages'"):
        settings_from(kind.Settings, {"stages": 10})
