"""Dialog-based interactive image retrieval: the world, its catalogues, and `DialogRetrieval-v0` on top of them.

Importing this package registers the environment with Gymnasium; `dialog_env.envs.DialogRetrievalEnv` describes it. The
world is in `dialog_env.world.dialog`, catalogues in `dialog_env.catalog`, wrappers in `dialog_env.envs.wrappers`,
evaluation in `dialog_env.evaluate.protocol` and `dialog_env.evaluate.metrics`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

__version__ = "0.2.0"

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "DialogRetrieval-v0": {},
    "DialogRetrieval-vector-v0": {"preset": "vector", "flatten": True},
    "DialogRetrieval-discrete-v0": {"preset": "discrete", "flatten": True},
}
"""Id to the keywords that it stands for."""

for name, keywords in ENVIRONMENTS.items():
    if name not in gymnasium.registry:
        gymnasium.register(
            id=name,
            entry_point="dialog_env.envs:DialogRetrievalEnv",
            vector_entry_point="dialog_env.envs:DialogRetrievalVectorEnv",
            kwargs=keywords,
        )
