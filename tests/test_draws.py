"""Integers drawn ahead are those that would have been drawn one by one."""

import numpy as np
import pytest

from dialog_env.envs.draws import AHEAD, Draws


@pytest.mark.parametrize("bound", [2, 1000 * 999, 2**32 - 1, 2**32, 2**32 + 1, 10**12], ids=str)
def test_every_dialog_gets_the_integers_of_its_generator(bound):
    draws, random = Draws(5, bound), np.random.default_rng(0)
    for dialog in range(5):
        draws.seed(dialog, 10 + dialog)
    alone = [np.random.default_rng(10 + dialog) for dialog in range(5)]
    for _ in range(4 * AHEAD):
        dialogs = np.flatnonzero(random.random(5) < 0.6)
        assert draws.of(dialogs).tolist() == [alone[dialog].integers(bound) for dialog in dialogs]


def test_a_new_seed_begins_anew_and_none_goes_on():
    draws, dialog = Draws(1, 10**6), np.array([0])
    draws.seed(0, 3)
    first = [int(draws.of(dialog)[0]) for _ in range(3)]
    draws.seed(0, None)
    following = int(draws.of(dialog)[0])
    draws.seed(0, 3)
    assert [int(draws.of(dialog)[0]) for _ in range(4)] == [*first, following]
