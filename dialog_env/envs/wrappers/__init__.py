"""Gymnasium wrappers: the dialog so far or a belief as the observation, and statistics of dialogs that are tensors."""

from dialog_env.envs.wrappers.candidates import BeliefCandidates
from dialog_env.envs.wrappers.history import DialogHistory, DialogHistoryVector, History, history_space
from dialog_env.envs.wrappers.statistics import TensorEpisodeStatistics

__all__ = [
    "BeliefCandidates",
    "DialogHistory",
    "DialogHistoryVector",
    "History",
    "TensorEpisodeStatistics",
    "history_space",
]
