"""Actions of the right kind in all its forms, and actions of every wrong kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tools.reliability.literal_world import Rules

Random = np.random.Generator


def width(rules: Rules) -> int:
    """Numbers in an action that is a box."""
    return len(rules.features) if rules.action == "score" else len(rules.features[0])


def good(rules: Rules, random: Random) -> int | list[float]:
    """An action as plain numbers, each of them a float32."""
    images = len(rules.features)
    if rules.action == "candidate":
        return int(random.integers(images))
    kind = random.integers(4)
    numbers = random.uniform(-1, 1, width(rules))
    if kind == 0:
        numbers = np.round(numbers)
    elif kind == 1 and rules.action == "query":
        numbers = np.array(rules.features[random.integers(images)], np.float32) / np.float32(rules.bound)
    elif kind == 2:
        numbers[:] = random.choice([-1, 0, 1])
    return [float(number) for number in numbers.astype(np.float32)]


def dressed(action: int | list[float], random: Random) -> Any:
    """The same action in one of the forms in which it may be given."""
    if isinstance(action, int):
        forms = (int, np.int64, np.int32, np.uint8, np.array, torch.tensor)
        return forms[random.integers(len(forms))](action)
    forms_of_boxes: tuple[Any, ...] = (np.float32, np.float64, torch.tensor, list)
    return forms_of_boxes[random.integers(len(forms_of_boxes))](action)


def bad(rules: Rules, random: Random) -> Any:
    """An action that must be refused."""
    images, numbers = len(rules.features), np.zeros(width(rules), np.float32)
    common: list[Any] = [
        None,
        "",
        "red shoes",
        b"\x00",
        {},
        {"action": 0},
        {1, 2},
        object(),
        [[1], [2, 3]],
        [],
        np.zeros((3, 0)),
        np.array("1"),
        np.array([None]),
        np.zeros((2, 2, 2)),
        torch.zeros(2, 2),
        float("nan"),
        float("inf"),
        lambda: 0,
        np.datetime64("2020-01-01"),
        np.zeros(2, dtype=[("a", int)]),
    ]
    if rules.action == "candidate":
        special: list[Any] = [
            images,
            -1,
            -images,
            2**63,
            -(2**63),
            10**40,
            0.0,
            1.5,
            True,
            np.bool_(True),
            1j,
            np.array([0]),
            np.array([0, 1]),
            torch.tensor([0]),
            torch.tensor(0.0),
            torch.tensor(True),
            "0",
            np.uint64(2**63 + 1),
        ]
    else:
        special = [
            0,
            1,
            np.nan * numbers,
            numbers + np.inf,
            numbers - 1.0001,
            numbers + 1e30,
            numbers + 1j,
            numbers.astype(bool),
            torch.zeros(width(rules), dtype=torch.bool),
            torch.zeros(width(rules), dtype=torch.complex64),
            np.zeros(width(rules) + 1, np.float32),
            np.zeros((1, width(rules)), np.float32),
            np.zeros((width(rules), 1), np.float32),
            numbers.astype(str),
            np.full(width(rules), None),
            [10**400] * width(rules),
            torch.full((width(rules),), torch.nan),
        ]
    pool = special if random.random() < 0.6 else common
    return pool[random.integers(len(pool))]


def is_boolean(action: Any) -> bool:
    """Whether an action is made of booleans."""
    return isinstance(action, bool) or str(getattr(action, "dtype", "")).endswith("bool")
