"""The Gymnasium classes: thin adapters on top of the world."""

from dialog_env.envs.dialog_retrieval import DialogRetrievalEnv

__all__ = ["DialogRetrievalEnv"]
