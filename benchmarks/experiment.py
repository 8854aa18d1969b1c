"""One run: train an agent where it learns, evaluate it by the protocol, keep the result."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.agents.settings import as_told, of_today, settings_from
from dialog_env.benchmarks import results
from dialog_env.benchmarks.provenance import agent_digests, provenance
from dialog_env.benchmarks.results import RESULT, Result, Run, readable
from dialog_env.benchmarks.suites import UNHEARD, Suite
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import protocol
from dialog_env.io.atomic import locked, write_atomically
from dialog_env.io.device import find_device
from dialog_env.io.reading import read_json
from dialog_env.simulators import make_simulator
from dialog_env.simulators.reworded import in_words
from dialog_env.world.hearing import Hearing, hearing
from dialog_env.world.user import UserSimulator, facts_of
from dialog_env.world.vocabulary import Vocabulary

TRAINING = "training.json"


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
    settings: dict[str, Any] = json.loads(json.dumps(as_told(asdict(agent.settings))))
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
    return as_told({**present, **json.loads(json.dumps(asdict(settings)))})


class Experiment:
    """The galleries and users of a suite, opened once, and the runs on them.

    Args:
        suite: what is shared by all runs.
        output: folder of the results.
        device: where everything lives.
        trained: folder of trained agents, under a hash of all they depend on, shared with suites that train the same;
            where None each lies in the folder of its result.

    Raises:
        FileNotFoundError: the files of the suite are not there, or nothing is heard as it says.
        ValueError: the gallery is another than the suite names, or splits are unknown.
    """

    def __init__(self, suite: Suite, output: Path, *, device: str = "cpu", trained: Path | None = None) -> None:
        self.suite, self.output, self.trained = suite, output, trained
        self.device = str(find_device(device))
        with self._hint():
            catalog = load_catalog(suite.catalog)
            learning = catalog if suite.training_catalog is None else load_catalog(suite.training_catalog)
        self.train, self.validation = learning.split(suite.train_split), learning.split(suite.validation_split)
        self.test = catalog.split(suite.test_split)
        self._users: dict[tuple[str, str], UserSimulator] = {}
        self._heard: Hearing | None = None
        self._require("gallery", suite.gallery, self.test.fingerprint)
        self._require("user", suite.user, self._user(self.test, suite.simulator).id)
        if suite.hearing != UNHEARD:  # what cannot be heard by is refused before anything is written
            self._hearing(self.user(self.train).vocabulary)

    @contextmanager
    def _hint(self) -> Iterator[None]:
        """Says how the files of the suite are made where they are not there."""
        try:
            yield
        except FileNotFoundError as error:
            if not self.suite.build:
                raise
            raise FileNotFoundError(
                f"suite {self.suite.name} needs files that are not there ({error}); make them with `{self.suite.build}`"
            ) from error

    def _require(self, what: str, asked: str, found: str) -> None:
        if asked not in ("", found):
            raise ValueError(
                f"suite {self.suite.name} is of {what} {asked}, and this is {found}: results would not be comparable; "
                "use the files that the suite was made with, or write a suite of your own"
            )

    @property
    def learned_from(self) -> str:
        """The user that agents learn from, as it is written."""
        return self.suite.training_simulator or self.suite.simulator

    def user(self, gallery: Catalog) -> UserSimulator:
        """The user simulator for one of the galleries, built when first needed.

        Where agents learn from another user than they are evaluated with, that one is heard in words of theirs.
        """
        if gallery is not self.test:
            return self._user(gallery, self.learned_from)
        user = self._user(gallery, self.suite.simulator)
        if self.suite.training_simulator is None:
            return user
        vocabulary = self.user(self.train).vocabulary
        heard = None if self.suite.hearing == UNHEARD else self._hearing(vocabulary)
        return in_words(user, vocabulary, heard)

    def _hearing(self, vocabulary: Vocabulary) -> Hearing:
        """The hearing of the suite, which remembers what words mean."""
        if self._heard is None:
            self._heard = hearing(self.suite.hearing, vocabulary)
        return self._heard

    def _user(self, gallery: Catalog, name: str) -> UserSimulator:
        key = (gallery.fingerprint, name)
        if key not in self._users:
            with self._hint():
                self._users[key] = make_simulator(name, gallery, device=self.device)
        return self._users[key]

    def agent(self, text: str, seed: int) -> agents.Agent:
        """An untrained agent as written on the command line; ValueError where it cannot be made or used."""
        user = self.user(self.test)
        vocabulary = self.user(self.train).vocabulary
        agent = AgentSpec.parse(text).create(self.train, vocabulary, seed=seed, device=self.device)
        agent.check_user(facts_of(user))
        return agent

    def run(self, text: str, seed: int) -> Result:
        """Trains and evaluates one agent with one seed; a result that is there already is read, not made again.

        Raises:
            ValueError: a result of other settings lies where this one would go.
            OSError: another process runs the same.
        """
        agent = self.agent(text, seed)
        run = self._run_of(agent, text, seed)
        folder = self.output / run.name
        with locked(folder):
            return self._found(run, folder) or self._make(run, agent, self.user(self.test), folder)

    def find(self, text: str, seed: int) -> Result | None:
        """The result of one agent with one seed where there is one; ValueError where it is of other settings."""
        run = self._run_of(self.agent(text, seed), text, seed)
        return self._found(run, self.output / run.name)

    def begins_from(self, text: str, seed: int) -> Path | None:
        """Folder of the trained agent that an agent begins from, made or not; None where it needs none, or no more."""
        agent = self.agent(text, seed)
        if not agent.trainable or (self._training_folder(self._run_of(agent, text, seed)) / TRAINING).exists():
            return None
        return agent.begins_from(self._training_data(agent))

    def pretrain(self, text: str, seed: int) -> None:
        """Trains what an agent begins from; `run` does so too, where it is not there."""
        agent = self.agent(text, seed)
        agent.pretrain(self._training_data(agent))

    def trained_agent(self, text: str, seed: int) -> agents.Agent:
        """An agent that was run, ready to act; FileNotFoundError where it was not."""
        agent = self.agent(text, seed)
        run = self._run_of(agent, text, seed)
        return self._load(agent, self._training_folder(run) / "agent") if agent.trainable else agent

    def _run_of(self, agent: agents.Agent, text: str, seed: int) -> Run:
        return Run(
            agent=AgentSpec.parse(text).text,
            seed=seed,
            catalog=self.suite.catalog,
            split=self.suite.test_split,
            gallery=self.test.fingerprint,
            training_gallery=self.train.fingerprint,
            user=self.suite.simulator,
            simulator=self.user(self.test).id,
            evaluation_seed=self.suite.evaluation_seed,
            turns=self.suite.turns,
            ties=self.suite.ties,
            validation_gallery=self.validation.fingerprint,
            configuration=_settings(agent),
            targets=self.suite.targets,
            training_user=self.suite.training_simulator,
            known_from=str(self.test.provenance.get("from", "")),
        )

    def _make(self, run: Run, agent: agents.Agent, user: UserSimulator, folder: Path) -> Result:
        agent, training = self._trained(run, agent)
        record = protocol.run(
            agent,
            self.test,
            user,
            seed=run.evaluation_seed,
            turns=run.turns,
            ties=run.ties,
            targets=run.targets,
            device=self.device,
            progress=True,
        )
        result = Result(run, record, provenance(self.device), training)
        results.write(result, folder)
        return result

    def _trained(self, run: Run, agent: agents.Agent) -> tuple[agents.Agent, dict[str, Any]]:
        """The agent, trained or as a suite that trains the same has left it, and what its training gave."""
        if not agent.trainable:
            return agent, {}
        folder = self._training_folder(run)
        if self.trained is None:
            return agent, self._train(agent, folder / "agent")
        with locked(folder):
            summary = folder / TRAINING
            if summary.exists():
                training = read_json(summary, dict[str, Any], "summary of a training", f"remove {folder}")
                return self._load(agent, folder / "agent"), training
            training = self._train(agent, folder / "agent")
            write_atomically(summary, json.dumps(training, indent=1).encode())
            return agent, training

    def _training_folder(self, run: Run) -> Path:
        """Where an agent is trained: with its result, or under a hash of all that its training depends on."""
        if self.trained is None:
            return self.output / run.name
        users = [self.user(gallery).id for gallery in (self.train, self.validation)]
        depends = [run.agent, run.seed, run.configuration, run.training_gallery, run.validation_gallery, *users]
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:12]
        return self.trained / f"{readable(run.agent)}_seed{run.seed}_{digest}"

    def _load(self, agent: agents.Agent, folder: Path) -> agents.Agent:
        """The trained agent in a folder, of the class and with the network of one that is not trained."""
        network = type(getattr(agent, "network", None))
        own = network.__module__.partition(".")[0] not in ("builtins", "dialog_env")
        return agents.load(folder, self.device, kind=type(agent), network=network if own else None)

    def _train(self, agent: agents.Agent, folder: Path) -> dict[str, Any]:
        started = time.perf_counter()
        summary = agent.train(self._training_data(agent), folder)
        seconds = round(time.perf_counter() - started, 1)
        return {**summary, "seconds": seconds, "sha256": agent_digests(folder)}

    def _training_data(self, agent: agents.Agent) -> TrainingData:
        train, validation = (
            gallery.apart(attributes=agent.reads_attributes) for gallery in (self.train, self.validation)
        )
        return TrainingData(
            train,
            self.user(self.train),
            validation,
            self.user(self.validation),
            pretrained=(self.output if self.trained is None else self.trained) / "pretrained",
        )

    def _found(self, run: Run, folder: Path) -> Result | None:
        if not (folder / RESULT).exists():
            return None
        found = results.read(folder)
        kind = agents.agent_class(AgentSpec.parse(run.agent).name)
        if replace(found.run, configuration=_as_today(kind.Settings, found.run.configuration)) != run:
            raise ValueError(
                f"{folder} holds a result of other settings; give another --output, or remove that folder to run anew"
            )
        return found
