"""The render mode "human": a window with the picture of the dialog."""

from __future__ import annotations

import copy
import pickle
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

from dialog_env.catalog import Catalog
from dialog_env.envs import DialogRetrievalEnv
from tests.toys import ToyUser


@pytest.fixture
def gallery(make_tiny):
    return Catalog(make_tiny(size=48)).split("train")


@pytest.fixture
def pygame(monkeypatch):
    """Pygame with a screen that nobody sees, and no waiting between pictures."""
    found = pytest.importorskip("pygame", reason="a window needs pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setitem(DialogRetrievalEnv.metadata, "render_fps", 10_000)
    yield found
    found.display.quit()


def make(gallery, mode):
    return gym.make("DialogRetrieval-v0", catalog=gallery, simulator=ToyUser(gallery), render_mode=mode)


def on_screen(pygame):
    """(H, W, 3) what the window shows."""
    return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)


def test_every_reset_and_step_shows_the_picture_of_the_dialog(gallery, pygame):
    window, picture = make(gallery, "human"), make(gallery, "rgb_array")
    assert pygame.display.get_surface() is None
    window.reset(seed=0)
    picture.reset(seed=0)
    seen = [on_screen(pygame)]
    assert np.array_equal(seen[0], picture.render())
    for action in range(5):
        window.step(action)
        picture.step(action)
        seen.append(on_screen(pygame))
        assert np.array_equal(seen[-1], picture.render())
        assert (seen[-1] != seen[-2]).any()
    assert window.render() is None
    window.close()
    assert not pygame.display.get_init()
    window.close()
    window.reset(seed=0)
    assert np.array_equal(on_screen(pygame), seen[0])
    window.close()


def test_pictures_come_at_the_rate_of_the_environment(gallery, pygame, monkeypatch):
    monkeypatch.setitem(DialogRetrievalEnv.metadata, "render_fps", 20)
    env = make(gallery, "human")
    env.reset(seed=0)
    started = pygame.time.get_ticks()
    for action in range(3):
        env.step(action)
    assert pygame.time.get_ticks() - started >= 130
    env.close()


def test_copies_and_pickles_go_on_whichever_of_them_is_closed(gallery, pygame):
    env = make(gallery, "human").unwrapped
    env.reset(seed=4)
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert str(twin.step(3)) == str(copy.deepcopy(env).step(3))
        twin.close()
        assert not pygame.display.get_init()
    env.step(3)
    assert pygame.display.get_surface() is not None
    env.close()


def test_without_pygame_the_remedy_is_named(gallery, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DependencyNotInstalled, match=r"pip install .*\[human\]"):
        make(gallery, "human")
    make(gallery, "rgb_array").reset()
