"""Steps and resets that are refused, fail or are interrupted: each has happened as a whole, or not at all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import dialog_env
from dialog_env.catalog import Catalog
from dialog_env.envs import DialogRetrievalEnv, DialogRetrievalVectorEnv
from dialog_env.envs.wrappers import DialogHistory, DialogHistoryVector, TensorEpisodeStatistics
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import ScoreRanking
from tests.toys import ToyUser

BATCH = 3
SOURCES = str(Path(dialog_env.__file__).parent)
ERRORS = (ValueError, KeyboardInterrupt)


class Failing(ToyUser):
    """Raises an error instead of the n-th answer, once; in that answer it has written into what it was asked."""

    def __init__(self, gallery: Catalog, failing: int = -1, error: type[BaseException] = ValueError) -> None:
        super().__init__(gallery)
        self.failing, self.error = failing, error

    def feedback(self, targets: Any, candidates: Any, previous: Any) -> Any:
        answers = super().feedback(targets, candidates, previous)
        if len(self.asked) == self.failing:
            for part in (targets, candidates, previous):
                part.fill_(0)
            raise self.error("nobody at home")
        return answers


@pytest.fixture
def gallery(make_tiny):
    return Catalog(make_tiny(size=48)).split("train").take(np.arange(6))


def plain(value: Any) -> Any:
    """What a call gave, to be compared."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | torch.Tensor):
        return plain(value.tolist())
    return value


KEYWORDS: dict[str, Any] = {
    "split": "selection",
    "turns": 3,
    "stop_when_found": True,
    "reveal_target": True,
    "reward": "change",
}


def single(gallery, user):
    return DialogRetrievalEnv(catalog=gallery, simulator=user, render_mode="ansi", **KEYWORDS)


def vector(mode, output="numpy"):
    return lambda gallery, user: DialogRetrievalVectorEnv(
        BATCH, catalog=gallery, simulator=user, autoreset_mode=mode, output=output, **KEYWORDS
    )


MAKERS = {
    "single": single,
    "history": lambda gallery, user: DialogHistory(single(gallery, user)),
    **{mode.value: vector(mode) for mode in AutoresetMode},
    "torch": vector(AutoresetMode.SAME_STEP, "torch"),
    "vector history": lambda gallery, user: DialogHistoryVector(vector("NextStep")(gallery, user)),
    "statistics": lambda gallery, user: TensorEpisodeStatistics(vector("SameStep", "torch")(gallery, user)),
    "all wrappers": lambda gallery, user: DialogHistoryVector(
        TensorEpisodeStatistics(vector("Disabled", "torch")(gallery, user))
    ),
}


class Play:
    """Calls of an environment, one after the other, which depend on nothing but its own answers."""

    def __init__(self, env: Any) -> None:
        self.env, self.number, self.ended = env, 0, np.ones(getattr(env, "num_envs", 1), dtype=bool)
        self.many = hasattr(env, "num_envs")

    def call(self) -> Any:
        """The next call, or the same again if it failed; a failed call changes nothing here."""
        number, env = self.number, self.env
        disabled = self.many and env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
        if number == 0 or number == 9:
            result = env.reset(seed=5 if number == 0 else None)
        elif (disabled or not self.many) and self.ended.any():
            some = self.many and not self.ended.all()
            result = env.reset(options={"reset_mask": self.ended.copy()} if some else None)
        else:
            actions = (np.arange(BATCH) * 2 + number) % 6
            result = env.step(torch.from_numpy(actions) if self.many else int(actions[0]))
        made = plain(result), None if self.many else env.unwrapped.render()
        self.has_made(made)
        return made

    def has_made(self, made: tuple[Any, Any]) -> None:
        """Takes note of a call that gave this."""
        result, _ = made
        self.number += 1
        self.ended = np.atleast_1d(result[2]) if len(result) == 5 else np.zeros_like(self.ended)

    def calls(self, count: int = 14) -> list[Any]:
        """What so many calls give."""
        return [self.call() for _ in range(count)]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", MAKERS)
def test_a_user_who_fails_at_any_call_leaves_everything_as_it_was(gallery, name, first):
    user = ToyUser(gallery)
    expected = Play(MAKERS[name](gallery, user)).calls()
    assert len(user.asked) > 10
    for failing in range(1 + first, len(user.asked) + 1, 2):
        error = ERRORS[failing // 2 % 2]
        play, failed, told = Play(MAKERS[name](gallery, Failing(gallery, failing, error))), 0, []
        while len(told) < len(expected):
            before = play.env.unwrapped.state
            try:
                told.append(play.call())
            except error:
                failed += 1
                assert play.env.unwrapped.state is before
        assert failed == 1
        assert told == expected


BAD_RESETS: tuple[dict[str, Any], ...] = (
    {"options": {"goal": 3}},
    {"options": {"target": 99}},
    {"options": {"reset_mask": np.zeros(BATCH, dtype=bool)}},
    {"options": "reset_mask"},
    {"seed": -1},
    {"seed": "5"},
    {"seed": [1, 2]},
    {"seed": True},
)


@pytest.mark.parametrize("name", MAKERS)
def test_a_reset_or_step_that_is_refused_moves_no_generator(gallery, name):
    expected = Play(MAKERS[name](gallery, ToyUser(gallery))).calls()
    play, told = Play(MAKERS[name](gallery, ToyUser(gallery))), []
    for number in range(len(expected)):
        with pytest.raises(ValueError, match=r"is not understood|is no seed|seeds were given|reset_mask must be"):
            play.env.reset(**BAD_RESETS[number % len(BAD_RESETS)])
        if number:
            with pytest.raises((ValueError, RuntimeError)):
                play.env.step(np.full(BATCH, 99) if play.many else 99)
        told.append(play.call())
    assert told == expected


class Interrupt:
    """Raises KeyboardInterrupt at the n-th line of this package that is run within it."""

    def __init__(self, at: int) -> None:
        self.left, self.before = at, sys.gettrace()

    def __enter__(self) -> Interrupt:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _trace(self, frame: Any, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(SOURCES):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self._trace


@pytest.mark.parametrize("name", MAKERS)
def test_ctrl_c_at_any_line_falls_before_or_after_a_call_and_never_inside(gallery, name):
    """A wrapper that has not heard of a call that was made says so; nothing goes on with a hole in it."""
    expected = Play(MAKERS[name](gallery, ToyUser(gallery))).calls()
    before, after = 0, 0
    for number in range(48):
        call = (1, 3, 4, 9)[number % 4]
        play = Play(MAKERS[name](gallery, ToyUser(gallery)))
        told = play.calls(call)
        state, wrapped = play.env.unwrapped.state, play.env is not play.env.unwrapped
        try:
            with Interrupt(1 + 17 * number % (443 if wrapped else 331)):  # lines of a call, its wrapper's last
                told.append(play.call())
        except KeyboardInterrupt:
            if play.env.unwrapped.state is state:
                before += 1
            else:
                after += 1
                told.append(expected[call])
                play.has_made(expected[call])
        try:
            following = play.call()
        except RuntimeError as error:
            said = str(error)
        else:
            said = ""
            assert [*told, following] == expected[: len(told) + 1]
        assert not said or (wrapped and "call reset, without a mask, first" in said)
    assert before > 15
    assert after or not wrapped


@pytest.mark.parametrize("error", ERRORS)
def test_a_world_whose_user_fails_stays_where_it_was(gallery, error):
    targets, firsts = torch.tensor([0, 1]), torch.tensor([2, 3])
    calls = (
        lambda world: world.reset(targets, firsts),
        lambda world: world.step(ScoreRanking(torch.eye(6)[:2])),
        lambda world: world.show(torch.tensor([4, 4])),
        lambda world: world.reset(targets, firsts, where=torch.tensor([True, False])),
        lambda world: world.step(ScoreRanking(torch.eye(6)[2:4]), torch.tensor([5, 0])),
    )
    for failing in range(1, 6):
        world, twin = Dialog(gallery, Failing(gallery, failing, error)), Dialog(gallery, ToyUser(gallery))
        for number, call in enumerate(calls, 1):
            if number == failing:
                before = world._state
                with pytest.raises(error):
                    call(world)
                assert world._state is before
            call(world)
            call(twin)
            for name, part in vars(twin.state).items():
                assert torch.equal(getattr(world.state, name), part), name


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda tokens: tokens[:1], r"2 questions with \(1, 16\)"),
        (lambda tokens: tokens.float(), "tokens of type torch.float32"),
        (lambda tokens: tokens.to("meta"), "on meta; it must give tokens on cpu"),
        (lambda tokens: tokens.tolist(), "list"),
        (lambda tokens: None, "NoneType"),
    ],
)
def test_answers_that_are_no_tokens_are_refused_and_change_nothing(gallery, answer, said):
    class Mumbling(ToyUser):
        mumbles = False

        def feedback(self, *asked):
            tokens = super().feedback(*asked)
            return answer(tokens) if self.mumbles else tokens

    user = Mumbling(gallery)
    world = Dialog(gallery, user)
    world.reset(torch.tensor([0, 1]), torch.tensor([2, 3]))
    before, user.mumbles = world.snapshot(), True
    with pytest.raises(ValueError, match=rf"user toy-1 answered .*{said}"):
        world.show(torch.tensor([4, 5]))
    assert world.snapshot() is before


def test_answers_in_memory_that_is_used_again_do_not_change_what_was_said(gallery):
    class Reusing(ToyUser):
        scratch = torch.zeros(2, 16, dtype=torch.int64)

        def feedback(self, *asked):
            return self.scratch.copy_(super().feedback(*asked))

    world, twin = (Dialog(gallery, user(gallery)) for user in (Reusing, ToyUser))
    for each in (world, twin):
        each.reset(torch.tensor([0, 1]), torch.tensor([2, 3]))
    kept = world.snapshot()
    world.show(torch.tensor([4, 5]))
    assert torch.equal(kept.feedback, twin.state.feedback)


def test_wrappers_notice_dialogs_that_went_on_without_them(gallery):
    for name in ("history", "vector history", "statistics", "all wrappers"):
        env = MAKERS[name](gallery, ToyUser(gallery))
        action = np.zeros(BATCH, dtype=int) if hasattr(env, "num_envs") else 0
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(action)
        env.reset(seed=0)
        env.step(action)
        env.unwrapped.step(action)
        with pytest.raises(RuntimeError, match="call reset, without a mask, first"):
            env.step(action)
        env.reset()
        env.step(action)
    many = DialogHistoryVector(SyncVectorEnv([lambda: single(gallery, ToyUser(gallery))] * 2))
    many.reset(seed=0)
    many.env.envs[1].unwrapped.step(0)
    with pytest.raises(RuntimeError, match="call reset"):
        many.step(np.zeros(2, dtype=int))


def test_environments_made_by_gymnasium_go_on_after_a_failure_too(gallery):
    env = gym.make("DialogRetrieval-v0", catalog=gallery, simulator=Failing(gallery, 2), **KEYWORDS)
    twin = gym.make("DialogRetrieval-v0", catalog=gallery, simulator=ToyUser(gallery), **KEYWORDS)
    assert plain(env.reset(seed=1)) == plain(twin.reset(seed=1))
    with pytest.raises(ValueError, match="nobody at home"):
        env.step(4)
    assert plain(env.step(4)) == plain(twin.step(4))
