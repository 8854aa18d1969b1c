"""`python -m tools.throughput`: how fast everything is, and how much faster than done literally."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dialog_env.io.commands import one_line, run_command

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import tyro

    from dialog_env.io.atomic import locked
    from dialog_env.io.device import find_device
    from tools.throughput import FULL, SMALL
    from tools.throughput.run import PARTS
    from tools.throughput.run import run as run_throughput


@dataclass
class ThroughputCommand:
    """Measure how fast everything is, and how much faster than done literally."""

    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    output: Path = Path("runs/throughput")
    """Folder of the table, the JSON and the plot."""
    parts: tuple[str, ...] = PARTS
    """What is measured."""
    repeats: int = FULL.repeats
    """Times that work is repeated at least, of which the fastest counts."""
    patience: float = FULL.patience
    """Seconds that short work goes on being repeated; a machine without other guests needs few."""
    small: bool = False
    """Seconds instead of minutes, to see that it works; the numbers say nothing then."""

    def __call__(self) -> None:
        """Measures, writes and prints."""
        for name, given, least in (("repeats", self.repeats, 1), ("patience", self.patience, 0)):
            if not given >= least:
                raise ValueError(f"--{name} is {given}; give {least} or more")
        if self.small and (self.repeats, self.patience) != (FULL.repeats, FULL.patience):
            raise ValueError("--small has repeats and patience of its own; leave --repeats and --patience out")
        load = SMALL if self.small else replace(FULL, repeats=self.repeats, patience=self.patience)
        with locked(self.output):
            print(run_throughput(load, str(find_device(self.device)), self.output, self.parts))
        print(f"Written: {self.output / 'table.md'}, {self.output / 'throughput.json'}, {self.output / 'cost.png'}")


def main() -> None:
    """Runs the command line; bad input ends in one sentence."""
    run_command(
        lambda: tyro.cli(ThroughputCommand, prog="python -m tools.throughput")(),
        "stopped; what has been run is kept, and the same command goes on from there",
    )


if __name__ == "__main__":
    main()
