"""`python -m dialog_env.agents train <agent> …` trains an agent and keeps it in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from dialog_env.io.commands import one_line, run_command

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import torch
    import tyro

    from dialog_env.agents import AGENTS, TrainingData, agent_class
    from dialog_env.agents.settings import settings_from
    from dialog_env.catalog import load_catalog
    from dialog_env.envs.dialog_batch import DEFAULT_SIMULATOR
    from dialog_env.simulators import make_simulator

CONFIGURATION = "--configuration"


@dataclass(frozen=True)
class TrainingJob:
    """What to train on, and where to keep it."""

    output: Path
    """Folder of checkpoints, logs and the trained agent; a training that lies there goes on."""
    catalog: str = "synthetic"
    """Name or path of the catalogue."""
    simulator: str = DEFAULT_SIMULATOR
    """The user, by name or name:argument."""
    split: str = "train"
    """Split to learn from."""
    validation_split: str = "validation"
    """Split to choose the best epoch by."""
    seed: int = 0
    """Of all that is drawn."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    configuration: str = "released"
    """released (docs/released.md says what that is), literal or paper, where the agent has it: sets the defaults of the
    options of the agent."""


def training_data_of(job: TrainingJob, device: str) -> TrainingData:
    """The galleries and users of a run."""
    catalog = load_catalog(job.catalog)
    galleries = [catalog.split(job.split), catalog.split(job.validation_split)]
    users = [make_simulator(job.simulator, gallery, device=device) for gallery in galleries]
    return TrainingData(galleries[0], users[0], galleries[1], users[1])


def train(name: str, job: TrainingJob, settings: Any) -> None:
    """Trains agent `name` and prints how well it did."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if job.device == "auto" else job.device
    training_data = training_data_of(job, device)
    kind = agent_class(name)
    agent = kind.create(
        settings,
        dimensions=training_data.gallery.dimensions,
        vocabulary=training_data.simulator.vocabulary,
        seed=job.seed,
        device=device,
    )
    summary = agent.train(training_data, job.output)
    print(
        f"{job.output}: {summary['updates']} updates in {summary['epochs']} epochs, "
        f"best validation percentile {summary['best_validation_percentile']}"
    )


def command(name: str, configuration: str) -> Callable[..., None]:
    """The command that trains agent `name`, its options having the defaults of a configuration."""
    kind = agent_class(name)
    if configuration not in kind.configurations:
        raise ValueError(
            f"agent {name} has no configuration {configuration!r}; it has {', '.join(kind.configurations)}"
        )
    defaults = settings_from(kind.Settings, kind.configurations[configuration])

    def run_command(job: Any, settings: Any = defaults) -> None:
        train(name, job, settings)

    flat = tyro.conf.arg(name="")
    run_command.__annotations__ = {
        "job": Annotated[TrainingJob, flat],
        "settings": Annotated[kind.Settings, flat],
        "return": None,
    }
    run_command.__doc__ = kind.__doc__
    return run_command


def main(arguments_given: list[str]) -> None:
    """Reads the command line and runs it; bad input ends in one sentence."""
    if arguments_given[:1] != ["train"]:
        sys.exit("usage: python -m dialog_env.agents train <agent> [options]; --help after the agent lists them")
    run_command(
        lambda: read_and_train(arguments_given[1:]),
        "stopped; a training goes on from its last whole epoch with the same command",
    )


def read_and_train(rest: list[str]) -> None:
    """Trains the agent that the command line names first, with the options that follow."""
    chosen = configuration_in(rest)
    trainable = [name for name in AGENTS if agent_class(name).trainable]
    named = [name for name in trainable if name in rest[:1]] or trainable
    commands = {
        name: command(name, chosen if name in rest[:1] else "released") for name in (named if rest else trainable)
    }
    tyro.extras.subcommand_cli_from_dict(commands, prog="python -m dialog_env.agents train", args=rest)


def configuration_in(given: list[str]) -> str:
    """The configuration named on the command line, which the defaults of all other options hang on."""
    for position, word in enumerate(given):
        if word == CONFIGURATION and position + 1 < len(given):
            return given[position + 1]
        if word.startswith(CONFIGURATION + "="):
            return word.partition("=")[2]
    return "released"


if __name__ == "__main__":
    main(sys.argv[1:])
