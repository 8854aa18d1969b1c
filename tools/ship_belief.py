"""`python -m tools.ship_belief FOLDER`: gives the shipped belief how to ask and how sure to be, as learned in a folder.

The folder is of `agent train belief:ask=learned,asking_updates=100 --initial shipped --epochs 0`; the belief itself
stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from dialog_env.agents import AGENT_FILE, SHIPPED
from dialog_env.io import checkpoint
from dialog_env.io.commands import run_command


@dataclass
class Ship:
    """Adds the temperatures and the asking network of a trained agent to the one that comes along."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Of the trained agent."""
    shipped: Path = SHIPPED["belief"]
    """Folder of the one that comes along, whose file is replaced."""

    def __call__(self) -> None:
        """Runs it; ValueError where the two are not the same belief, or none has learned to ask."""
        learned, ours = (checkpoint.read(folder / AGENT_FILE) for folder in (self.folder, self.shipped))
        for name, tensor in ours.tensors.items():
            if not name.startswith("asking.") and not torch.equal(tensor.float(), learned.tensors[name].float()):
                raise ValueError(f"{learned.path} has other weights than {ours.path}; train with --initial shipped")
        asking = {name: tensor for name, tensor in learned.tensors.items() if name.startswith("asking.")}
        if not asking:
            raise ValueError(f"{learned.path} has not learned to ask; train belief:ask=learned,asking_updates=100")
        checkpoint.write(
            ours.path, {**ours.tensors, **asking}, {**ours.facts, "temperatures": learned.facts["temperatures"]}
        )
        print(f"{ours.path}: {sum(tensor.numel() for tensor in asking.values()):,} weights to ask by")


if __name__ == "__main__":
    run_command(lambda: tyro.cli(Ship)())
