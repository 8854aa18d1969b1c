import numpy as np
import pytest
from PIL import Image

from dialog_env import agents
from dialog_env.benchmarks import film
from dialog_env.world.rendering import GREEN, LINE, MARGIN, TILE, TITLE_LINES, Shown, dialog_row
from tests.toys import ToyUser


def test_a_film_holds_each_dialog_with_its_sentences_and_true_ranks(tiny_catalog, tmp_path):
    user = ToyUser(tiny_catalog)
    agent = agents.create("random", seed=1)
    targets, rows = film.hold_dialogs(agent, tiny_catalog, user, dialogs=3, seed=0, turns=4)
    assert len(set(targets)) == 3
    for target, row in zip(targets, rows, strict=True):
        assert len(row) == 5
        assert row[0].candidate != target
        assert [entry.rank is None for entry in row] == [True] + [False] * 4
        assert [bool(entry.sentence) for entry in row] == [True] * 4 + [False]
    paths = film.write_film(tiny_catalog, targets, rows, tmp_path)
    assert [path.name for path in paths] == ["dialog-1.png", "dialog-2.png", "dialog-3.png", "film.gif"]
    with Image.open(paths[-1]) as animation:
        assert animation.n_frames == 15
    with pytest.raises(ValueError, match="give 1 to 24"):
        film.hold_dialogs(agent, tiny_catalog, user, dialogs=25, seed=0, turns=4)


def test_a_row_shows_what_was_said_and_frames_the_found_target(tiny_catalog):
    said = dialog_row(tiny_catalog, [Shown(1, "is red and has a higher heel than that one there")], 3, 2)
    silent = dialog_row(tiny_catalog, [Shown(1, "")], 3, 2)
    assert said.size == silent.size
    assert (np.asarray(said) != np.asarray(silent)).any()
    assert dialog_row(tiny_catalog, [Shown(1, "")], None, 2).width < silent.width


def test_the_target_stands_beside_the_last_image_in_pictures_of_one_width(tiny_catalog):
    found, long = (
        dialog_row(tiny_catalog, [Shown(position, "") for position in positions], 3, len(positions), 5)
        for positions in ((1, 3), (1, 2, 4, 5))
    )
    assert found.size == long.size
    tile = TILE + MARGIN
    green = (np.asarray(found) == GREEN).all(axis=2).any(axis=0)
    assert [bool(green[MARGIN + place * tile - 1 : MARGIN + (place + 1) * tile - 2].any()) for place in range(5)] == [
        False, True, True, False, False,
    ]  # fmt: skip


def test_an_image_that_is_shown_again_is_said_to_be(tiny_catalog):
    again, anew = (
        np.asarray(dialog_row(tiny_catalog, [Shown(first, ""), Shown(7, "")], None, 2))[:, 2 * MARGIN + TILE :]
        for first in (7, 5)
    )
    titles = MARGIN + TITLE_LINES * LINE - 1
    assert (again[:titles] != anew[:titles]).any()
    assert (again[titles:] == anew[titles:]).all()
