"""Keywords and actions of every kind: each call does what was asked for, or is refused in one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import dialog_env
from dialog_env.catalog import Catalog
from dialog_env.envs import DialogRetrievalEnv, DialogRetrievalVectorEnv
from dialog_env.envs.wrappers import DialogHistory, DialogHistoryVector
from dialog_env.io.keywords import MOST, checked
from dialog_env.world.dialog import MOST_TURNS, Dialog
from tests.conftest import tiny_contents
from tests.toys import ToyUser

ROOT = str(Path(dialog_env.__file__).parents[2])
GALLERY = Catalog(tiny_contents(size=12))
USER = ToyUser(GALLERY)

VALUES: tuple[Any, ...] = (
    *(
        "",
        "x",
        "two\nlines",
        "y" * 300,
        "\x00",
        "é\ud800",
        "train",
        "all",
        "cpu",
        "cuda:-1",
        "cpu:7",
        "meta",
        "percentile",
    ),
    *(None, True, False, np.True_, -1, 0, 1, 3, 2.0, 2.5, 10**9, 10**30, -(2**63), 1e300, float("nan"), float("inf")),
    *(1j, b"bytes", [], [3], ["features"], (), (1, 2), {}, {"seed": 1}, {"seed": [1]}, {1: "a"}, {"a": 1}, {1, 2}),
    *(
        object(),
        len,
        int,
        slice(1),
        ...,
        np.zeros(3),
        np.array("text"),
        np.array(3),
        np.array([None]),
        np.zeros((2, 1)),
    ),
    *(np.float32(1.5), np.int64(3), np.int8(-3), np.uint64(2), np.str_("features"), np.datetime64("2020-01-01")),
    *(torch.zeros(2), torch.tensor(3), torch.tensor(True), torch.device("cpu"), torch.device("meta")),
    *(Path("/nonexistent/file"), Path("/tmp"), Path("/dev/null"), GALLERY, USER, ToyUser, AutoresetMode.DISABLED),
)
"""Some are right in some places."""


def whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | np.integer) and value is not True and least <= value <= most


def truth(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def one_of(*known: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str | AutoresetMode | None) and value in known


RIGHT: dict[str, Callable[[Any], bool]] = {
    "catalog": lambda value: value is GALLERY,
    "gallery": lambda value: value is GALLERY,
    "split": one_of("all"),
    "simulator": lambda value: value is USER or value is ToyUser,
    "simulator_settings": lambda value: value is None or value == {},
    "preset": one_of("dialog", "vector", "discrete"),
    "action": one_of(None, "candidate", "query", "score"),
    "observation": lambda value: isinstance(value, str | list | None) and value in (None, "features", ["features"]),
    "flatten": lambda value: truth(value) and not value,
    "reward": one_of("percentile"),
    "turns": whole(1, MOST_TURNS),
    "stop_when_found": truth,
    "reveal_target": truth,
    "device": lambda value: value in ("cpu", "cpu:7") if isinstance(value, str) else value == torch.device("cpu"),
    "render_mode": one_of(None),
    "num_envs": whole(1, 3),
    "autoreset_mode": one_of(AutoresetMode.DISABLED),
    "output": one_of("numpy"),
    "max_episode_steps": lambda value: value is None or whole(1, MOST)(value),
    "flat": truth,
}
"""Which of the values can be used."""

WORLD = ("gallery", "turns", "stop_when_found", "device")
SINGLE = tuple(name for name in RIGHT if name in DialogRetrievalEnv.__init__.__annotations__)
VECTOR = (*SINGLE, "num_envs", "autoreset_mode", "output", "max_episode_steps")


def assert_clear(error: BaseException, *named: str) -> None:
    """It was raised on purpose, by this project, in one sentence with what is wrong in it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    assert isinstance(error, ValueError | FileNotFoundError), where
    assert where.startswith(ROOT), f"{error!r} at {where}"
    message = str(error)
    assert "\n" not in message
    assert 20 < len(message) < 900
    assert any(name in message for name in named), (message, named)


def is_right(name: str, value: Any) -> bool:
    return bool(RIGHT[name](value)) if not isinstance(value, np.ndarray | torch.Tensor) else False


def make_world(**keywords: Any) -> int:
    world = Dialog(**{"gallery": GALLERY, "simulator": USER, **keywords})
    world.reset(torch.tensor([0]), torch.tensor([1]))
    world.show(torch.tensor([2]))
    return world.turns


def make_single(**keywords: Any) -> int:
    env = DialogRetrievalEnv(**{"catalog": GALLERY, "split": "all", "simulator": USER, **keywords})
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0] in env.observation_space
    return env.dialogs.settings.turns


def make_vector(**keywords: Any) -> int:
    env = DialogRetrievalVectorEnv(**{"num_envs": 2, "catalog": GALLERY, "split": "all", "simulator": USER, **keywords})
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0] in env.observation_space
    return env.dialogs.settings.turns


@pytest.mark.parametrize(("make", "names"), [(make_world, WORLD), (make_single, SINGLE), (make_vector, VECTOR)])
def test_any_value_of_any_keyword_is_used_rightly_or_refused_in_one_sentence(make, names):
    refused = 0
    for name, value in itertools.product(names, VALUES):
        try:
            turns = make(**{name: value})
        except Exception as error:
            if is_right(name, value):
                pytest.fail(f"{name}={value!r}: {error}")
            assert_clear(
                error, name, name.replace("_", " "), "simulator" if name == "simulator_settings" else "catalogue"
            )
            refused += 1
        else:
            assert is_right(name, value) or name in ("split", "catalog"), f"{name}={value!r}"
            assert turns == (value if name == "turns" else 5)
            assert type(turns) is int
    assert refused > 250


def test_several_wrong_keywords_are_refused_by_one_of_them():
    random = np.random.default_rng(1)
    for _ in range(300):
        names = random.choice(SINGLE, 3, replace=False)
        keywords = {str(name): VALUES[random.integers(len(VALUES))] for name in names}
        if not all(is_right(name, value) for name, value in keywords.items()):
            with pytest.raises((ValueError, FileNotFoundError)) as refusal:
                make_single(**keywords)
            assert_clear(refusal.value, *keywords, "simulator", "catalogue")


@pytest.mark.parametrize("value", [value for value in VALUES if not truth(value)], ids=lambda value: repr(value)[:20])
def test_wrappers_check_their_keyword_too(value):
    single = DialogRetrievalEnv(catalog=GALLERY, split="all", simulator=USER)
    many = DialogRetrievalVectorEnv(2, catalog=GALLERY, split="all", simulator=USER)
    for wrap in (lambda: DialogHistory(single, flat=value), lambda: DialogHistoryVector(many, flat=value)):
        with pytest.raises(ValueError, match=r"flat is .*; give True or False") as refusal:
            wrap()
        assert_clear(refusal.value, "flat")


def test_spaces_that_memory_cannot_hold_are_refused(monkeypatch):
    monkeypatch.setattr("dialog_env.io.device.free_memory", lambda device: 1 << 20)
    with pytest.raises(ValueError, match=r"spaces of 100000 dialogs need .* GiB .*; give a smaller num_envs"):
        make_vector(num_envs=100_000)
    with pytest.raises(ValueError, match=r"spaces of 100001 turns need .*; wrap an environment of fewer turns"):
        DialogHistory(DialogRetrievalEnv(catalog=GALLERY, split="all", simulator=USER, turns=100_000))


class Declared:
    def __init__(self, number: float = 1.0, either: int | str | None = None, loose: Any = None, silent=None) -> None:
        pass


def test_values_are_checked_by_the_types_that_are_declared_for_them():
    assert checked(Declared, number=3, either=None, loose=[], silent={}) == {
        "number": 3,
        "either": None,
        "loose": [],
        "silent": {},
    }
    assert type(checked(Declared, either=np.int16(3))["either"]) is int
    for wrong in (np.nan, np.inf, True, "1", None, 1j):
        with pytest.raises(ValueError, match=r"number is .*; give a number"):
            checked(Declared, number=wrong)
    for wrong in (1.0, False, b"", []):
        with pytest.raises(ValueError, match=r"either is .*; give a whole number or a text or None"):
            checked(Declared, either=wrong)


NUMBERS = np.linspace(-1, 1, 8, dtype=np.float32)
GOOD_ACTIONS: dict[str, tuple[Any, ...]] = {
    "candidate": (0, 11, np.int64(3), np.uint8(3), np.uint64(3), np.array(3), torch.tensor(3), torch.tensor(3).short()),
    "query": (
        *(NUMBERS, NUMBERS.tolist(), tuple(NUMBERS), NUMBERS.astype(float), NUMBERS.astype(np.float16)),
        *(torch.from_numpy(NUMBERS), torch.from_numpy(NUMBERS).double(), np.array([0, 1, 0, -1, 0, 0, 0, 0]), [1] * 8),
        *(torch.from_numpy(NUMBERS).requires_grad_(), list(torch.from_numpy(NUMBERS))),
    ),
}
BAD_ACTIONS: dict[str, tuple[Any, ...]] = {
    "candidate": (
        *(12, -1, 2**63, -(2**63), 10**40, 0.0, 1.5, np.float32(3), True, np.True_, torch.tensor(True), 1j, "3"),
        *(np.array([3]), np.array([0, 1]), torch.tensor([3]), torch.tensor(3.0), np.uint64(2**63 + 1), np.array([[3]])),
    ),
    "query": (
        *(0, 0.5, NUMBERS[:7], np.append(NUMBERS, 0), NUMBERS[None], NUMBERS[:, None], NUMBERS * 1.001, NUMBERS * 1e30),
        *(NUMBERS * np.nan, NUMBERS + np.inf, NUMBERS + 0j, NUMBERS > 0, NUMBERS.astype(str), NUMBERS.astype(object)),
        *(torch.zeros(8, dtype=torch.bool), torch.zeros(8, dtype=torch.cfloat), torch.zeros(8).to_sparse()),
        *(torch.zeros(8, device="meta"), [10**400] * 8, [0.0] * 7 + [None], [0.0] * 7 + ["1"], [0.0] * 7 + [[1.0]]),
    ),
}
ANYWHERE: tuple[Any, ...] = (
    *(None, "", "red shoes", b"\x00", {}, {"action": 0}, {1, 2}, object(), [[1], [2, 3]], [], np.zeros((3, 0)), len),
    *(np.array("1"), np.array([None]), np.zeros((2, 2, 2)), torch.zeros(2, 2), np.nan, np.inf, ..., slice(2)),
    *(np.datetime64("2020-01-01"), np.zeros(2, dtype=[("a", int)]), range(4)),
)


@pytest.mark.parametrize("action", ["candidate", "query", "score", "direction", "move:directions=6"])
@pytest.mark.parametrize("observation", ["numpy", "torch"])
def test_any_action_is_taken_or_refused_in_one_sentence_and_the_dialog_goes_on(action, observation):
    given, action = action, action.split(":")[0]
    random = np.random.default_rng(2)
    gallery = GALLERY.take(np.arange(8 if action == "score" else 12))
    keywords: dict[str, Any] = {"catalog": gallery, "split": "selection", "simulator": ToyUser(gallery), "turns": 1000}
    single, twin = (DialogRetrievalEnv(action=given, **keywords) for _ in range(2))
    many = DialogRetrievalVectorEnv(3, action=given, output=observation, **keywords)
    kind = "candidate" if action in ("candidate", "move") else "query"
    good, bad = GOOD_ACTIONS[kind], (*BAD_ACTIONS[kind], *ANYWHERE)
    for env in (single, twin, many):
        env.reset(seed=0)
    for _ in range(100):
        wrong, right = bad[random.integers(len(bad))], good[random.integers(len(good))]
        with pytest.raises(ValueError, match=rf"{action} ") as refusal:
            single.step(wrong)
        assert_clear(refusal.value, f"{action} action", "candidate", "move")
        among = [right, wrong, right]
        for actions in (among, *stacked(wrong), wrong, [right] * 2, [right] * 4):
            before = many.state
            with pytest.raises(ValueError, match=r"action|candidate|move") as refusal:
                many.step(actions)
            assert_clear(refusal.value, "action", "candidate", "move")
            assert many.state is before
        told, expected = single.step(right), twin.step(plain(right))
        assert str(told) == str(expected)
        assert many.step([plain(right)] * 3)[0]["turn"][0] == told[0]["turn"]


def stacked(wrong: Any) -> list[Any]:
    """An array of three of them, where that can be made."""
    try:
        return [np.stack([np.asarray(wrong)] * 3)]
    except (TypeError, ValueError, RuntimeError):
        return []


def plain(action: Any) -> Any:
    """An action in the type of its space."""
    if isinstance(action, list | tuple):
        return np.array([float(number) for number in action], np.float32)
    action = action.detach().numpy() if isinstance(action, torch.Tensor) else np.asarray(action)
    return action.astype(np.float32) if action.ndim else int(action)


def test_what_a_reset_is_given_is_told_in_one_line():
    single = DialogRetrievalEnv(catalog=GALLERY, split="all", simulator=USER)
    many = DialogRetrievalVectorEnv(2, catalog=GALLERY, split="all", simulator=USER)
    for env, value in itertools.product((single, many), VALUES):
        for name, known in (("seed", "is no seed"), ("options", "options=")):
            try:
                env.reset(**{name: value})
            except Exception as error:
                assert_clear(error, known, "seeds were given", "reset_mask must be")


def test_an_unknown_keyword_is_refused_by_name():
    with pytest.raises(TypeError, match="there is no keyword simulater; known are"):
        gym.make_vec("DialogRetrieval-v0", 2, simulater="describer")
