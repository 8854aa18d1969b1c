"""Gymnasium wrappers: `DialogHistory` and, for vector environments, `DialogHistoryVector`."""

from dialog_env.wrappers.history import DialogHistory, DialogHistoryVector, History, history_space

__all__ = ["DialogHistory", "DialogHistoryVector", "History", "history_space"]
