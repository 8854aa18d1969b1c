"""The table of Gymnasium's vector wrappers is what they do."""

from __future__ import annotations

import gymnasium as gym
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from tools import vector_wrappers
from tools.vector_wrappers import PAGE, Recipe, outcome, page, settings, table


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:gymnasium.*")  # of wrappers about themselves
def test_the_page_holds_what_every_wrapper_does(monkeypatch):
    pytest.importorskip("pygame", reason="a window needs pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    lines = table(**settings())
    assert page(lines) == PAGE.read_text(), "run python -m tools.vector_wrappers"
    assert [line.split("`")[1] for line in lines[2:]] == list(wrappers.__all__)
    works = [line.split("`")[1] for line in lines if "| yes |" in line]
    assert len(works) == 22


def test_a_wrapper_that_does_something_else_around_single_environments_is_noticed():
    class Other(gym.vector.VectorWrapper):
        def step(self, actions):
            observation, rewards, *rest = super().step(actions)
            return observation, rewards * hasattr(self.env.unwrapped, "dialogs"), *rest

    mode = AutoresetMode.NEXT_STEP
    assert outcome(Recipe(Other), mode, **settings()).startswith("no: after 1 steps it gives other numbers")
    assert outcome(Recipe(lambda env: env), mode, **settings()) == "yes"
    refused = outcome(Recipe(wrappers.NormalizeObservation), mode, **settings())
    assert refused.startswith("no: ")
    assert vector_wrappers.RECIPES.keys() == set(wrappers.__all__)
