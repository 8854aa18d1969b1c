"""Runs as tasks of Ray, on this machine or many.

What several runs begin from is a task of its own, that they wait for. Results are files in the folders of the plan,
which all machines have to see under the same path; nothing of weight is sent. A task whose worker dies is tried again,
and goes on from the last checkpoint of its training.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from tqdm import tqdm

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.jobs.progress import followed
from dialog_env.benchmarks.jobs.task import Plan, Task
from dialog_env.io.ray_alone import ray_at

TRIES = 4
"""How often a task is begun whose worker dies."""


@dataclass(frozen=True)
class Cluster:
    """One worker process a run, with one thread.

    Args:
        address: of the head of a cluster, as `ray.init` takes it; None starts Ray on this machine.
        cpus: so many of a machine's processors a run keeps to itself, its memory with them.
        gpus: so many of its GPUs, or a part of one.
    """

    address: str | None = None
    cpus: float = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        if not 0 < self.cpus < float("inf") or not 0 <= self.gpus < float("inf"):
            raise ValueError(f"a run cannot have {self.cpus} CPUs and {self.gpus} GPUs; give some CPUs, and GPUs or 0")

    def run(self, tasks: Sequence[Task], experiments: Mapping[Plan, Experiment]) -> Iterator[tuple[Task, str]]:
        """See `dialog_env.benchmarks.jobs.Way`."""
        if not tasks:
            return
        with ray_at(self.address, "--ray", ", or give --jobs in its place") as ray:
            self._require_room(ray)
            work = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=TRIES - 1, max_calls=1)(_work)
            started = self._started(work, tasks, experiments)
            for task, problem in followed(started, partial(_ended, ray), lambda handle: _outcome(ray, handle)):
                if not task.pretraining:
                    yield task, f"{problem} (see {task.log})" if problem else ""
                elif problem:
                    tqdm.write(f"{task.name} failed: {problem} (see {task.log})")

    def _require_room(self, ray: ModuleType) -> None:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(each.get("CPU", 0) >= self.cpus and each.get("GPU", 0) >= self.gpus for each in machines):
            there = "; ".join(f"{each.get('CPU', 0):g} and {each.get('GPU', 0):g}" for each in machines)
            raise ValueError(
                f"no machine has the {self.cpus:g} CPUs and {self.gpus:g} GPUs that a run asks for (there: {there}); "
                "give smaller --cpus or --gpus"
            )

    @staticmethod
    def _started(work: Any, tasks: Sequence[Task], experiments: Mapping[Plan, Experiment]) -> dict[Any, Task]:
        """Handles of all tasks; those that begin from something wait for it."""
        started: dict[Any, Task] = {}
        first: dict[Any, Any] = {}
        for task in tasks:
            task.log.unlink(missing_ok=True)
            before = task.before(experiments[task.plan])
            if before is not None and before[0] not in first:
                before[1].log.unlink(missing_ok=True)
                first[before[0]] = work.remote(before[1], os.getcwd(), sys.path)
                started[first[before[0]]] = before[1]
            awaited = None if before is None else first[before[0]]
            started[work.remote(task, os.getcwd(), sys.path, awaited)] = task
        return started


def _work(task: Task, folder: str, path: Sequence[str], awaited: object = None) -> str:
    """Runs one task in a worker; gives what was wrong, or nothing. The task it waits for has ended, well or not."""
    if not os.path.isdir(folder):
        return f"{platform.node()} has no folder {folder}; let all machines of the cluster see it"
    os.chdir(folder)
    sys.path.extend(entry for entry in path if entry not in sys.path)
    return task.perform_apart()


def _ended(ray: ModuleType, handles: Sequence[Any], seconds: float) -> Sequence[Any]:
    ended: list[Any] = ray.wait(handles, num_returns=1, timeout=seconds)[0]
    return ended


def _outcome(ray: ModuleType, handle: Any) -> str:
    try:
        problem: str = ray.get(handle)
        return problem
    except ray.exceptions.RayError as error:
        dead = isinstance(error, (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError))
        return f"its worker died, {TRIES} times" if dead else str(error).strip().splitlines()[-1]
