"""`dialog-retrieval agent train <agent> …` trains an agent and keeps it in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from dialog_env.io.commands import one_line, run_command

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import tyro

    from dialog_env.agents import AGENTS, Agent, TrainingData, agent_class, settings_of
    from dialog_env.catalog import load_catalog
    from dialog_env.envs.dialog_batch import DEFAULT_SIMULATOR
    from dialog_env.io.device import find_device
    from dialog_env.simulators import make_simulator


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


def training_data_of(job: TrainingJob, device: str) -> TrainingData:
    """The galleries and users of a run."""
    catalog = load_catalog(job.catalog)
    galleries = [catalog.split(job.split), catalog.split(job.validation_split)]
    users = [make_simulator(job.simulator, gallery, device=device) for gallery in galleries]
    return TrainingData(galleries[0], users[0], galleries[1], users[1])


def train(kind: type[Agent], job: TrainingJob, settings: Any) -> None:
    """Trains an agent and prints how well it did."""
    device = str(find_device(job.device))
    training_data = training_data_of(job, device)
    agent = kind.create(
        settings,
        dimensions=training_data.gallery.dimensions,
        vocabulary=training_data.simulator.vocabulary,
        seed=job.seed,
        device=device,
    )
    agent.space = training_data.gallery.space_id
    summary = agent.train(training_data, job.output)
    facts = ", ".join(f"{name} {value}" for name, value in summary.items() if isinstance(value, int | float | str))
    print(f"{job.output}: {facts}")


def command(text: str) -> Callable[..., None]:
    """The command that trains the agent that is written, its options having the defaults that are written with it.

    Raises:
        ValueError: an unknown agent, configuration or setting, or an agent that does not learn.
    """
    spec = AGENTS.parse(text)
    kind = agent_class(spec.name)
    if not kind.trainable:
        raise ValueError(f"agent {spec.name} does not learn; {trainable_agents()}")
    defaults = settings_of(kind, spec.configuration or "released", spec.settings)

    def run_command(job: Any, settings: Any = defaults) -> None:
        train(kind, job, settings)

    flat = tyro.conf.arg(name="")
    run_command.__annotations__ = {
        "job": Annotated[TrainingJob, flat],
        "settings": Annotated[kind.Settings, flat],
        "return": None,
    }
    run_command.__doc__ = kind.__doc__
    return run_command


def trainable_agents() -> str:
    """Which agents there are to train, as the end of a sentence."""
    names = [name for name in sorted(AGENTS) if agent_class(name).trainable]
    return f"choose one of {', '.join(names)}, or module:Class of your own"


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.agents") -> None:
    """Reads the command line and runs it; bad input ends in one sentence."""
    run_command(
        lambda: read_and_train(sys.argv[1:] if arguments is None else arguments, program),
        "stopped; a training goes on from its last whole epoch with the same command",
    )


def read_and_train(given: list[str], program: str) -> None:
    """Trains the agent that the command line names first, with the options that follow."""
    usage = f"usage: {program} train AGENT [options]; AGENT is name, name@configuration or name:setting=value,…; "
    if given[:1] == ["train"] and given[1:] and not given[1].startswith("-"):
        tyro.cli(command(given[1]), prog=f"{program} train {given[1]}", args=given[2:])
    elif given in ([], ["-h"], ["--help"], ["train"], ["train", "-h"], ["train", "--help"]):
        print(usage + trainable_agents() + "; --help after an agent lists its options")
    else:
        print(usage + trainable_agents(), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
