"""Runs of agents one after the other or several at once; one that fails is reported and does not stop the rest."""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from dialog_env.benchmarks.experiment import Experiment
from dialog_env.benchmarks.results import Result, readable
from dialog_env.benchmarks.suites import Suite
from dialog_env.io.commands import sentence

LOGS = "logs"
AGAIN = 2.0
"""Seconds until a run that waits for a training of another one looks again."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Args:
        suite: shared by all runs.
        output: folder of the results.
        device: where everything lives.
        trained: folder of trained agents; see `Experiment`.
    """

    suite: Suite
    output: Path
    device: str
    trained: Path | None

    def open(self) -> Experiment:
        """The galleries and users."""
        return Experiment(self.suite, self.output, device=self.device, trained=self.trained)


def run_all(
    plan: Plan, experiment: Experiment, texts: Sequence[str], seeds: Sequence[int], jobs: int = 1
) -> tuple[list[Result], dict[str, str]]:
    """The results of all agents with all seeds that went well, in this order, and what was wrong with the others.

    Seeds are of training: an agent that is not trained is run with the first one alone.

    Args:
        plan: what is run.
        experiment: of it, open.
        texts: agents as on the command line.
        seeds: of training.
        jobs: processes at once, each with one thread. With 1 everything happens in this process.
    """
    trainable = {text: experiment.agent(text, seeds[0]).trainable for text in texts}
    runs = [(text, seed) for text, seed in product(texts, seeds) if trainable[text] or seed == seeds[0]]
    failed: dict[str, str] = {}
    if jobs > 1:
        failed = _beside_each_other(plan, runs, jobs)
    done = []
    for text, seed in runs:
        name = _name(text, seed)
        if name in failed:
            continue
        try:
            done.append(experiment.run(text, seed))
        except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
            if len(runs) == 1:
                raise
            failed[name] = sentence(error)
            print(f"{name} failed: {failed[name]}")
    return done, failed


def _name(text: str, seed: int) -> str:
    return f"{text}, seed {seed}"


def _beside_each_other(plan: Plan, runs: Sequence[tuple[str, int]], jobs: int) -> dict[str, str]:
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(runs), desc="runs", unit="run") as bar:
        futures = {pool.submit(_in_process, plan, text, seed): _name(text, seed) for text, seed in runs}
        try:
            for future in as_completed(futures):
                problem = future.result()
                if problem:
                    failed[futures[future]] = problem
                    bar.write(f"{futures[future]} failed: {problem}")
                bar.update()
        except KeyboardInterrupt:
            for future in futures:
                future.cancel()
            raise  # the processes have heard Ctrl-C as well
    return failed


def _in_process(plan: Plan, text: str, seed: int) -> str:
    """Runs one agent in a process of its own; gives what was wrong, or nothing."""
    log = plan.output / LOGS / f"{readable(text)}_seed{seed}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(plan, text, seed, log), daemon=True)
    process.start()
    process.join()
    if process.exitcode == 0:
        return ""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last = next((line for line in reversed(lines) if line.startswith("error: ")), "")
    return f"{last.removeprefix('error: ') or f'its process ended with status {process.exitcode}'} (see {log})"


def _work(plan: Plan, text: str, seed: int, log: Path) -> None:
    with log.open("w", buffering=1) as file:
        sys.stdout = sys.stderr = file
        torch.set_num_threads(1)
        try:
            experiment = plan.open()
            while True:
                try:
                    experiment.run(text, seed)
                    return
                except BlockingIOError:  # another run trains what both begin from
                    time.sleep(AGAIN)
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            traceback.print_exc()
            print(f"error: {sentence(error)}")
            sys.exit(1)
