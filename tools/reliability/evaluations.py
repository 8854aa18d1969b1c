"""Part `evaluations`: the protocol with agents of known scores against literal dialogs, and what is kept of it."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dialog_env import agents
from dialog_env.agents import Agent
from dialog_env.benchmarks import results
from dialog_env.benchmarks.results import Result, Run
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.envs import DialogRetrievalEnv
from dialog_env.evaluate import protocol
from dialog_env.evaluate.logs import log_of, read_log
from dialog_env.evaluate.protocol import Record
from dialog_env.simulators import make_simulator
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking, ScoreRanking
from dialog_env.world.user import UserSimulator
from tools.reliability import materials
from tools.reliability.cases import Case, Outcome, Part, expect, fail
from tools.reliability.galleries import KINDS, gallery
from tools.reliability.literal_world import best, query_costs, score_costs, target_rank
from tools.reliability.refusals import attempt, require_clear
from tools.reliability.setups import draw_user

LEVELS = 5


class KnownAgent(Agent):
    """Ranks by scores, or by the distance to a query, that depend on the image shown and the turn alone.

    Attributes:
        breaks: the turn, from 0, at which the scores of half of the images are not finite.
        value: what they are then.
    """

    name = "known"

    def __init__(self, seed: int, scores: bool, breaks: int = -1, value: float = float("nan")) -> None:
        super().__init__(seed=seed)
        self.scores, self.breaks, self.value = scores, breaks, value

    def bind(self, gallery: Catalog) -> None:
        """Takes the features."""
        self.features = torch.from_numpy(np.array(gallery.features))

    def rank(self, observation: Any, memory: Any) -> tuple[Ranking, Any]:
        """By the numbers of each dialog."""
        pairs = zip(observation.candidate.tolist(), observation.turn.tolist(), strict=True)
        width = len(self.features) if self.scores else self.features.shape[1]
        numbers = torch.tensor([known_numbers(self.seed, *pair, width) for pair in pairs])
        if self.breaks >= 0:
            numbers[observation.turn == self.breaks, : (width + 1) // 2] = self.value
        if self.scores:
            return ScoreRanking(numbers), None
        return QueryRanking(numbers, EmbeddedGallery(self.features)), None


def known_numbers(seed: int, candidate: int, turn: int, count: int) -> list[float]:
    """Float32 numbers with many that are equal."""
    digest = hashlib.sha256(f"{seed}:{candidate}:{turn}".encode()).digest()
    return [(digest[place % 32] % LEVELS) / 4 - 0.5 for place in range(count)]


def check_record(record: Record, agent: KnownAgent, features: list[list[float]]) -> None:
    """Holds every dialog of a record again, literally."""
    images = len(features)
    expect(sorted(record.target.tolist()) == list(range(images)), "wrong", f"targets {record.target.tolist()}")
    for row, target in enumerate(record.target.tolist()):
        shown = record.shown[row].tolist()
        expect(shown[0] != target, "wrong", f"dialog {row} begins at its target")
        places = [target_rank(query_costs(features[shown[0]], features), target)]
        expected = shown[:1]
        for turn in range(len(shown) - 1):
            numbers = known_numbers(agent.seed, expected[-1], turn, images if agent.scores else len(features[0]))
            costs = score_costs(numbers) if agent.scores else query_costs(numbers, features)
            places.append(target_rank(costs, target))
            expected.append(best(costs))
        expect(shown == expected, "wrong", f"dialog {row} showed {shown}, must be {expected}")
        found = list(zip(record.closer[row].tolist(), record.equal[row].tolist(), strict=True))
        expect(found == places, "wrong", f"dialog {row}: standings {found}, must be {places}")


def same_record(first: Record, second: Record, what: str) -> None:
    """Ends the case unless two records are equal."""
    for field in fields(Record):
        expect(
            bool(np.array_equal(getattr(first, field.name), getattr(second, field.name))),
            "wrong",
            f"{what}: {field.name} differs",
        )


def known_agents(case: Case) -> Outcome:
    """An evaluation in two batch sizes, the order of its targets, costs that are not finite, log and result."""
    random = case.random
    known = gallery(str(random.choice(KINDS)), int(random.integers(12)))
    user, _ = draw_user(known, random, case.number, breakable=False)
    seed, turns = int(random.integers(1000)), int(random.integers(1, 6))
    agent = KnownAgent(seed, bool(random.random() < 0.5))
    ties = str(random.choice(["half", "strict"]))

    def evaluate(policy: Agent, batch: int = 512) -> Record:
        return protocol.run(policy, known.gallery, user, seed=seed, turns=turns, batch=batch, ties=ties)

    record = evaluate(agent)
    check_record(record, agent, known.features)
    same_record(evaluate(agent, batch=int(random.integers(1, 4))), record, "another batch")
    other = evaluate(KnownAgent(seed + 1, agent.scores))
    alike = np.array_equal(other.target, record.target) and np.array_equal(other.shown[:, 0], record.shown[:, 0])
    expect(alike, "wrong", "another agent met other targets or first candidates")
    if len(known.features) > 7:
        in_order = np.array_equal(record.target, np.arange(len(record.target)))
        expect(not in_order, "wrong", "dialog i has target i")
    broken = KnownAgent(
        seed, agent.scores, int(random.integers(turns)), float(random.choice([np.nan, np.inf, -np.inf]))
    )
    answer = attempt(evaluate, broken)
    if answer.error is None:
        fail("wrong", f"scores of {broken.value} at turn {broken.breaks + 1} were ranked")
    require_clear(answer.error, [broken.name], f"scores of {broken.value}")
    check_files(record, known.gallery, user, case.folder, seed)
    return Outcome(count=6)


def check_files(record: Record, gallery: Catalog, user: UserSimulator, folder: Path, seed: int) -> None:
    """What is written of an evaluation is read back as it was."""
    log = log_of(record, gallery, user, agent="known", seed=seed)
    log.write(folder / "log.jsonl")
    back = read_log(folder / "log.jsonl")
    for field in fields(type(log)):
        equal = np.array_equal(getattr(log, field.name), getattr(back, field.name))
        expect(equal, "wrong", f"the log's {field.name} is read back as something else")
    targets, shown = back.positions(gallery)
    expect(np.array_equal(targets, record.target), "wrong", "targets of the log")
    expect(np.array_equal(shown, record.shown), "wrong", "images of the log")
    run = materials.some_run(gallery, user, record, seed)
    result = Result(run, record, {"time": "now"}, {"epochs": 1})
    results.write(result, folder / "result")
    read = results.read(folder / "result")
    same_record(read.record, record, "the result read back")
    expect(read.run == run and isinstance(read.run, Run), "wrong", "the run is read back as another one")


def captioner_goes_on(case: Case) -> Outcome:
    """The default user speaks as before after an evaluation, in old and in new environments."""
    catalog = load_catalog(case.materials / materials.DRAWN)
    gallery, seed = catalog.split("train"), int(case.random.integers(1000))

    def speak(env: DialogRetrievalEnv) -> list[str]:
        sentences = [env.reset(seed=seed)[1]["sentence"]]
        return sentences + [env.step(position)[4]["sentence"] for position in range(4)]

    env = DialogRetrievalEnv(catalog=gallery, simulator="captioner")
    before = speak(env)
    agent = agents.create("random", seed=seed)
    for evaluated in (env.simulator, make_simulator("captioner", gallery)):
        record = protocol.run(agent, gallery, evaluated, seed=seed)
        log_of(record, gallery, evaluated, agent="random", seed=seed)
    for each in (env, DialogRetrievalEnv(catalog=gallery, simulator="captioner")):
        said = speak(each)
        expect(said == before, "wrong", f"after an evaluation the user says {said}, before it {before}")
    return Outcome(count=3)


def run(case: Case) -> Outcome:
    """An evaluation."""
    return captioner_goes_on(case) if case.number % 10 == 9 else known_agents(case)


PART = Part(
    name="evaluations",
    tries="the protocol with agents of known scores, ties and scores that are not finite; logs and results read back",
    run=run,
    prepare=lambda folder: materials.make(folder, materials.DRAWN),
    cases=150,
    small=10,
)
