"""Integers drawn ahead are those that would have been drawn one by one."""

import numpy as np
import pytest

from dialog_env.envs.draws import AHEAD, Draws


@pytest.mark.parametrize("bound", [2, 1000 * 999, 2**32 - 1, 2**32, 2**32 + 1, 10**12], ids=str)
def test_every_dialog_gets_the_integers_of_its_generator(bound):
    random = np.random.default_rng(0)
    draws = Draws(5, bound).seeded(np.arange(5), range(10, 15))
    alone = [np.random.default_rng(10 + dialog) for dialog in range(5)]
    for _ in range(4 * AHEAD):
        dialogs = np.flatnonzero(random.random(5) < 0.6)
        drawn, draws = draws.of(dialogs)
        assert drawn.tolist() == [alone[dialog].integers(bound) for dialog in dialogs]


def drawn(draws, count):
    numbers = []
    for _ in range(count):
        (number,), draws = draws.of(np.array([0]))
        numbers.append(int(number))
    return numbers, draws


def test_a_new_seed_begins_anew_and_none_goes_on():
    dialog = np.array([0])
    first, draws = drawn(Draws(1, 10**6).seeded(dialog, [3]), 3)
    (following,), draws = drawn(draws.seeded(dialog, [None]), 1)
    assert drawn(draws.seeded(dialog, [3]), 4)[0] == [*first, following]


@pytest.mark.parametrize("before", [0, 1, AHEAD - 1, AHEAD])
def test_what_was_drawn_from_can_be_drawn_from_again(before):
    dialog = np.array([0])
    _, draws = drawn(Draws(1, 10**6).seeded(dialog, [3]), before)
    expected, _ = drawn(draws, 2 * AHEAD)
    for other in (draws, draws.seeded(dialog, [4]), draws.seeded(dialog, [None])):
        drawn(other, 2 * AHEAD + 1)
        assert drawn(draws, 2 * AHEAD)[0] == expected
