"""Dialog-based interactive image retrieval: the world, its catalogues, and `DialogRetrieval-v0` on top of them.

Importing this package registers the environment with Gymnasium; `dialog_env.envs.DialogRetrievalEnv` describes it. The
world is in `dialog_env.world.dialog`, catalogues in `dialog_env.catalog`, wrappers in `dialog_env.envs.wrappers`,
evaluation in `dialog_env.evaluate.protocol` and `dialog_env.evaluate.metrics`.
"""

import gymnasium

__version__ = "0.2.0"

if "DialogRetrieval-v0" not in gymnasium.registry:
    gymnasium.register(
        id="DialogRetrieval-v0",
        entry_point="dialog_env.envs:DialogRetrievalEnv",
        vector_entry_point="dialog_env.envs:DialogRetrievalVectorEnv",
    )
