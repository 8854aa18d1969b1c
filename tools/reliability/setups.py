"""Random environments, each with the literal dialog that says what it must do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.simulators import make_simulator
from dialog_env.world.user import UserSimulator
from tools.reliability.cases import Case, expect
from tools.reliability.galleries import KINDS, Known, gallery
from tools.reliability.literal_world import Answers, LiteralDialog, Rules
from tools.reliability.users import TableUser, asked_alone, relevance_answers

GALLERIES = 12
"""Galleries of each kind, so that a worker meets each of them often."""
NAMED_USERS = ("describer", "attributes:2", "relative:2")


@dataclass(frozen=True)
class Setup:
    """What an environment is made with, and what is known of it.

    Args:
        known: the gallery.
        rules: for the literal dialog.
        user: answers in the environment.
        keywords: of the environment.
        reveal: whether it puts target and rank into its info.
        pixels: whether it observes pictures.
    """

    known: Known
    rules: Rules
    user: UserSimulator
    keywords: dict[str, Any]
    reveal: bool
    pixels: bool

    def check(self, observation: dict[str, Any], dialog: LiteralDialog, where: str) -> None:
        """Compares one observation of an environment without wrappers."""
        expect(sorted(observation) == ["feedback", "image", "turn"], "wrong", f"{where}: parts {sorted(observation)}")
        image, feedback = np.asarray(observation["image"]), np.asarray(observation["feedback"])
        same(image, self.image(dialog.shown[-1]), f"{where}: image")
        same(feedback, np.array(dialog.feedback()), f"{where}: feedback")
        same(np.asarray(observation["turn"]), np.array(dialog.turn), f"{where}: turn")

    def image(self, position: int) -> NDArray[Any]:
        """What is observed of an image."""
        if self.pixels:
            return self.known.pictures[position]
        return np.array(self.known.features[position], np.float32)

    def check_info(self, info: dict[str, Any], dialog: LiteralDialog, where: str) -> None:
        """Compares the info of one dialog."""
        words = self.user.vocabulary.words
        expected = {
            "sentence": " ".join(words[token - 1] for token in dialog.said[-1]),
            "candidate": dialog.shown[-1],
            "id": self.known.ids[dialog.shown[-1]],
        }
        if self.reveal:
            expected |= {"target": dialog.target, "rank": dialog.rank}
        found = {name: value for name, value in info.items() if not name.startswith("_")}
        expect(found == expected, "wrong", f"{where}: info {found} is not {expected}")


def same(found: NDArray[Any], expected: NDArray[Any], where: str) -> None:
    """Ends the case unless two arrays are equal."""
    equal = found.shape == expected.shape and bool((found == expected).all())
    expect(equal, "wrong", f"{where} is {found.tolist()} and must be {expected.tolist()}")


def close(found: float, expected: float, where: str) -> None:
    """Ends the case unless two numbers are equal but for float32 rounding."""
    tolerance = 1e-5 * max(1.0, abs(expected))
    expect(abs(found - expected) <= tolerance, "wrong", f"{where} is {found} and must be {expected}")


def draw_setup(case: Case, *, breakable: bool = False) -> Setup:
    """A random environment; its user can be told to break down if `breakable`."""
    random = case.random
    kind = str(random.choice(KINDS))
    number = int(random.integers(GALLERIES)) + 1000 * case.seed
    known = gallery(kind, number)
    user, answers = draw_user(known, random, number, breakable=breakable)
    pixels, reveal = bool(random.random() < 0.2), bool(random.random() < 0.5)
    rules = Rules(
        features=known.features,
        answers=answers,
        action=str(random.choice(["candidate", "query", "score"])),
        reward=str(random.choice(["percentile", "change", "log_rank", "found"])),
        turns=int(random.integers(1, 7)),
        stop_when_found=bool(random.random() < 0.5),
    )
    keywords = {
        "catalog": known.gallery,
        "split": "all",
        "simulator": user,
        "action": rules.action,
        "observation": "pixels" if pixels else "features",
        "reward": rules.reward,
        "turns": rules.turns,
        "stop_when_found": rules.stop_when_found,
        "reveal_target": reveal,
    }
    return Setup(known, rules, user, keywords, reveal, pixels)


def draw_user(
    known: Known, random: np.random.Generator, seed: int, *, breakable: bool
) -> tuple[UserSimulator, Answers]:
    """A user, and what it must say."""
    if breakable or random.random() < 0.5:
        table = TableUser(known.gallery, seed)
        return table, table.answers()
    if random.random() < 0.3:
        return make_simulator("relevance", known.gallery), relevance_answers(known.features)
    name = str(random.choice(NAMED_USERS))
    return make_simulator(name, known.gallery), asked_alone(lambda: make_simulator(name, known.gallery))


def beginning(info: dict[str, Any], where: str, options: dict[str, Any], images: int) -> tuple[int, int]:
    """Target and first candidate that a twin with a revealed target drew, checked against what was asked for."""
    target, candidate = int(info["target"]), int(info["candidate"])
    asked = {name: int(value) for name, value in options.items()}
    expect(target != candidate, "wrong", f"{where}: target {target} is the first candidate")
    expect(0 <= target < images and 0 <= candidate < images, "wrong", f"{where}: {target}, {candidate}")
    drawn = {"target": target, "candidate": candidate}
    expect({**drawn, **asked} == drawn, "wrong", f"{where}: options {asked} gave {drawn}")
    return target, candidate
