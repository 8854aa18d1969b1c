"""`python -m tools.throughput.recordings`: what a captioner's recordings are worth on a graphics card."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import tyro

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.benchmarks.provenance import provenance
from dialog_env.catalog import load_catalog
from dialog_env.io.commands import run_command
from dialog_env.io.device import find_device
from dialog_env.simulators import make_simulator
from tools.throughput.clock import fastest_in_turn

LEARNERS = ("supervised", "policy_improvement", "belief")
BATCH = 128


def measure(
    device: str = "cuda",
    catalog: str = "synthetic",
    split: str = "train",
    pairs: tuple[int, ...] = (1, 16, 128, 512, 1024),
    repeats: int = 7,
) -> None:
    """Times feedback and updates step by step and by recordings, in turn; all images are known, no answer is kept.

    Args:
        device: a graphics card.
        catalog: name or file of the catalogue.
        split: of the gallery.
        pairs: at once, for feedback.
        repeats: of which the fastest counts.
    """
    place = find_device(device)
    if place.type != "cuda":
        raise ValueError(f"device is {device!r}; captioners are recorded on a graphics card alone, give cuda")
    gallery = load_catalog(catalog).split(split)
    user: Any = make_simulator("captioner", gallery, device=str(place), keep_answers=False)
    user.precompute()
    generator = torch.Generator().manual_seed(0)
    works: dict[str, Callable[[], object]] = {}
    for count in pairs:
        targets, candidates = torch.randint(len(gallery), (2, count), generator=generator).to(place)
        works[f"feedback on {count:,} pairs"] = partial(user.feedback, targets, candidates, targets)
    for name in LEARNERS:
        agent: Any = agents.create(name, gallery=gallery, vocabulary=user.vocabulary, device=str(place), batch=BATCH)
        learner = agent.learner(TrainingData(gallery, user, gallery, user))
        works[f"update of {name}, batch {BATCH}"] = partial(_update, learner, len(gallery), generator)
    origin = provenance(str(place))
    told = (
        f"{gallery!r}",
        origin["device"],
        f"torch {origin['packages']['torch']}",
        origin["git"],
        origin["time"][:10],
    )
    print("; ".join(told) + "\n")
    print("| work | step by step | by recordings |\n| --- | --- | --- |")
    recorded = user._captioner._recorded
    for name, work in works.items():
        ways = [partial(_with, user._captioner, way, work) for way in (None, recorded)]
        for way in ways:
            way()  # what is done once
        slow, fast = fastest_in_turn(ways, repeats, str(place))
        print(f"| {name} | {1e3 * slow:.2f} ms | {1e3 * fast:.2f} ms |", flush=True)


def _update(learner: Any, images: int, generator: torch.Generator) -> None:
    learner.update(torch.randint(images, (BATCH,), generator=generator), generator)


def _with(captioner: Any, recorded: Any, work: Callable[[], object]) -> None:
    captioner._recorded = recorded
    work()


if __name__ == "__main__":
    run_command(lambda: tyro.cli(measure), "stopped")
