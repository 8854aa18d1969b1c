"""`python -m tools.reliability_diagram`: how often an agent is right, by how sure it says it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import tyro

from dialog_env import agents
from dialog_env.catalog import load_catalog
from dialog_env.envs.dialog_batch import DEFAULT_SIMULATOR
from dialog_env.evaluate.calibration import believed, reliability
from dialog_env.io.commands import run_command
from dialog_env.simulators import make_simulator


@dataclass
class Diagram:
    """Holds the dialogs of the protocol, draws the diagram, and prints its numbers."""

    output: Path
    """The picture."""
    agent: str = "belief"
    """Folder of a trained agent that has a belief, or the name of one that comes along."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "test"
    """Gallery."""
    simulator: str = DEFAULT_SIMULATOR
    """The user."""
    targets: int | None = None
    """So many images are targets; all where None."""

    def __call__(self) -> None:
        """Runs it."""
        gallery = load_catalog(self.catalog).split(self.split)
        agent, user = agents.load(self.agent), make_simulator(self.simulator, gallery)
        _, probability, right = believed(agent, gallery, user, seed=0, targets=self.targets)
        figure, axis = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
        axis.plot([0, 1], [0, 1], color="grey", linewidth=1)
        for turn in range(probability.shape[1]):
            diagram = reliability(probability[:, turn], right[:, turn])
            axis.plot(diagram.expected, diagram.observed, marker="o", markersize=4, label=f"turn {turn + 1}")
            print(
                f"turn {turn + 1}: expects to be right in {100 * probability[:, turn].mean():.1f}%, is in "
                f"{100 * right[:, turn].mean():.1f}%, calibration error {100 * diagram.error:.1f} points"
            )
        axis.set(xlabel="probability of the first image, as believed", ylabel="share in which it is the target")
        axis.legend()
        figure.savefig(self.output, dpi=110)
        plt.close(figure)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_command(lambda: tyro.cli(Diagram)())
