"""How commands are told in which way to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from dialog_env.benchmarks.jobs import Way
from dialog_env.benchmarks.jobs.cluster import Cluster
from dialog_env.benchmarks.jobs.processes import Processes
from dialog_env.benchmarks.jobs.serial import Serial
from dialog_env.io.device import find_device
from dialog_env.io.keywords import checked_count
from dialog_env.io.ray_alone import one_address


@dataclass(kw_only=True)
class WayOptions:
    """Options that commands with many runs have in common."""

    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one; with --ray, where a run has --gpus."""
    jobs: int = 1
    """Runs at once, each with one thread."""
    ray: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[ADDRESS]")] = None
    """Run by Ray, in the cluster at an address; without an address on this machine."""
    cpus: float = 1
    """With --ray: processors that a run keeps to itself. It computes with one thread."""
    gpus: float = 0
    """With --ray: GPUs that a run keeps to itself, or a part of one."""

    def way(self) -> Way:
        """How to run; ValueError where the options exclude each other."""
        checked_count("jobs", self.jobs)
        if self.ray is None:
            if (self.cpus, self.gpus) != (1, 0):
                raise ValueError("--cpus and --gpus say what a run has with --ray; give that too, or leave them out")
            return Processes(self.jobs) if self.jobs > 1 else Serial()
        if self.jobs > 1:
            raise ValueError("--jobs and --ray are two ways to run; give one of them")
        return Cluster(one_address(self.ray), self.cpus, self.gpus)

    def devices(self) -> tuple[str, str]:
        """Where the runs live, and where what this process does itself."""
        if self.ray is None:
            return (str(find_device(self.device)),) * 2
        there = self.device if self.device != "auto" else "cuda" if self.gpus else "cpu"
        if there.startswith("cuda") and not self.gpus:
            raise ValueError(f"--device {there} with --ray needs GPUs for each run; give --gpus")
        return there, "cpu"
