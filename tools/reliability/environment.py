"""Part `environment`: sessions of calls of the single environment against the literal dialog."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from dialog_env.envs import DialogRetrievalEnv
from dialog_env.envs.wrappers import DialogHistory
from tools.reliability import actions
from tools.reliability.cases import Case, Outcome, Part, expect, fail
from tools.reliability.literal_world import LiteralDialog
from tools.reliability.refusals import Answer, attempt, require_clear
from tools.reliability.setups import Setup, beginning, close, draw_setup, same
from tools.reliability.users import BrokenUser, TableUser

CALLS = 40
BAD_SEEDS: tuple[Any, ...] = (-1, "x", 1.5, [1], np.zeros(2), object(), -(10**30))


class Session:
    """Calls of one environment, each checked.

    A twin with a revealed target and the same calls of `reset` says what was drawn.
    """

    def __init__(self, case: Case) -> None:
        self.random = case.random
        self.breakable = bool(self.random.random() < 0.3)
        self.setup = draw_setup(case, breakable=self.breakable)
        keywords, env = self.setup.keywords, None
        if self.random.random() < 0.3:
            env = gymnasium.make("DialogRetrieval-v0", disable_env_checker=True, **keywords)
        self.flat = bool(self.random.random() < 0.5)
        self.env: gymnasium.Env[Any, Any] = env or DialogRetrievalEnv(**keywords)
        self.history = bool(self.random.random() < 0.3)
        if self.history:
            self.env = DialogHistory(self.env, flat=self.flat)
        self.twin = DialogRetrievalEnv(
            catalog=self.setup.known.gallery, split="all", simulator="relevance", reveal_target=True, turns=1
        )
        self.dialog = LiteralDialog(self.setup.rules)
        self.begun = False
        self.calls = 0

    def call(self) -> None:
        """One random call."""
        self.calls += 1
        chance = self.random.random()
        if not self.begun or (self.dialog.over and chance < 0.8) or chance < 0.08:
            self.before_reset() if not self.begun and chance < 0.2 else self.reset()
        elif self.dialog.over:
            self.refused(attempt(self.env.step, self.good_action()), "a step after the end", ["reset"])
        elif chance < 0.3:
            self.bad_step()
        elif chance < 0.36:
            self.bad_reset()
        elif chance < 0.45 and self.breakable:
            self.broken_step()
        else:
            self.step()

    def before_reset(self) -> None:
        """A step before there is a dialog."""
        self.refused(attempt(self.env.step, self.good_action()), "a step before the reset", ["reset"])

    def good_action(self) -> Any:
        """An action in some form."""
        return actions.dressed(actions.good(self.setup.rules, self.random), self.random)

    def options(self) -> dict[str, Any]:
        """Options that are right."""
        images = len(self.setup.known.features)
        target, away = int(self.random.integers(images)), int(self.random.integers(1, images))
        chosen = {"target": target, "candidate": np.int64((target + away) % images)}
        return {name: value for name, value in chosen.items() if self.random.random() < 0.4}

    def reset(self) -> None:
        """A reset that must work."""
        seed = int(self.random.integers(1000)) if self.random.random() < 0.4 or not self.begun else None
        options = self.options()
        observation, info = self.env.reset(seed=seed, options=options or None)
        _, drawn = self.twin.reset(seed=seed, options=options or None)
        where = f"reset(seed={seed}, options={options})"
        self.dialog.begin(*beginning(drawn, where, options, len(self.setup.known.features)))
        self.begun = True
        self.check(observation, info, where)

    def bad_reset(self) -> None:
        """A reset that must be refused, and change nothing: neither the dialog nor what is drawn next."""
        images = len(self.setup.known.features)
        junk = [
            {"target": images},
            {"candidate": -1},
            {"target": 0.0},
            {"target": "0"},
            {"candidate": None},
            {"goal": 1},
            {"target": True},
            {"target": 0, "candidate": 0},
            {1: 2},
            [1],
            "target",
            {"target": np.zeros(2, int)},
            {"target": 10**40},
        ]
        if self.random.random() < 0.7:
            keywords: dict[str, Any] = {"options": junk[self.random.integers(len(junk))], "seed": 7}
            names = ["options", "position", "target", "candidate"]
        else:
            keywords = {"seed": BAD_SEEDS[self.random.integers(len(BAD_SEEDS))]}
            names = ["seed", "Seed"]
        self.refused(attempt(self.env.reset, **keywords), f"reset({keywords})", names)

    def bad_step(self) -> None:
        """A step that must be refused and change nothing."""
        action = actions.bad(self.setup.rules, self.random)
        answer = attempt(self.env.step, action)
        self.refused(answer, f"{self.setup.rules.action} action {action!r}", ["action", "candidate", "query", "score"])

    def broken_step(self) -> None:
        """A step in which the user breaks down: the turn has not happened."""
        user = self.setup.user
        assert isinstance(user, TableUser)
        user.breaks_at = 1
        user.error = KeyboardInterrupt() if self.random.random() < 0.5 else BrokenUser("this user broke down")
        plain = actions.good(self.setup.rules, self.random)
        answer = attempt(self.env.step, actions.dressed(plain, self.random))
        user.breaks_at = 0
        if answer.error is None:  # the turn was the last one: nobody was asked
            self.check_step(answer.value, self.dialog.step(plain), f"step({plain})")
        elif not isinstance(answer.error, BrokenUser | KeyboardInterrupt):
            fail("unclear", f"a user that broke down became {answer.error!r}")

    def step(self) -> None:
        """A step that must work."""
        plain = actions.good(self.setup.rules, self.random)
        found = self.env.step(actions.dressed(plain, self.random))
        self.check_step(found, self.dialog.step(plain), f"step({plain})")

    def check_step(self, found: tuple[Any, ...], reward: float, where: str) -> None:
        """Compares all that a step gave."""
        observation, paid, terminated, truncated, info = found
        close(paid, reward, f"{where}: reward {self.setup.rules.reward}")
        expect(type(paid) is float, "wrong", f"{where}: reward is a {type(paid).__name__}")
        expect(terminated is self.dialog.over, "wrong", f"{where}: terminated is {terminated!r}")
        expect(truncated is False, "wrong", f"{where}: truncated is {truncated!r}")
        self.check(observation, info, where)

    def check(self, observation: Any, info: dict[str, Any], where: str) -> None:
        """Compares observation and info with the literal dialog."""
        where = f"{self.setup.keywords} {where}"
        expect(self.env.observation_space.contains(observation), "wrong", f"{where}: outside the observation space")
        if self.history:
            check_history(self.setup, observation, self.dialog, self.flat, where)
        else:
            self.setup.check(observation, self.dialog, where)
        self.setup.check_info(info, self.dialog, where)

    def refused(self, answer: Answer, what: str, names: list[str]) -> None:
        """Ends the case unless a call was refused clearly."""
        if answer.error is None:
            fail("wrong", f"{what} was taken")
        require_clear(answer.error, names, what)


def check_history(setup: Setup, observation: dict[str, Any], dialog: LiteralDialog, flat: bool, where: str) -> None:
    """Compares an observation of the whole dialog."""
    slots = setup.rules.turns + 1
    used = len(dialog.shown)
    images = np.stack([setup.image(position) for position in dialog.shown])
    image = np.zeros((slots, *images.shape[1:]), images.dtype)
    image[:used] = images
    feedback = np.zeros((slots, 16), np.int64)
    for slot, words in enumerate(dialog.said):
        feedback[slot, : len(words)] = words
    expected = {
        "image": image.reshape(-1) if flat else image,
        "feedback": feedback.reshape(-1) if flat else feedback,
        "mask": (np.arange(slots) < used).astype(np.int8),
        "turn": np.array(dialog.turn),
    }
    expect(observation.keys() == expected.keys(), "wrong", f"{where}: parts {sorted(observation)}")
    for name, array in expected.items():
        same(np.asarray(observation[name]), array, f"{where}: {name}")


def run(case: Case) -> Outcome:
    """A session."""
    session = Session(case)
    for _ in range(CALLS):
        session.call()
    session.env.close()
    return Outcome(count=session.calls)


PART = Part(
    name="environment",
    tries="calls of the single environment, with and without wrappers, right and wrong ones, against a literal dialog",
    run=run,
    cases=300,
    small=12,
)
