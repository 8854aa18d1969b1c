"""`python -m benchmarks throughput`: how fast everything is, and how much faster than done literally."""

from benchmarks.throughput.workload import FULL, SMALL, Workload

__all__ = ["FULL", "SMALL", "Workload"]
