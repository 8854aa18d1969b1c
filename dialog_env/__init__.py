"""Dialog-based interactive image retrieval: the world, its catalogues, and `DialogRetrieval-v0` on top of them.

Importing this package registers the environment with Gymnasium.
"""

from gymnasium.envs.registration import register, registry

if "DialogRetrieval-v0" not in registry:
    register(
        id="DialogRetrieval-v0",
        entry_point="dialog_env.envs:DialogRetrievalEnv",
        vector_entry_point="dialog_env.envs:DialogRetrievalVectorEnv",
    )
