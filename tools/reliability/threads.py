"""Part `threads`: eight threads with environments and users of one process say and pay what one alone would."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dialog_env import agents
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.envs import DialogRetrievalEnv, DialogRetrievalVectorEnv
from dialog_env.evaluate import protocol
from tools.reliability import materials
from tools.reliability.cases import Case, Outcome, Part, expect
from tools.reliability.kinds import comparable

THREADS = 8
USERS = ("captioner", "captioner", "describer", "attributes:2", "relative:2", "relevance")


def single(gallery: Catalog, user: str, seed: int) -> Any:
    """All that some dialogs of a single environment gave."""
    env = DialogRetrievalEnv(catalog=gallery, simulator=user, action="query", reveal_target=True)
    env.action_space.seed(seed)
    results: list[Any] = []
    for number in range(4):
        results.append(env.reset(seed=100 * seed + number))
        results += [env.step(env.action_space.sample()) for _ in range(5)]
    return results


def many(gallery: Catalog, user: str, seed: int) -> Any:
    """All that some steps of a vector environment gave."""
    env = DialogRetrievalVectorEnv(
        16, catalog=gallery, simulator=user, output="torch", reveal_target=True, autoreset_mode="SameStep"
    )
    random = np.random.default_rng(seed)
    results: list[Any] = [env.reset(seed=seed)]
    results += [env.step(random.integers(0, len(gallery), 16)) for _ in range(8)]
    return results


def evaluation(gallery: Catalog, user: str, seed: int) -> Any:
    """A record of the protocol with the user of the environments."""
    env = DialogRetrievalEnv(catalog=gallery, simulator=user)
    return protocol.run(agents.create("random", seed=seed), gallery, env.simulator, seed=seed, batch=7)


KINDS: tuple[Callable[[Catalog, str, int], Any], ...] = (single, many, evaluation)


def run(case: Case) -> Outcome:
    """The same work by eight threads at once, and by one after the other."""
    random = case.random
    gallery = load_catalog(case.materials / materials.DRAWN).split("train")
    works = [
        (KINDS[random.integers(len(KINDS))], str(random.choice(USERS)), int(random.integers(1000)))
        for _ in range(THREADS)
    ]
    together = threading.Barrier(THREADS)

    def work(kind: Callable[[Catalog, str, int], Any], user: str, seed: int) -> Any:
        together.wait()
        return comparable(kind(gallery, user, seed))

    with ThreadPoolExecutor(THREADS) as pool:
        found = [each.result() for each in [pool.submit(work, *each) for each in works]]
    for (kind, user, seed), result in zip(works, found, strict=True):
        expected = comparable(kind(gallery, user, seed))
        expect(result == expected, "wrong", f"{kind.__name__} with {user}, seed {seed}, among {THREADS} threads")
    return Outcome(count=THREADS)


PART = Part(
    name="threads",
    tries="eight threads with environments, evaluations and users of one process, against the same one after the other",
    run=run,
    prepare=lambda folder: materials.make(folder, materials.DRAWN),
    cases=40,
    small=3,
)
