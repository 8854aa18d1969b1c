"""The control of every gain: a supervised agent that simply trains on."""

from __future__ import annotations

from dataclasses import dataclass, field

from dialog_env.agents.guo2018.supervised import LITERAL, PAPER, BeginsSupervised, Supervised, SupervisedSettings


@dataclass(frozen=True)
class ContinuedSettings(SupervisedSettings):
    """Settings of the training that follows the first one."""

    epochs: int = 20
    learning_rate: float = 1e-4
    pretraining: SupervisedSettings = field(default_factory=SupervisedSettings)
    """How the first weights are trained where no initial ones are given; network and fusion are those of the agent."""


class Continued(BeginsSupervised, Supervised):
    """The dialog network, trained by the triplet loss and then by the same loss once more.

    An agent that begins from supervised weights has made more updates than these. What it gained by its own loss is
    what it has more than this one, which made as many.
    """

    name = "continued"
    Settings = ContinuedSettings
    configurations = {  # noqa: RUF012
        "released": {},
        "literal": {**LITERAL, "pretraining": LITERAL},
        "paper": {**PAPER, "epochs": 6, "drop_after": 0, "pretraining": PAPER},
    }
    settings: ContinuedSettings
