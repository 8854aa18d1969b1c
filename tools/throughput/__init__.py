"""`python -m tools.throughput`: how fast everything is, and how much faster than done literally."""

from tools.throughput.workload import FULL, SMALL, Workload

__all__ = ["FULL", "SMALL", "Workload"]
