"""RLlib (the extra `ray`): the environment under a name of Ray, many dialogs as one batch, and modules to learn with.

```text
config = configured(PPOConfig(), num_envs=64, simulator="describer", action="query")
```

RLlib steps vector environments as Gymnasium's NextStep has it, whatever mode they have. With SameStep it would take the
first observation of the next dialog for the last one of this, in silence, so that is refused here.
"""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode

from dialog_env.envs import DialogRetrievalEnv, DialogRetrievalVectorEnv
from dialog_env.io.keywords import checked_count, told
from dialog_env.io.ray_alone import import_ray

NAME = "DialogRetrieval-v0"
"""Under which Ray knows the environment; settings of it are the `env_config`."""


def register(name: str = NAME) -> str:
    """Makes the environment known to Ray, and gives the name.

    Raises:
        ImportError: Ray or a package that RLlib needs is not installed.
    """
    import_ray("RLlib")
    from ray.tune.registry import register_env

    register_env(name, made)
    return name


def made(settings: dict[str, Any]) -> DialogRetrievalEnv | DialogRetrievalVectorEnv:
    """The environment of an `env_config`: many dialogs in one batch where it has `num_envs`.

    Raises:
        ValueError: an autoreset mode by which RLlib would store other dialogs than were held.
    """
    keywords = dict(settings)
    mode = keywords.pop("autoreset_mode", AutoresetMode.NEXT_STEP)
    if mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.NEXT_STEP.value):
        raise ValueError(
            f"autoreset_mode={told(mode)} cannot be used with RLlib, which reads every vector environment as NextStep "
            "and would store turns of other dialogs; leave it out"
        )
    if "num_envs" not in keywords:
        return DialogRetrievalEnv(**keywords)
    return DialogRetrievalVectorEnv(**keywords, autoreset_mode=AutoresetMode.NEXT_STEP)


def configured(config: Any, num_envs: int = 64, *, name: str = NAME, **keywords: Any) -> Any:
    """The `AlgorithmConfig` with this environment, many dialogs a batch in every env runner.

    Args:
        config: of any single-agent algorithm of RLlib, say `PPOConfig()`; it is changed and given back.
        num_envs: dialogs at once, in each env runner.
        name: under which the environment is registered.
        **keywords: of `DialogRetrieval-v0`.

    Raises:
        ImportError: Ray or a package that RLlib needs is not installed.
        ValueError: an autoreset mode by which RLlib would store other dialogs than were held.
    """
    checked_count("num_envs", num_envs)
    if "autoreset_mode" in keywords:
        made(keywords)  # refuses it here, and not in a worker
    mode = gymnasium.VectorizeMode.VECTOR_ENTRY_POINT
    return config.environment(register(name), env_config=keywords).env_runners(
        num_envs_per_env_runner=num_envs, gym_env_vectorize_mode=mode
    )
