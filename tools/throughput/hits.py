"""`python -m tools.throughput.hits`: how many of the pairs asked are known while PPO trains, nothing known before."""

from __future__ import annotations

import os
import tempfile
from typing import Any
from unittest import mock

import gymnasium
import numpy as np
import tyro
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from dialog_env.agents.sb3.vec_env import DialogVecEnv
from dialog_env.catalog import load_catalog
from dialog_env.simulators import make_simulator
from dialog_env.world.answers import SWITCH, KeptAnswers
from tools.throughput.dialogs import ENVIRONMENT


class Counted(KeptAnswers):
    """Answers that count how many of the pairs asked they knew."""

    asked = known = 0

    def _look_up(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        tokens, known = super()._look_up(places)
        self.asked, self.known = self.asked + len(known), self.known + int(known.sum())
        return tokens, known


class Rows(BaseCallback):
    """Prints a row of the table whenever so many turns have passed."""

    def __init__(self, kept: Counted, every: int) -> None:
        super().__init__()
        self.kept, self.every, self.before = kept, every, (0, 0)

    def _on_step(self) -> bool:
        if self.num_timesteps // self.every > (self.num_timesteps - self.training_env.num_envs) // self.every:
            asked, known = (
                now - then for now, then in zip((self.kept.asked, self.kept.known), self.before, strict=True)
            )
            whole = self.kept.known / self.kept.asked
            print(f"| {self.num_timesteps:,} | {100 * known / asked:.1f}% | {100 * whole:.1f}% |", flush=True)
            self.before = self.kept.asked, self.kept.known
        return True


def measure(
    turns: int = 1_000_000, every: int = 100_000, dialogs: int = 64, catalog: str = "synthetic", split: str = "train"
) -> None:
    """Trains PPO of Stable-Baselines3, with its own settings but short rollouts, on what the captioner says.

    Args:
        turns: to train for.
        every: so many turns there is a row.
        dialogs: held at once.
        catalog: name or file of the catalogue.
        split: of the gallery.
    """
    gallery = load_catalog(catalog).split(split)
    user: Any = make_simulator("captioner", gallery)
    kept = Counted(user.id, gallery.fingerprint, len(gallery), len(user.vocabulary), type(user).feedback)
    user.kept_answers = kept
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"XDG_CACHE_HOME": folder, SWITCH: "file"}),
    ):
        env: Any = gymnasium.make_vec(
            ENVIRONMENT, dialogs, catalog=gallery, simulator=user, preset="vector", autoreset_mode="SameStep"
        )
        print(f"{gallery!r}, {dialogs} dialogs\n\n| turns | known of those asked since the row before | of all |")
        print("|---|---|---|")
        PPO("MultiInputPolicy", DialogVecEnv(env), n_steps=32, batch_size=256, seed=0, device="cpu").learn(
            turns, Rows(kept, every)
        )


if __name__ == "__main__":
    tyro.cli(measure)
