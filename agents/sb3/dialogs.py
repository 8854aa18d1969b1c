"""The dialogs that agents of Stable-Baselines3 learn from."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from dialog_env.agents.base import Agent, TrainingData
from dialog_env.agents.sb3.directions import Directions, StepQueries
from dialog_env.agents.sb3.vec_env import DialogVecEnv
from dialog_env.envs import DialogRetrievalVectorEnv
from dialog_env.envs.observations import default_space
from dialog_env.envs.wrappers import DialogHistoryVector, history_space


def spaces_for(dimensions: int, words: int, turns: int, history: bool) -> spaces.Dict:
    """The observations of an agent, in a gallery whose features lie in [-1, 1]."""
    space = default_space(dimensions, words, turns)
    return history_space(space) if history else space


def dialogs_for(agent: Agent, action: str, training_data: TrainingData, directions: Directions) -> VecEnv:
    """The dialogs that an agent learns from.

    Args:
        agent: with the settings of one of Stable-Baselines3.
        action: "query" or "candidate".
        training_data: with the gallery and its user.
        directions: along which queries move.
    """
    native = DialogRetrievalVectorEnv(
        agent.settings.n_envs,
        output="torch",
        catalog=training_data.gallery,
        split=training_data.gallery.split_name,
        simulator=training_data.simulator,
        action=action,
        reward=agent.settings.reward,
        turns=agent.settings.turns,
        device=agent.device,
    )
    env: gymnasium.vector.VectorEnv[Any, Any, Any] = native
    if action == "query":
        env = StepQueries(env, directions, agent.settings.reach, native.dialogs.world.feature_bound)
    if agent.settings.history:
        env = DialogHistoryVector(env)
    return VecMonitor(DialogVecEnv(env))
