"""All parts by name."""

from __future__ import annotations

from tools.reliability import (
    arguments,
    bits,
    disks,
    environment,
    evaluations,
    files,
    interrupts,
    kills,
    metrics,
    options,
    pairs,
    rankings,
    threads,
    vector_environment,
)
from tools.reliability.cases import Part

PARTS: dict[str, Part] = {
    module.PART.name: module.PART
    for module in (
        environment,
        vector_environment,
        arguments,
        rankings,
        metrics,
        evaluations,
        files,
        bits,
        kills,
        disks,
        pairs,
        threads,
        interrupts,
        options,
    )
}
