"""Training with Stable-Baselines3: dialogs to learn from, validation, and the numbers it logs.

TensorBoard, in `<folder>/tensorboard`, over the number of turns taken in training: what Stable-Baselines3 logs
(`train/*`, `rollout/ep_rew_mean`, `time/fps`), and

    charts/validation           mean percentile over the turns of one dialog for every validation image
    charts/validation_last      the same at the last turn

The weights at the start are judged too (step 0), so that no training ends worse on validation than it began.
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from tqdm import tqdm

from dialog_env import agents
from dialog_env.agents.base import AGENT_FILE, Agent, TrainingData
from dialog_env.agents.sb3.seeding import restored_global_generators
from dialog_env.agents.settings import of_today
from dialog_env.agents.training.validation import validate
from dialog_env.io.atomic import locked, signed, write_atomically
from dialog_env.io.reading import JSON_BYTES, parse_signed, read_bytes
from dialog_env.world.vocabulary import Vocabulary

TRAINING_FILE = "training.json"


class Trainee(Agent):
    """What the training has to know of an agent.

    Attributes:
        model: the algorithm of Stable-Baselines3, with its networks.
        trained: how it came to be, for the records.
    """

    model: BaseAlgorithm
    vocabulary: Vocabulary
    trained: dict[str, Any]

    @abstractmethod
    def prepare_training(self, training_data: TrainingData) -> None:
        """Makes the model ready to learn from dialogs in the training gallery."""


@dataclass(frozen=True)
class Finished:
    """What is kept of a training that came to its end.

    Args:
        identity: what makes two trainings the same.
        summary: what `learn` gives.
    """

    identity: dict[str, Any]
    summary: dict[str, Any]


class Validation(BaseCallback):
    """Holds a dialog for every validation image from time to time, and saves the agent where it is better than before.

    Args:
        agent: the one that is trained.
        training_data: with the validation gallery.
        folder: where the agent is saved.
        progress: shows a progress bar.
    """

    def __init__(self, agent: Trainee, training_data: TrainingData, folder: Path, progress: bool) -> None:
        super().__init__()
        self.agent, self.training_data, self.folder = agent, training_data, folder
        self.history: list[dict[str, float]] = []
        self.best = float("-inf")
        self.bar = tqdm(total=agent.settings.total_timesteps, desc=agent.name, unit="turns", disable=not progress)

    def _on_training_start(self) -> None:
        self.validate()

    def _on_step(self) -> bool:
        self.bar.update(self.training_env.num_envs)
        settings = self.agent.settings
        if self.num_timesteps >= len(self.history) * settings.total_timesteps / settings.evaluations:
            self.validate()
        return True

    def validate(self) -> None:
        """One dialog for every validation image."""
        judged = validate(self.agent, self.training_data, self.agent.settings.turns)
        row = {"step": self.num_timesteps, **judged}
        self.history.append(row)
        for name in ("validation", "validation_last"):
            self.logger.record(f"charts/{name}", row[name])
        self.logger.dump(self.num_timesteps)
        self.bar.set_postfix(validation=f"{row['validation']:.2f}")
        if row["validation"] > self.best:
            self.best = row["validation"]
            self.agent.trained = {**self.agent.trained, "step": self.num_timesteps, "validation": self.best}
            self.agent.save(self.folder)


def learn(agent: Trainee, training_data: TrainingData, folder: Path, *, progress: bool) -> dict[str, Any]:
    """Trains an agent to the end; see `SB3Agent.train`. OSError where another process trains in the folder."""
    facts = identity(agent, training_data)
    with locked(folder):
        done = _done(folder / TRAINING_FILE, facts, agent.Settings)
        if done is None:
            done = _learn(agent, training_data, folder, facts, progress)
            content = json.dumps(signed({"identity": facts, "summary": done}), indent=1)
            write_atomically(folder / TRAINING_FILE, content.encode())
        best = agents.load(folder, agent.device, kind=type(agent))
    assert isinstance(best, type(agent))
    _refuse_other(folder / AGENT_FILE, best.trained, facts)
    agent.model, agent.trained = best.model, best.trained
    return done


def _learn(
    agent: Trainee, training_data: TrainingData, folder: Path, facts: dict[str, Any], progress: bool
) -> dict[str, Any]:
    started = time.perf_counter()
    agent.trained = facts
    with restored_global_generators(agent.device):
        agent.prepare_training(training_data)
        agent.model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"]))
        validation = Validation(agent, training_data, folder, progress)
        with validation.bar:
            agent.model.learn(agent.settings.total_timesteps, callback=validation)
            if validation.history[-1]["step"] < agent.model.num_timesteps:
                validation.validate()
        agent.model.logger.close()
    return {
        "epochs": agent.settings.evaluations,
        "updates": int(getattr(agent.model, "_n_updates", 0)),
        "steps": agent.model.num_timesteps,
        "seconds": time.perf_counter() - started,
        "best_validation_percentile": validation.best,
        "history": validation.history,
    }


def identity(agent: Trainee, training_data: TrainingData) -> dict[str, Any]:
    """What makes two trainings the same."""
    return {
        "agent": agent.name,
        "settings": asdict(agent.settings),
        "seed": agent.seed,
        "vocabulary": agent.vocabulary.fingerprint,
        "catalogue": training_data.gallery.fingerprint,
        "simulator": training_data.simulator.id,
        "validation catalogue": training_data.validation_gallery.fingerprint,
        "validation simulator": training_data.validation_simulator.id,
    }


def _done(path: Path, facts: dict[str, Any], kind: type[Any]) -> dict[str, Any] | None:
    """The summary of the same training, if it was finished; ValueError where it was another."""
    if not path.exists():
        return None
    remedy = "give another folder, or remove this one to train anew"
    content = read_bytes(path, "training", remedy, limit=JSON_BYTES)
    found = parse_signed(content, Finished, str(path), "training", remedy)
    known = {**found.identity, "settings": of_today(kind, found.identity["settings"])}
    _refuse_other(path, known, facts)
    return found.summary


def _refuse_other(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """ValueError where a file is of a training with another identity."""
    for key, value in json.loads(json.dumps(ours)).items():
        if theirs.get(key) != value:
            raise ValueError(
                f"{path} is of a training with {key} {theirs.get(key)!r} and this one has {value!r}; "
                "give another folder, or the same as then"
            )
