"""What is kept of the comparison in one JSON: every run with its scores, without its dialogs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dialog_env.benchmarks.paper.arms import ARMS, Arm
from dialog_env.benchmarks.results import Result, Run
from dialog_env.evaluate.metrics import Values
from dialog_env.io.atomic import write_atomically
from dialog_env.io.reading import EXACT, read_json

FILE = "results.json"


@dataclass(frozen=True)
class Scores:
    """A run and its scores.

    Args:
        arm: the label of the line in which it stands.
        run: what was run.
        images: size of the gallery.
        dialogs: how many were held.
        scores: each metric over all dialogs: a list over turns, or a number for those that judge a whole dialog.
        training: what training said of itself; `gain` is by how much a look-ahead found better than the nearest.
        provenance: where it comes from.
    """

    __pydantic_config__ = EXACT

    arm: str
    run: Run
    images: int
    dialogs: int
    scores: dict[str, list[float] | float]
    training: dict[str, Any]
    provenance: dict[str, Any]

    @classmethod
    def of(cls, arm: Arm, result: Result) -> Scores:
        """Those of a result; what each epoch of the training did is left out."""
        training = {name: value for name, value in result.training.items() if name != "history"}
        gains = [row["gain"] for row in result.training.get("history", []) if "gain" in row]
        if gains:
            training["gain"] = round(float(np.mean(gains)), 4)
        return cls(arm.label, result.run, result.images, result.dialogs, result.scores(), training, result.provenance)

    @property
    def targets(self) -> None:
        """None: there are no values by dialog."""

    @property
    def metrics(self) -> Collection[str]:
        """Names of those that there are scores of."""
        return self.scores

    def values(self, metric: str) -> Values:
        """(1, T) or (1,) scores of a metric."""
        return np.array([self.scores[metric]])


def write(results: Mapping[Arm, Sequence[Result]], output: Path) -> dict[Arm, list[Scores]]:
    """Writes the scores of all results into a folder, and returns them."""
    scores = {arm: [Scores.of(arm, result) for result in group] for arm, group in results.items()}
    content = [asdict(each) for group in scores.values() for each in group]
    write_atomically(output / FILE, json.dumps(content, indent=1).encode())
    return scores


def read(output: Path) -> dict[Arm, list[Scores]]:
    """The scores in a folder.

    Raises:
        FileNotFoundError: there are none.
        ValueError: something else lies there, or scores of an arm that is not known.
    """
    remedy = "run `dialog-retrieval benchmark paper` first"
    arms = {arm.label: arm for arm in ARMS}
    scores: dict[Arm, list[Scores]] = {}
    for each in read_json(output / FILE, list[Scores], "scores of the comparison with the paper", remedy):
        if each.arm not in arms:
            raise ValueError(f"{output / FILE} has scores of {each.arm!r}, which is not among those compared; {remedy}")
        scores.setdefault(arms[each.arm], []).append(each)
    if not scores:
        raise ValueError(f"{output / FILE} has no scores; {remedy}")
    return scores
