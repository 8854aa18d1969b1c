"""All parts of the benchmark, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

from dialog_env.benchmarks.provenance import provenance
from dialog_env.io.device import find_device
from dialog_env.world.answers import SWITCH
from tools.throughput import compiled, dialogs, gpu, ranking, report, updates
from tools.throughput.rows import Findings
from tools.throughput.workload import Material, Workload, literal


def run(load: Workload, device: str, output: Path) -> str:
    """Measures everything, writes the results into a folder and returns the table.

    The captioner makes every answer: what looking it up is worth, `tools.throughput.answers` measures.

    Raises:
        ValueError: a device that is not there or has too little memory, or no literal implementation at hand.
    """
    device = str(find_device(device))
    for name in ("captioner", "ranking"):
        literal(name)
    material = Material(load, device)
    parts: dict[str, Callable[[], Findings]] = {
        "ranking": partial(ranking.measure, load, device),
        "turns": partial(dialogs.measure_turns, load, device),
        "feedback": partial(dialogs.measure_feedback, material),
        "torch.compile": partial(compiled.measure, material),
        "updates": partial(updates.measure, material),
        "graphics card": partial(gpu.measure, material),
    }
    found = []
    with mock.patch.dict(os.environ, {SWITCH: "nowhere"}):
        for name, part in parts.items():
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            found.append(part())
    together = Findings(
        [row for each in found for row in each.rows],
        [figure for each in found for figure in each.figures],
        {work: share for each in found for work, share in each.shares.items()},
        {work: size for each in found for work, size in each.memory.items()},
    )
    return report.write(together, load, provenance(device), output)
