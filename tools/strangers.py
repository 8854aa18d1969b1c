"""How well agents understand somebody else than they know: `python -m tools.strangers --agents ceiling`.

The describer, who writes by rule from the attributes, talks to each agent in sessions as a person does; what of its
words the agent does not know is left out. Every agent looks for the same images from the same first ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import tyro

from dialog_env.evaluate.statistics import confidence_interval
from dialog_env.sessions import Session, say_together
from dialog_env.sessions.choice import Choice, default_agent
from dialog_env.simulators import make_simulator
from dialog_env.simulators.describer.user import Describer


@dataclass
class Strangers:
    """Let the describer talk to agents, and say how often they find the image and how sure they are."""

    agents: tuple[str, ...] = (default_agent(),)
    """As for `talk`."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "test"
    """Gallery."""
    dialogs: int = 100
    """How many."""
    turns: int = 5
    """Sentences of each."""
    seed: int = 0
    """Of targets and first images."""

    def __call__(self) -> None:
        """Prints a table."""
        head = [f"found by turn {turn}, %" for turn in range(1, self.turns + 1)]
        print(f"| agent | {' | '.join(head)} | probability that it gave its first image, last |")
        print("|---" * (len(head) + 2) + "|")
        for text in self.agents:
            found, sure = self.hold(text)
            cells = [confidence_interval(100.0 * row, np.random.default_rng(0), percent=True) for row in found]
            print(f"| {text} | {' | '.join(f'{cell:.0f}' for cell in cells)} | {sure:.2f} |", flush=True)

    def hold(self, text: str) -> tuple[np.ndarray, float]:
        """(T, M) whether the target has been shown by each turn, and the mean of how sure the agent was last."""
        partner, _ = Choice(text, catalog=self.catalog, split=self.split).open()
        describer = make_simulator("describer", partner.gallery)
        assert isinstance(describer, Describer)
        generator = torch.Generator().manual_seed(self.seed)
        targets = torch.randperm(len(partner.gallery), generator=generator)[: self.dialogs].tolist()
        sessions = [Session(partner, target=target, seed=self.seed + row) for row, target in enumerate(targets)]
        found = np.zeros((self.turns, len(sessions)), dtype=bool)
        for turn in range(self.turns):
            talking = [session for session in sessions if not session.found]
            if not talking:
                found[turn] = True
                continue
            wanted = torch.tensor([session.target.position for session in talking if session.target])
            said = describer.sentences(wanted, torch.tensor([session.candidate.position for session in talking]))
            say_together(talking, said)
            found[turn] = [session.found for session in sessions]
        sure = [
            session.answer.certainty.best or 0 for session in sessions if session.answer and session.answer.certainty
        ]
        return found, float(np.mean(sure))


if __name__ == "__main__":
    tyro.cli(Strangers)()
