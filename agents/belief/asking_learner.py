"""How the choice of the image is learned: each candidate is tried on the known user, and is worth what it found."""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import tqdm

from dialog_env.agents.base import TrainingData, generator_for
from dialog_env.agents.belief.learned_asking import AskingNetwork
from dialog_env.agents.belief.memory import Heard, Hearing
from dialog_env.agents.candidate_selection import sample
from dialog_env.world.dialog import Dialog

DIALOGS = 48
"""In an update."""
LEARNING_RATE = 3e-3
CURIOSITY = 0.003
"""Weight of the entropy of the choice: what is never drawn is never learned."""


def learn_to_ask(
    agent: Hearing, network: AskingNetwork, training_data: TrainingData, *, progress: bool
) -> list[dict[str, float]]:
    """Turns the weights of the network by dialogs in the training gallery; gives one row of numbers for each update.

    The reward of a candidate is 1 if it is the target, and `discount` if its answer makes the target the likeliest of
    those not shown, so that it is found at the next turn. It is known for all K candidates of a turn, as the user can
    be asked about each, so that the gradient of the expected reward needs no sampled action (policy gradient with all
    actions: Sutton & Barto, 2018, chapter 13). That of the likeliest is the baseline.
    """
    settings = agent.settings
    generator = generator_for(agent.seed, "asking")
    agent.bind(training_data.gallery)
    world = Dialog(training_data.gallery, training_data.simulator, turns=settings.turns, device=agent.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    network.train()
    rows: list[dict[str, float]] = []
    with tqdm(range(settings.asking_updates), desc="asking", disable=not progress) as bar:
        for update in bar:
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * (1 - update / settings.asking_updates)
            observation, memory = world.reset(*world.draw(generator, DIALOGS)), agent.begin(DIALOGS)
            gains, losses = [], []
            for _ in range(settings.turns - 1):
                memory = agent.hear(observation, memory)
                scores, options = agent.scored(memory, memory.shown, observation.turn, network)
                rewards = tried(agent, world, memory, options)
                advantage = rewards - rewards[:, :1]  # (B, K)
                chance = scores.softmax(dim=1)
                entropy = -(chance * scores.log_softmax(dim=1)).sum(dim=1)
                gains.append((chance * advantage).sum(dim=1).mean())
                losses.append(-gains[-1] - CURIOSITY * entropy.mean())
                uniforms = torch.rand(DIALOGS, generator=generator).to(scores.device)
                observation = world.show(options.gather(1, sample(scores, uniforms)[:, None])[:, 0])
            optimiser.zero_grad(set_to_none=True)
            torch.stack(losses).sum().backward()
            optimiser.step()
            rows.append({"gain": float(torch.stack(gains).sum().detach())})
            bar.set_postfix(rows[-1])
    network.eval()
    return rows


@torch.no_grad()
def tried(agent: Hearing, world: Dialog, memory: Heard, options: Tensor) -> Tensor:
    """(B, K) rewards of showing each of the options (B, K) in the dialogs of the world, which stay where they are."""
    dialogs, candidates = options.shape
    rows = torch.arange(dialogs, device=options.device).repeat_interleave(candidates)
    state = world.shown(world.snapshot().rows(rows), options.flatten())
    heard = agent.hear(world.observed(state), memory.rows(rows))
    fresh = agent.log_belief(heard).scatter(1, heard.shown, -torch.inf)
    found, later = options.flatten() == state.target, fresh.argmax(dim=1) == state.target
    return torch.where(found, 1.0, agent.settings.discount * later).view(dialogs, candidates)
