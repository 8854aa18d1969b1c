"""Many dialogs as pictures, one each or all in one, as texts, and in a window."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from dialog_env.catalog import Catalog
from dialog_env.envs import DialogRetrievalVectorEnv
from dialog_env.world.rendering import MOST_SIDE
from tests.toys import ToyUser

DIALOGS = 3


@pytest.fixture
def gallery(make_tiny):
    return Catalog(make_tiny(size=48)).split("train").take(np.arange(6))


def make(gallery, mode, render_mode, dialogs=DIALOGS, **keywords):
    keywords = {"catalog": gallery, "split": "selection", "simulator": ToyUser(gallery), "turns": 3, **keywords}
    native = gym.make_vec(
        "DialogRetrieval-v0", dialogs, autoreset_mode=mode, render_mode=render_mode, stop_when_found=True, **keywords
    )
    single = "rgb_array" if render_mode == "grid" else render_mode
    sync = gym.make_vec(
        "DialogRetrieval-v0",
        dialogs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        render_mode=single,
        stop_when_found=True,
        **keywords,
    )
    return native, sync


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
@pytest.mark.parametrize("reveal_target", [False, True])
def test_each_dialog_is_shown_as_single_environments_show_theirs(gallery, mode, render_mode, reveal_target):
    native, sync = make(gallery, mode, render_mode, reveal_target=reveal_target)
    native.action_space.seed(3)
    for env in (native, sync):
        env.reset(seed=1)
    ends_apart = 0
    for _ in range(9):
        ours, theirs = native.render(), sync.render()
        assert isinstance(ours, tuple)
        assert len(ours) == DIALOGS
        assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
        actions = native.action_space.sample()
        *_, terminated, _, _ = native.step(actions)
        sync.step(actions)
        ends_apart += int(0 < terminated.sum() < DIALOGS)
        if mode == AutoresetMode.DISABLED and terminated.any():
            for env in (native, sync):
                env.reset(options={"reset_mask": terminated.copy()})
    assert ends_apart


def test_a_grid_holds_every_dialog_once(gallery):
    (grid, _), (each, _) = (make(gallery, "NextStep", mode) for mode in ("grid", "rgb_array"))
    for env in (grid, each):
        env.reset(seed=1)
    whole, pictures = grid.render(), each.render()
    height, width, _ = pictures[0].shape
    assert whole.dtype == np.uint8
    assert whole.shape[0] % height == 0
    assert whole.shape[1] % width == 0
    columns = whole.shape[1] // width
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        assert np.array_equal(whole[row * height : (row + 1) * height, column * width : (column + 1) * width], picture)


def test_a_grid_of_many_dialogs_is_made_smaller(gallery):
    grid, _ = make(gallery, "NextStep", "grid", dialogs=40)
    grid.reset(seed=1)
    picture = grid.render()
    assert max(picture.shape) <= MOST_SIDE
    assert 0.5 < picture.shape[0] / picture.shape[1] < 2


def test_a_window_shows_the_grid_at_each_reset_and_step(gallery, monkeypatch):
    pygame = pytest.importorskip("pygame", reason="a window needs pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setitem(DialogRetrievalVectorEnv.metadata, "render_fps", 10_000)
    keywords = {"catalog": gallery, "split": "selection", "simulator": ToyUser(gallery)}
    human, grid = (gym.make_vec("DialogRetrieval-v0", 2, render_mode=mode, **keywords) for mode in ("human", "grid"))
    for env in (human, grid):
        env.reset(seed=0)
    for _ in range(3):
        shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
        assert np.array_equal(shown, grid.render())
        assert human.render() is None
        actions = grid.action_space.sample()
        for env in (human, grid):
            env.step(actions)
    human.close()
    assert not pygame.display.get_init()


def test_what_is_not_rendered_keeps_no_dialogs_and_an_unknown_mode_is_refused(gallery):
    plain = gym.make_vec("DialogRetrieval-v0", 2, catalog=gallery, split="selection", simulator=ToyUser(gallery))
    plain.reset(seed=0)
    assert plain.render() is None
    assert plain.unwrapped._moment.shown == ()
    with pytest.raises(ValueError, match="render_mode='film' is not known; choose one of human, rgb_array, ansi, grid"):
        make(gallery, "NextStep", "film")
    with pytest.raises(RuntimeError, match="call reset before render"):
        make(gallery, "NextStep", "grid")[0].render()
