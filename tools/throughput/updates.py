"""Updates a second of supervised training and of policy improvement, and what a literal one would take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.agents.guo2018.network_agent import NetworkAgent
from dialog_env.agents.guo2018.networks import DialogNetwork
from dialog_env.agents.training.trainer import Learner
from dialog_env.world.dialog import TURNS
from tools.throughput.clock import PeakMemory, Shares, fastest
from tools.throughput.dialogs import RANKING, literal_call
from tools.throughput.rows import Figure, Findings, Row
from tools.throughput.workload import Material, Workload, literal

NEAREST = 4
LITERAL_CALLS = TURNS + NEAREST * sum(range(1, TURNS + 1))
"""Questions, each for the whole batch, that a literal update asks: one a turn, and for each of the K images as many
as there are turns to go."""
WARM_UP = 16
"""Supervised updates before anything is measured, so that dialogs go apart as in training."""


def measure(material: Material) -> Findings:
    """Supervised updates, then policy improvement from the weights that they lead to."""
    load, device = material.workload, material.device
    generator = torch.Generator().manual_seed(load.seed)
    training_data = TrainingData(material.gallery, material.user, material.gallery, material.user)
    rows, shares, memory = [], {}, {}
    taught, update = _learner("supervised", material, training_data, generator)
    for _ in range(WARM_UP):
        update()
    supervised = fastest(update, load.repeats, device)
    rows.append(Row("supervised update", load.batch, supervised, 1 / supervised, "updates/s"))
    shares[f"supervised update, batch {load.batch}"] = _shares(taught, material, update)

    speaking = literal_call(material)
    improving, update = _learner("policy_improvement", material, training_data, generator, taught.network)
    with PeakMemory(device) as used:
        seconds = fastest(update, load.repeats, device)
    parts = shares[f"policy-improvement update, batch {load.batch}"] = _shares(improving, material, update)
    memory["policy-improvement update, in all"] = used.peak
    asked = _count_questions(material, update)
    call, how = _literal_call_and_loop(material, speaking)
    slow = LITERAL_CALLS * call
    everything = LITERAL_CALLS * load.batch
    rows.append(
        Row("policy-improvement update", load.batch, seconds, 1 / seconds, "updates/s",
            f"asks about {asked:,} different pairs of {everything:,}")
    )  # fmt: skip
    rows.append(Row("the same done literally", load.batch, slow, 1 / slow, "updates/s", f"{LITERAL_CALLS} times {how}"))
    once = TURNS * call
    note = f"{once / supervised:.1f} times the time; {TURNS} times {how}"
    rows.insert(1, Row("a supervised update done literally", load.batch, once, 1 / once, "updates/s", note))
    why = "its time goes to " + ", ".join(f"{part} ({100 * share:.0f}%)" for part, share in parts.items())
    return Findings(rows, [_figure(load, slow / seconds, why)], shares, memory)


def _figure(load: Workload, ratio: float, why: str = "") -> Figure:
    side = round(load.regions**0.5)
    work = (
        f"policy-improvement update, batch {load.batch}, {TURNS} turns, K={NEAREST}, {load.images:,} images, "
        f"{side}x{side}x{load.channels} regions, show_attend_tell {load.hidden} against the literal implementation "
        f"({LITERAL_CALLS} calls of {load.batch} pairs)"
    )
    return Figure(work, "40x", f"{ratio:.1f}x", ratio >= 40, why)


def _learner(
    name: str,
    material: Material,
    training_data: TrainingData,
    generator: torch.Generator,
    network: DialogNetwork | None = None,
) -> tuple[Any, Callable[[], object]]:
    """A learner of an agent, with the weights of a network if one is given, and its update of random targets."""
    load = material.workload
    agent = agents.create(
        name, gallery=material.gallery, vocabulary=material.vocabulary, device=material.device, batch=load.batch
    )
    assert isinstance(agent, NetworkAgent)
    if network is not None:
        agent.network.load_state_dict(network.state_dict())
    learner: Learner = agent.learner(training_data)

    def update() -> object:
        return learner.update(torch.randint(load.images, (load.batch,), generator=generator), generator)

    return learner, update


def _shares(learner: Any, material: Material, update: Callable[[], object]) -> dict[str, float]:
    parts: list[tuple[Any, str, str]] = [*RANKING, (material.user, "feedback", "simulator")]
    parts += [(DialogNetwork, "forward", "network"), (torch.nn.Linear, "forward", "network")]
    parts += [(type(learner), "descend", "network")]
    return Shares(parts, material.device).of(update)


def _count_questions(material: Material, update: Callable[[], object]) -> int:
    """Pairs that an update asks the user about."""
    user: Any = material.user
    answer, asked = user.feedback, []

    def counted(targets: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        asked.append(len(targets))
        said: torch.Tensor = answer(targets, *others)
        return said

    user.feedback = counted
    try:
        update()
    finally:
        del user.feedback
    return sum(asked)


def _literal_call_and_loop(material: Material, speaking: float) -> tuple[float, str]:
    """Seconds of one turn of a batch done literally, and how they were found; its small networks are left out."""
    load, device = material.workload, material.device
    speaking = min(speaking, literal_call(material))
    generator = torch.Generator().manual_seed(load.seed)
    embeddings = torch.randn(load.images, load.dimensions, generator=generator).to(device)
    targets = torch.randint(load.images, (load.batch,), generator=generator).to(device)
    loop = partial(literal("ranking").literal_ranking, embeddings[targets], embeddings, targets, NEAREST)
    ranking = fastest(loop, load.literal_calls, device, load.patience)
    how = (
        f"(reckoned) one call of {load.batch} pairs ({speaking:.2f} s) and one loop over {load.batch} queries "
        f"({ranking:.2f} s), each the fastest of several"
    )
    return speaking + ranking, how
