"""`python -m tools.throughput.belief`: how many turns a second the belief takes beside the paper's supervised agent."""

from __future__ import annotations

import time
from statistics import median

import torch
import tyro

from dialog_env import agents
from dialog_env.agents import Agent
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.simulators import make_simulator
from dialog_env.world.dialog import TURNS, Dialog
from dialog_env.world.state import Observation

NAMES = ("supervised", "belief")


def measure(catalog: str = "synthetic:10000:1", dialogs: int = 256, repeats: int = 15, threads: int = 1) -> None:
    """Times what two agents with new weights need to hear five turns and decide what to show, in turn; medians.

    Both hear the same: the user's part of a turn is done beforehand.

    Args:
        catalog: name or file of the catalogue, all of which is the gallery.
        dialogs: held at once.
        repeats: of both.
        threads: of PyTorch.
    """
    torch.set_num_threads(threads)
    gallery = load_catalog(catalog).split("all")
    heard = _heard(gallery, dialogs)
    vocabulary = make_simulator("captioner", gallery).vocabulary
    both = [agents.create(name, gallery=gallery, vocabulary=vocabulary) for name in NAMES]
    for agent in both:
        agent.bind(gallery.apart(attributes=False))
        _seconds(agent, heard)  # what is made once is made
    taken = [[_seconds(agent, heard) for agent in both] for _ in range(repeats)]
    print(f"{gallery!r}, {dialogs} dialogs, {threads} threads, median of {repeats}")
    for place, name in enumerate(NAMES):
        print(f"{name:12}{TURNS * dialogs / median(each[place] for each in taken):10,.0f} turns/s")
    print(f"a turn of the belief takes {median(ours / theirs for theirs, ours in taken):.2f}x as long")


def _heard(gallery: Catalog, dialogs: int) -> list[Observation]:
    """What is observed in each turn of dialogs in which any images are shown."""
    world = Dialog(gallery, make_simulator("captioner", gallery))
    generator = torch.Generator().manual_seed(0)
    first = world.reset(*world.draw(generator, dialogs))
    images = torch.randint(len(gallery), (TURNS - 1, dialogs), generator=generator)
    return [first, *(world.show(some) for some in images)]


@torch.no_grad()
def _seconds(agent: Agent, heard: list[Observation]) -> float:
    started, memory = time.perf_counter(), agent.begin(len(heard[0]))
    for observation in heard:
        memory = agent.act(observation, memory).memory
    return time.perf_counter() - started


if __name__ == "__main__":
    tyro.cli(measure)
