"""The Gymnasium classes: thin adapters on top of the world."""

from dialog_env.envs.single import DialogRetrievalEnv
from dialog_env.envs.vector import DialogRetrievalVectorEnv

__all__ = ["DialogRetrievalEnv", "DialogRetrievalVectorEnv"]
