"""Settings of agents: dataclasses from dictionaries, their types checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from dialog_env.agents.guo2018.policy_improvement import PolicyImprovementSettings
from dialog_env.agents.guo2018.supervised import SupervisedSettings
from dialog_env.agents.settings import settings_from


@dataclass(frozen=True)
class Odd:
    where: torch.device = field(default_factory=lambda: torch.device("cpu"))


def test_settings_are_those_given_and_the_defaults() -> None:
    assert settings_from(SupervisedSettings, {}) == SupervisedSettings()
    made = settings_from(SupervisedSettings, {"epochs": np.int64(3), "learning_rate": 1, "fusion": "concatenation"})
    assert made == SupervisedSettings(epochs=3, learning_rate=1.0, fusion="concatenation")
    nested = {"pretraining": {"epochs": 2}}
    assert settings_from(PolicyImprovementSettings, nested) == PolicyImprovementSettings(
        pretraining=SupervisedSettings(epochs=2)
    )
    given = {"pretraining": SupervisedSettings(epochs=2)}
    assert settings_from(PolicyImprovementSettings, given) == PolicyImprovementSettings(
        pretraining=SupervisedSettings(epochs=2)
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"epoch": 3}, "no setting 'epoch'; known are epochs"),
        ({"pretraining": {"epoch": 3}}, "no setting 'epoch'"),
        ({"epochs": -1}, "epochs is -1; give 0 or more"),
        ({"pretraining": {"epochs": -1}}, "epochs is -1"),
        ({"epochs": "3"}, "epochs: Input should be a valid integer, and it is '3'"),
        ({"epochs": 2.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"epochs": None}, "epochs"),
        ({"epochs": [3]}, "epochs"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"pretraining": 5}, "pretraining"),
        ({"epochs": torch.ones(1)}, "is no number, text, list or dictionary"),
        ({"epochs": object}, "is no number, text, list or dictionary"),
    ],
)
def test_settings_of_other_names_types_and_ranges_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        settings_from(PolicyImprovementSettings, settings)


def test_a_dataclass_that_no_file_can_fill_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Odd cannot be filled .*give its fields built-in types$"):
        settings_from(Odd, {})
