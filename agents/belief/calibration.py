"""How sure the belief may be of itself: temperatures by which it says of unseen images neither too much nor too little.

Temperature scaling (Guo, Pleiss, Sun & Weinberger, 2017): scores divided by one number keep their order. Each turn has
a number of its own, because the sentences of a dialog repeat one another and their sum grows surer than it should.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.agents.base import TrainingData, generator_for
from dialog_env.agents.belief.memory import Hearing
from dialog_env.world.dialog import Dialog

DIALOGS = 2_000
"""At most so many are held."""
HALVINGS = 30
SHARPEST = 20.0
"""Neither a temperature nor its inverse is larger."""
SCORES_AT_ONCE = 1 << 24


@torch.no_grad()
def fitted_temperatures(agent: Hearing, training_data: TrainingData) -> tuple[float, ...]:
    """One temperature for each turn, from dialogs that the agent holds in the validation gallery."""
    gallery, user = training_data.validation_gallery, training_data.validation_simulator
    agent.bind(gallery)
    world = Dialog(gallery, user, turns=agent.settings.turns, device=agent.device)
    targets, firsts = world.draw(generator_for(agent.seed, "temperatures"), min(DIALOGS, len(gallery)))
    observation, memory, temperatures = world.reset(targets, firsts), agent.begin(len(targets)), []
    for _ in range(agent.settings.turns):
        decision = agent.act(observation, memory)
        memory = decision.memory
        temperatures.append(fitted_temperature(memory.query, agent.embeddings(), targets))
        observation = world.show(decision.candidates)
    return tuple(temperatures)


def fitted_temperature(queries: Tensor, embeddings: Tensor, targets: Tensor) -> float:
    """The temperature under which the targets are likeliest, found by halving: the loss is convex in its inverse.

    Args:
        queries: (B, E) what was heard.
        embeddings: (N, E) of the images.
        targets: (B,) int64 positions of the images that were meant.

    Returns:
        between 1 / 20 and 20.
    """
    low, high = 1 / SHARPEST, SHARPEST  # of the inverse
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _slope(queries, embeddings, targets, middle) < 0 else (low, middle)
    return float(round(1 / (low * high) ** 0.5, 6))


def _slope(queries: Tensor, embeddings: Tensor, targets: Tensor, inverse: float) -> float:
    """How the summed cross-entropy of the targets grows with the inverse temperature."""
    slope, at_once = 0.0, max(1, SCORES_AT_ONCE // len(embeddings))
    for some, meant in zip(queries.split(at_once), targets.split(at_once), strict=True):
        scores = some @ embeddings.T  # (b, N)
        expected = (scores * (inverse * scores).softmax(dim=1)).sum(dim=1)
        slope += float((expected - scores.gather(1, meant[:, None])[:, 0]).double().sum())
    return slope
