"""Agents to compare with: chance, looks alone, Rocchio's rule, and any agent that repeats no image."""
