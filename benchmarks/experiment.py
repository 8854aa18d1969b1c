"""One run: train an agent where it learns, evaluate it by the protocol, keep the result."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.agents.settings import of_today, settings_from
from dialog_env.benchmarks import results
from dialog_env.benchmarks.provenance import agent_digests, provenance
from dialog_env.benchmarks.results import RESULT, Result, Run
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import protocol
from dialog_env.io.atomic import locked
from dialog_env.io.device import find_device
from dialog_env.simulators import make_simulator
from dialog_env.world.dialog import TURNS
from dialog_env.world.user import UserSimulator, facts_of
from dialog_env.world.vocabulary import Vocabulary


@dataclass(frozen=True)
class AgentSpec:
    """An agent as written on the command line: `name`, `name@configuration`, `name:setting=value,…`."""

    text: str
    name: str
    configuration: str
    settings: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> AgentSpec:
        """ValueError where the text is something else."""
        spec = agents.AGENTS.parse(text)
        if spec.argument:
            raise ValueError(
                f"agent {text!r} is not understood; write name, name@configuration or name:setting=value,…"
            )
        return cls(text, spec.name, spec.configuration or "released", spec.settings)

    def create(self, gallery: Catalog, vocabulary: Vocabulary, *, seed: int = 0, device: str = "cpu") -> agents.Agent:
        """The agent, untrained; see `dialog_env.agents.create`."""
        return agents.create(
            self.name,
            gallery=gallery,
            vocabulary=vocabulary,
            seed=seed,
            device=device,
            configuration=self.configuration,
            **self.settings,
        )


def _settings(agent: agents.Agent) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(asdict(agent.settings)))
    for key, part in (("source", agent), ("network source", getattr(agent, "network", None))):
        source = None if part is None else inspect.getsourcefile(type(part))
        if source is not None and not type(part).__module__.startswith("dialog_env."):
            settings[key] = hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]
    if protocol.declared(agent):
        settings["declared"] = protocol.declared(agent)
    return settings


def _as_today(kind: type[Any], configuration: dict[str, Any]) -> dict[str, Any]:
    """What a result says of an agent's settings; one that it lacks had the default then."""
    present = of_today(kind, configuration)
    known = {each.name for each in fields(kind)}
    settings = settings_from(kind, {name: value for name, value in present.items() if name in known})
    return {**present, **json.loads(json.dumps(asdict(settings)))}


@dataclass(frozen=True)
class BenchmarkSettings:
    """What all agents of a benchmark share.

    Args:
        catalog: name or file.
        simulator: the user.
        output: folder of the results.
        train_split, validation_split, test_split: galleries to learn on, to choose the best epoch by, to evaluate on.
        evaluation_seed: draws the first candidates of the evaluation.
        turns: T.
        device: where everything lives.
        ties: "half" or "strict".
        targets: how many images are targets of the evaluation, a sample; None for all.
    """

    catalog: str
    simulator: str
    output: Path
    train_split: str = "train"
    validation_split: str = "validation"
    test_split: str = "test"
    evaluation_seed: int = 0
    turns: int = TURNS
    device: str = "cpu"
    ties: str = "half"
    targets: int | None = None

    def __post_init__(self) -> None:
        if self.ties not in ("half", "strict"):
            raise ValueError(f"ties={self.ties!r} is not known; choose half or strict")
        object.__setattr__(self, "device", str(find_device(self.device)))


class Experiment:
    """The galleries and users of a setting, opened once, and the runs on them."""

    def __init__(self, settings: BenchmarkSettings) -> None:
        self.settings = settings
        catalog = load_catalog(settings.catalog)
        self.train, self.validation, self.test = (
            catalog.split(name) for name in (settings.train_split, settings.validation_split, settings.test_split)
        )
        self._users: dict[str, UserSimulator] = {}

    def user(self, gallery: Catalog) -> UserSimulator:
        """The user simulator for one of the galleries, built when first needed."""
        key = gallery.fingerprint
        if key not in self._users:
            self._users[key] = make_simulator(self.settings.simulator, gallery, device=self.settings.device)
        return self._users[key]

    def agent(self, text: str, seed: int) -> agents.Agent:
        """An untrained agent as written on the command line; ValueError where it cannot be made or used."""
        user = self.user(self.test)
        agent = AgentSpec.parse(text).create(self.train, user.vocabulary, seed=seed, device=self.settings.device)
        agent.check_user(facts_of(user))
        return agent

    def run(self, text: str, seed: int) -> Result:
        """Trains and evaluates one agent with one seed; a result that is there already is read, not made again.

        Raises:
            ValueError: a result of other settings lies where this one would go.
            OSError: another process runs the same.
        """
        agent, spec = self.agent(text, seed), AgentSpec.parse(text)
        user = self.user(self.test)
        run = Run(
            agent=spec.text,
            seed=seed,
            catalog=self.settings.catalog,
            split=self.settings.test_split,
            gallery=self.test.fingerprint,
            training_gallery=self.train.fingerprint,
            user=self.settings.simulator,
            simulator=user.id,
            evaluation_seed=self.settings.evaluation_seed,
            turns=self.settings.turns,
            ties=self.settings.ties,
            validation_gallery=self.validation.fingerprint,
            configuration=_settings(agent),
            targets=self.settings.targets,
        )
        folder = self.settings.output / run.name
        with locked(folder):
            if (folder / RESULT).exists():
                return self._reuse(run, folder)
            return self._make(run, agent, user, folder)

    def _make(self, run: Run, agent: agents.Agent, user: UserSimulator, folder: Path) -> Result:
        training = self._train(agent, folder)
        record = protocol.run(
            agent,
            self.test,
            user,
            seed=run.evaluation_seed,
            turns=run.turns,
            ties=self.settings.ties,
            targets=self.settings.targets,
            device=self.settings.device,
            progress=True,
        )
        result = Result(run, record, provenance(self.settings.device), training)
        results.write(result, folder)
        return result

    def _train(self, agent: agents.Agent, folder: Path) -> dict[str, Any]:
        if not agent.trainable:
            return {}
        started = time.perf_counter()
        train, validation = (
            gallery.apart(attributes=agent.reads_attributes) for gallery in (self.train, self.validation)
        )
        training_data = TrainingData(
            train,
            self.user(self.train),
            validation,
            self.user(self.validation),
            pretrained=self.settings.output / "pretrained",
        )
        summary = agent.train(training_data, folder / "agent")
        seconds = round(time.perf_counter() - started, 1)
        return {**summary, "seconds": seconds, "sha256": agent_digests(folder / "agent")}

    def _reuse(self, run: Run, folder: Path) -> Result:
        found = results.read(folder)
        kind = agents.agent_class(AgentSpec.parse(run.agent).name)
        if replace(found.run, configuration=_as_today(kind.Settings, found.run.configuration)) != run:
            raise ValueError(
                f"{folder} holds a result of other settings; give another --output, or remove that folder to run anew"
            )
        print(f"{run.name}: already there, not run again")
        return found
