"""The dialogs that agents of Stable-Baselines3 learn from."""

from __future__ import annotations

from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from dialog_env.agents.base import Agent, TrainingData
from dialog_env.agents.sb3.vec_env import DialogVecEnv
from dialog_env.envs import DialogRetrievalVectorEnv
from dialog_env.envs.observations import default_space
from dialog_env.envs.wrappers import DialogHistoryVector, history_space


def spaces_for(dimensions: int, words: int, turns: int, history: bool) -> spaces.Dict:
    """The observations of an agent, in a gallery whose features lie in [-1, 1]."""
    space = default_space(dimensions, words, turns)
    return history_space(space) if history else space


def dialogs_for(agent: Agent, action: str, training_data: TrainingData) -> DialogVecEnv:
    """The dialogs that an agent learns from.

    Args:
        agent: with the settings of one of Stable-Baselines3.
        action: "direction" or "candidate".
        training_data: with the gallery and its user.
    """
    settings = agent.settings
    steps = f"direction:directions={settings.directions},reach={settings.reach}"
    native = DialogRetrievalVectorEnv(
        settings.n_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
        output="torch",
        catalog=training_data.gallery,
        split=training_data.gallery.split_name,
        simulator=training_data.simulator,
        action=steps if action == "direction" else action,
        reward=settings.reward,
        turns=settings.turns,
        device=agent.device,
    )
    return DialogVecEnv(DialogHistoryVector(native) if settings.history else native)
