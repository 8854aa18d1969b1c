"""Part `arguments`: one argument of a good call replaced by something else, at every door of the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from dialog_env import agents
from dialog_env.benchmarks.experiment import AgentSpec
from dialog_env.benchmarks.suites import Suite
from dialog_env.catalog import Catalog, Contents, load_catalog
from dialog_env.envs import DialogRetrievalEnv, DialogRetrievalVectorEnv
from dialog_env.envs.wrappers import DialogHistory, DialogHistoryVector, TensorEpisodeStatistics
from dialog_env.evaluate import protocol
from dialog_env.simulators import make_simulator
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, ScoreRanking
from dialog_env.world.vocabulary import Vocabulary
from tools.reliability.cases import Case, Outcome, Part, expect
from tools.reliability.galleries import contents
from tools.reliability.refusals import attempt, require_clear
from tools.reliability.users import TableUser

# fmt: off
TEXTS: tuple[Any, ...] = (
    "", "x", "two\nlines", "y" * 300, "none:none", "synthetic:0", "synthetic:8:-1", "synthetic:99999999999999999999",
    "/nonexistent/file", "\x00", "é", "supervised:epochs=", "supervised@paper:epochs=nan", "random:=", "@", ":",
)
JUNK: tuple[Any, ...] = (
    *TEXTS,
    None, True, -1, 0, 1, 2, 2.5, -0.5, 1e300, float("nan"), float("inf"), 10**30, -(2**63), 1j, b"bytes",
    [], [1], ["features"], (), (1, 2), {}, {"a": 1}, {1: "a"}, {1, 2}, object(), len, int, slice(1), ...,
    np.zeros(3), np.array("text"), np.array(None), np.float32(1.5), np.int64(3), np.bool_(True),
    torch.zeros(2), torch.tensor(1), torch.tensor([True, False]), torch.zeros(2, dtype=torch.complex64),
    Path("/nonexistent/file"), Path("/tmp"), Path("/dev/null"),
)
ARRAYS: tuple[Any, ...] = (
    np.zeros(0), np.zeros((0, 3), np.float32), np.zeros((6, 0), np.float32), np.full((6, 3), np.nan, np.float32),
    np.full((6, 3), np.inf, np.float32), np.full((6, 3), 1e30, np.float32), np.zeros((6, 3), complex),
    np.zeros((6, 3), bool), np.zeros((5, 3), np.float32), np.zeros((6, 3, 2), np.float32), np.arange(6),
    np.array([0, 0]), np.array([-1]), np.array([12]), np.array([1.5]), np.array([[0]]), np.array(["a"] * 6),
    np.array([2**63], np.uint64), np.array([True, False]),
)
TENSORS: tuple[Any, ...] = (
    torch.zeros(3), torch.zeros(3, dtype=torch.int32), torch.zeros(3, dtype=torch.bool),
    torch.zeros(2, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), torch.zeros(3, 1, dtype=torch.int64),
    torch.tensor(0), torch.tensor([0, 1, 12]), torch.tensor([-1, 0, 1]), torch.zeros(3, dtype=torch.complex64),
    torch.zeros(0, dtype=torch.int64),
)
# fmt: on
CALLS = 10
SPELLED = 8
"""So many letters of a value are looked for in a message, which may leave out its middle."""


@dataclass(frozen=True)
class Door:
    """Something that is called, with arguments that are right.

    Args:
        call: with keywords.
        keywords: makes them.
        pool: what may stand in the place of one.
        changed: which may be replaced; all where empty.
        says: words of a message that name what is wrong as well as the keyword or the value does.
        use: what must then work.
    """

    call: Callable[..., Any]
    keywords: Callable[[], dict[str, Any]]
    pool: tuple[Any, ...] = JUNK
    changed: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    use: Callable[[Any, dict[str, Any]], None] = lambda value, keywords: None


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    """A small catalogue in memory."""
    return Catalog(contents(12, 4, 0))


@lru_cache(maxsize=1)
def table_user() -> TableUser:
    """Its user."""
    return TableUser(catalog(), 0)


def environment_keywords() -> dict[str, Any]:
    """Of the single environment."""
    return {
        "catalog": catalog(), "split": "all", "simulator": "describer", "simulator_settings": {"seed": 1},
        "preset": "dialog", "action": "candidate", "observation": "features", "reward": "percentile", "flatten": False,
        "turns": 2, "stop_when_found": False, "reveal_target": False, "device": "cpu", "render_mode": None,
    }  # fmt: skip


def vector_keywords() -> dict[str, Any]:
    """Of the vector environment."""
    more = {"num_envs": 2, "autoreset_mode": "SameStep", "output": "numpy", "max_episode_steps": 3}
    return {**environment_keywords(), **more}


def hold(env: DialogRetrievalEnv, keywords: dict[str, Any]) -> None:
    """A dialog to its end, which must come after as many turns as were asked for."""
    env.action_space.seed(0)
    env.reset(seed=0)
    over, turns = False, 0
    while not over and turns < 20:
        _, _, over, _, _ = env.step(env.action_space.sample())
        turns += 1
    asked = keywords["turns"]
    right = turns == asked or turns == 20 or (keywords["stop_when_found"] and turns < asked)
    expect(bool(right), "wrong", f"turns={asked!r} gave a dialog of {turns} turns")
    env.close()


def hold_many(env: DialogRetrievalVectorEnv, keywords: dict[str, Any]) -> None:
    """Some turns of many dialogs."""
    env.action_space.seed(0)
    env.reset(seed=0)
    env.step(env.action_space.sample())


def world() -> Dialog:
    """Three dialogs that have begun."""
    begun = Dialog(catalog(), table_user())
    begun.reset(torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5]))
    return begun


def single() -> DialogRetrievalEnv:
    """A single environment."""
    return DialogRetrievalEnv(catalog=catalog(), split="all", simulator=table_user())


def vector(output: str) -> DialogRetrievalVectorEnv:
    """A vector environment."""
    return DialogRetrievalVectorEnv(2, catalog=catalog(), split="all", simulator=table_user(), output=output)


def ranking() -> QueryRanking:
    """Two dialogs over the catalogue."""
    features = torch.from_numpy(catalog().features)
    return QueryRanking(features[:2], EmbeddedGallery(features))


def parts() -> dict[str, Any]:
    """Of a catalogue in memory."""
    made = contents(6, 3, 0)
    names = ("name", "ids", "features", "regions", "region_scale", "attributes", "splits", "images", "provenance")
    return {name: getattr(made, name) for name in names}


def made(name: str, **settings: Any) -> Door:
    """`dialog_env.agents.create` of one agent."""
    shared = {"name": name, "seed": 0, "device": "cpu", "configuration": "released", **settings}
    vocabulary = make_simulator("relevance", catalog()).vocabulary
    return Door(
        lambda **given: agents.create(given.pop("name"), dimensions=4, vocabulary=vocabulary, **given),
        lambda: shared,
        says=("no setting", "no agent"),
    )


def evaluation() -> dict[str, Any]:
    """Of `protocol.run`."""
    return {
        "policy": agents.create("random"), "gallery": catalog(), "simulator": table_user(), "seed": 0, "turns": 2,
        "batch": 4, "ties": "half", "device": "cpu", "progress": False,
    }  # fmt: skip


DOORS: dict[str, Door] = {
    "DialogRetrievalEnv": Door(DialogRetrievalEnv, environment_keywords, use=hold),
    "DialogRetrievalVectorEnv": Door(DialogRetrievalVectorEnv, vector_keywords, use=hold_many),
    "make_simulator(describer)": Door(
        make_simulator,
        lambda: {"spec": "describer", "gallery": catalog(), "seed": 0, "device": "cpu"},
        changed=("spec", "seed", "device"),
        says=("simulator",),
    ),
    "make_simulator(captioner)": Door(
        make_simulator,
        lambda: {"spec": "captioner", "gallery": load_catalog("synthetic"), "memory_limit": 1 << 26, "half": False},
        changed=("spec", "memory_limit", "half"),
        says=("simulator",),
    ),
    "create(random)": made("random"),
    "create(supervised)": made(
        "supervised", epochs=1, batch=4, learning_rate=0.1, fusion="sum", margin=0.1, initial=""
    ),
    "create(policy_improvement)": made("policy_improvement", nearest=2, tau=0.2, horizon=1, show="chosen"),
    "create(scst)": made("scst", epochs=1, batch=2),
    "create(rocchio)": made("rocchio", keep=1.0, toward=1.0, away=0.5),
    "create(sb3-ppo)": made("sb3-ppo", total_timesteps=8, n_envs=2, reward="found", hidden=4, gamma=0.5),
    "create(unseen)": made("unseen", inner="random", settings={}),
    "AgentSpec.parse": Door(AgentSpec.parse, lambda: {"text": ""}, TEXTS),
    "Suite": Door(
        Suite, lambda: {"name": "mine", "catalog": "synthetic", "ties": "half"}, TEXTS, changed=("name", "ties")
    ),
    "protocol.run": Door(protocol.run, evaluation, changed=("seed", "turns", "batch", "ties", "device")),
    "catalogs.load": Door(
        load_catalog, lambda: {"name_or_path": ""}, (*TEXTS, Path("/tmp"), Path("/dev/null")), says=("catalogue",)
    ),
    "Catalog.open": Door(
        Catalog.open, lambda: {"path": ""}, (*TEXTS, Path("/tmp"), Path("/dev/null")), says=("catalogue",)
    ),
    "Catalog.take": Door(lambda positions: catalog().take(positions), lambda: {"positions": 0}, ARRAYS),
    "Catalog.split": Door(lambda name: catalog().split(name), lambda: {"name": "train"}, TEXTS, says=("split",)),
    "Catalog.read_regions": Door(lambda positions: catalog().read_regions(positions), lambda: {"positions": 0}, ARRAYS),
    "Contents": Door(Contents, parts, ARRAYS, changed=("ids", "features", "regions"), says=("region", "catalogue")),
    "Contents(splits)": Door(
        Contents, parts, tuple({"train": array} for array in ARRAYS), changed=("splits",), says=("split",)
    ),
    "Vocabulary": Door(
        Vocabulary,
        lambda: {"words": ()},
        ((), ("UNK",), ("a",), ("a", "a", "UNK"), ("a b", "UNK"), ("", "UNK"), ("UNK", "UNK")),
        says=("vocabulary",),
    ),
    "Vocabulary.decode": Door(
        lambda tokens: table_user().vocabulary.decode(tokens), lambda: {"tokens": 0}, ARRAYS, says=("token",)
    ),
    "Dialog": Door(
        Dialog,
        lambda: {
            "gallery": catalog(),
            "simulator": table_user(),
            "turns": 2,
            "stop_when_found": False,
            "device": "cpu",
        },
        changed=("turns", "stop_when_found", "device"),
    ),
    "Dialog.reset": Door(
        lambda **given: world().reset(**given),
        lambda: {"targets": torch.tensor([0, 1, 2]), "candidates": torch.tensor([3, 4, 5]), "where": None},
        TENSORS,
        changed=("targets", "candidates"),
        says=("(3,)", "(2,)", "(B,)"),
    ),
    "Dialog.step": Door(
        lambda **given: world().step(**given),
        lambda: {"ranking": ScoreRanking(torch.zeros(3, 12)), "candidates": torch.tensor([0, 1, 2])},
        TENSORS,
        changed=("candidates",),
    ),
    "Ranking.top": Door(lambda count: ranking().top(count), lambda: {"count": 1}, (0, -1, 13, 10**9)),
    "DialogHistory": Door(
        DialogHistory,
        lambda: {"env": 0},
        (gymnasium.make("CartPole-v1"), vector("numpy")),
        says=("DialogRetrieval-v0",),
    ),
    "DialogHistoryVector": Door(
        DialogHistoryVector,
        lambda: {"env": 0},
        (gymnasium.make_vec("CartPole-v1"), single()),
        says=("DialogRetrieval",),
    ),
    "TensorEpisodeStatistics": Door(
        TensorEpisodeStatistics, lambda: {"env": 0}, (gymnasium.make_vec("CartPole-v1"), vector("numpy"))
    ),
}
"""Name to what is called."""


def run(case: Case) -> Outcome:
    """Ten calls through one door."""
    names = list(DOORS)
    name = names[case.number % len(names)]
    door = DOORS[name]
    for _ in range(CALLS):
        keywords = dict(door.keywords())
        changed = str(case.random.choice(door.changed or list(keywords)))
        junk = door.pool[case.random.integers(len(door.pool))]
        what = f"{name}({changed}={junk!r})"
        keywords[changed] = junk
        answer = attempt(door.call, **keywords)
        if answer.error is None:
            answer = attempt(door.use, answer.value, keywords)
        if answer.error is not None:
            require_clear(answer.error, [changed.replace("_", " "), changed, *door.says, *spellings(junk)], what)
    return Outcome(count=CALLS)


def spellings(junk: Any) -> list[str]:
    """How a message may name a value."""
    texts = [repr(junk), str(junk), type(junk).__name__]
    return [text.strip("'\"")[:SPELLED] or "''" for text in texts]


PART = Part(
    name="arguments",
    tries="one argument replaced by something else, in the calls that make environments, users, agents, galleries, …",
    run=run,
    cases=660,
    small=66,
)
