"""Agents against each other: runs, results, statistics, tables and plots."""
