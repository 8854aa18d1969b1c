"""`python -m tools.throughput.answers`: turns a second by the share of the pairs asked whose answers are kept."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import gymnasium
import torch
import tyro
from gymnasium.vector import AutoresetMode
from torch import Tensor
from tqdm import trange

from dialog_env.catalog import load_catalog
from dialog_env.simulators import make_simulator
from dialog_env.world.answers import SWITCH, KeptAnswers
from dialog_env.world.dialog import TURNS
from tools.throughput.dialogs import ENVIRONMENT

SHARES = (0.0, 0.5, 0.75, 1.0)


class Asked:
    """A user whose questions are noted."""

    def __init__(self, user: Any) -> None:
        self.user, self.pairs = user, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.user, name)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """What the user says."""
        self.pairs.append(torch.stack([targets, candidates]))
        said: Tensor = self.user.feedback(targets, candidates, previous)
        return said


def measure(catalog: str = "synthetic", split: str = "test", dialogs: int = 256, repeats: int = 15) -> None:
    """Times five turns of many dialogs under random actions, all cases in turn; medians, and ratios within a repeat.

    Args:
        catalog: name or file of the catalogue.
        split: of the gallery.
        dialogs: held at once.
        repeats: of all cases.
    """
    gallery = load_catalog(catalog).split(split)
    user: Any = make_simulator("captioner", gallery, keep_answers=False)
    user.precompute()
    describer = make_simulator("describer", gallery)
    seconds: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"XDG_CACHE_HOME": folder, SWITCH: "file"}),
    ):
        for repeat in trange(repeats):
            noted = Asked(user)
            _turns(noted, gallery, dialogs, repeat)
            pairs = torch.cat(noted.pairs, dim=1).unique(dim=1)
            pairs = pairs[:, torch.randperm(pairs.shape[1], generator=torch.Generator().manual_seed(repeat))]
            cases = {"captioner, answers not kept": partial(_turns, user, gallery, dialogs, repeat)}
            for share in SHARES:
                cases[f"captioner, {100 * share:.0f}% of the pairs known"] = partial(
                    _known, user, gallery, dialogs, repeat, pairs[:, : round(share * pairs.shape[1])]
                )
            cases["describer"] = partial(_turns, describer, gallery, dialogs, repeat)
            for case, play in cases.items():
                seconds.setdefault(case, []).append(play())
    usual = seconds["captioner, answers not kept"]
    print(f"{gallery!r}, {dialogs} dialogs, {torch.get_num_threads()} threads, median of {repeats}")
    for case, taken in seconds.items():
        ratio = median(long / short for long, short in zip(usual, taken, strict=True))
        print(f"{case:40} {TURNS * dialogs / median(taken):10,.0f} turns/s {ratio:6.2f}x")


def _known(user: Any, gallery: Any, dialogs: int, seed: int, pairs: Tensor) -> float:
    """Seconds of the turns where just these pairs (2, Q) are known."""
    kept = KeptAnswers(user.id, gallery.fingerprint, len(gallery), len(user.vocabulary), type(user).feedback)
    kept.open()
    kept.ask(user.feedback, pairs[0], pairs[1], torch.full_like(pairs[0], -1))
    user.kept_answers = kept
    try:
        return _turns(user, gallery, dialogs, seed)
    finally:
        user.kept_answers = None
        if kept.path is not None:
            with suppress(FileNotFoundError):
                kept.path.unlink()


def _turns(user: Any, gallery: Any, dialogs: int, seed: int) -> float:
    """Seconds of the turns of as many dialogs, without their beginning."""
    mode = AutoresetMode.SAME_STEP
    env: Any = gymnasium.make_vec(ENVIRONMENT, dialogs, catalog=gallery, simulator=user, autoreset_mode=mode)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    actions = [env.action_space.sample() for _ in range(TURNS)]
    started = time.perf_counter()
    for action in actions:
        env.step(action)
    return time.perf_counter() - started


if __name__ == "__main__":
    tyro.cli(measure)
