"""Agents of Stable-Baselines3, and what it takes to train them on the dialog."""
