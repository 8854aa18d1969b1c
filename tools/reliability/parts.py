"""All parts by name."""

from __future__ import annotations

from tools.reliability import arguments, bits, environment, evaluations, files, metrics, rankings, vector_environment
from tools.reliability.cases import Part

PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        arguments.PART,
        environment.PART,
        vector_environment.PART,
        rankings.PART,
        metrics.PART,
        evaluations.PART,
        files.PART,
        bits.PART,
    )
}
