"""All parts of the benchmark, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

from dialog_env.benchmarks.provenance import provenance
from dialog_env.io.device import find_device
from dialog_env.world.answers import SWITCH
from tools.throughput import compiled, dialogs, gpu, ranking, report, updates
from tools.throughput.rows import Findings
from tools.throughput.workload import Material, Workload, literal

PARTS = ("ranking", "turns", "feedback", "torch.compile", "updates", "graphics card")


def run(load: Workload, device: str, output: Path, names: Sequence[str] = PARTS) -> str:
    """Measures all parts, or those named, writes the results into a folder and returns the table.

    The captioner makes every answer: what looking it up is worth, `tools.throughput.answers` measures.

    Raises:
        ValueError: a part that is none, a device that is not there or has too little memory, or no literal
            implementation at hand.
    """
    for name in names:
        if name not in PARTS:
            raise ValueError(f"no part {name!r} of the measuring; known are {', '.join(PARTS)}")
    device = str(find_device(device))
    for name in ("captioner", "ranking"):
        literal(name)
    material = Material(load, device)
    works: tuple[Callable[[], Findings], ...] = (
        partial(ranking.measure, load, device),
        partial(dialogs.measure_turns, load, device),
        partial(dialogs.measure_feedback, material),
        partial(compiled.measure, material),
        partial(updates.measure, material),
        partial(gpu.measure, material),
    )
    found = []
    with mock.patch.dict(os.environ, {SWITCH: "nowhere"}):
        for name, work in zip(PARTS, works, strict=True):
            if name in names:
                print(f"measuring {name} …", file=sys.stderr, flush=True)
                found.append(work())
    together = Findings(
        [row for each in found for row in each.rows],
        [figure for each in found for figure in each.figures],
        {work: share for each in found for work, share in each.shares.items()},
        {work: size for each in found for work, size in each.memory.items()},
    )
    return report.write(together, load, provenance(device), output)
