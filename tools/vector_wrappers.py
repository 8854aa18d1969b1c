"""`python -m tools.vector_wrappers`: which of Gymnasium's vector wrappers work with the native vector environment.

Each is put around the native environment and around Gymnasium's `SyncVectorEnv` of single ones, with the same seeds and
actions: it works where both give the same observations, rewards and ends. Where it does not, its own words say why.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import transform_action, transform_observation, transform_reward
from gymnasium.wrappers import vector as wrappers

import dialog_env  # noqa: F401 - registers the environment
from dialog_env.io.atomic import write_atomically

ENVIRONMENT = "DialogRetrieval-v0"
DIALOGS, STEPS = 3, 13
PAGE = Path(__file__).parents[1] / "docs" / "vector-wrappers.md"
BEGIN, END = "<!-- by python -m tools.vector_wrappers -->\n", "<!-- end -->\n"
MODES = tuple(AutoresetMode)

Environment = VectorEnv[Any, Any, Any]


@dataclass(frozen=True)
class Recipe:
    """How a wrapper is used.

    Args:
        wrap: puts it around an environment.
        keywords: of the environment.
        shown: the same keywords as the table tells them.
        needs: a package that it needs beside those of this project, "" for none.
        refused: why it is not tried, "" where it is.
    """

    wrap: Callable[[Environment], Environment] = lambda env: env
    keywords: dict[str, Any] = field(default_factory=dict)
    shown: str = ""
    needs: str = ""
    refused: str = ""


def _picture(env: Environment) -> Environment:
    """The picture alone as the observation."""
    space = cast(Any, env.single_observation_space)["image"]
    return wrappers.TransformObservation(env, lambda parts: parts["image"], single_observation_space=space)


def _filmed(env: Environment) -> Environment:
    folder = tempfile.mkdtemp(prefix="films-")
    return wrappers.RecordVideo(env, folder, episode_trigger=lambda episode: episode == 0)


VECTOR = {"preset": "vector"}
FLAT = {"preset": "vector", "flatten": True}
PIXELS = {"observation": "pixels"}
IN_VECTOR, IN_FLAT, IN_PIXELS = (
    '`preset="vector"`',
    '`preset="vector", flatten=True`',
    '`observation="pixels"`, the picture taken out by `TransformObservation`',
)
JAX = "takes arrays of Jax, and this environment gives those of NumPy or PyTorch"
TEXT = 'makes tensors of `info` too, and its text cannot be one; `output="torch"` is for that'

RECIPES: dict[str, Recipe] = {
    "VectorizeTransformObservation": Recipe(
        lambda env: wrappers.VectorizeTransformObservation(env, transform_observation.FlattenObservation)
    ),
    "VectorizeTransformAction": Recipe(
        lambda env: wrappers.VectorizeTransformAction(env, transform_action.ClipAction), VECTOR, IN_VECTOR
    ),
    "VectorizeTransformReward": Recipe(
        lambda env: wrappers.VectorizeTransformReward(env, transform_reward.ClipReward, min_reward=0.2, max_reward=0.6)
    ),
    "DictInfoToList": Recipe(wrappers.DictInfoToList),
    "TransformObservation": Recipe(
        lambda env: wrappers.TransformObservation(env, lambda parts: {**parts, "image": parts["image"] / 2})
    ),
    "FilterObservation": Recipe(lambda env: wrappers.FilterObservation(env, ["image", "feedback"])),
    "FlattenObservation": Recipe(wrappers.FlattenObservation),
    "GrayscaleObservation": Recipe(lambda env: wrappers.GrayscaleObservation(_picture(env)), PIXELS, IN_PIXELS),
    "ResizeObservation": Recipe(
        lambda env: wrappers.ResizeObservation(_picture(env), (24, 24)), PIXELS, IN_PIXELS, needs="cv2"
    ),
    "ReshapeObservation": Recipe(
        lambda env: wrappers.ReshapeObservation(env, (1, *(env.single_observation_space.shape or ()))), FLAT, IN_FLAT
    ),
    "RescaleObservation": Recipe(lambda env: wrappers.RescaleObservation(env, 0, 1), FLAT, IN_FLAT),
    "DtypeObservation": Recipe(lambda env: wrappers.DtypeObservation(env, np.float64), FLAT, IN_FLAT),
    "NormalizeObservation": Recipe(wrappers.NormalizeObservation, FLAT, IN_FLAT),
    "TransformAction": Recipe(
        lambda env: wrappers.TransformAction(env, lambda actions: actions / 2), VECTOR, IN_VECTOR
    ),
    "ClipAction": Recipe(wrappers.ClipAction, VECTOR, IN_VECTOR),
    "RescaleAction": Recipe(lambda env: wrappers.RescaleAction(env, -0.5, 0.5), VECTOR, IN_VECTOR),
    "TransformReward": Recipe(lambda env: wrappers.TransformReward(env, lambda rewards: 2 * rewards)),
    "ClipReward": Recipe(lambda env: wrappers.ClipReward(env, 0.2, 0.6)),
    "NormalizeReward": Recipe(wrappers.NormalizeReward),
    "RecordEpisodeStatistics": Recipe(wrappers.RecordEpisodeStatistics),
    "RecordVideo": Recipe(_filmed, {"render_mode": "rgb_array"}, '`render_mode="rgb_array"`', needs="moviepy"),
    "HumanRendering": Recipe(
        wrappers.HumanRendering, {"render_mode": "rgb_array"}, '`render_mode="rgb_array"`', needs="cv2"
    ),
    "ArrayConversion": Recipe(refused=TEXT),
    "NumpyToTorch": Recipe(refused=TEXT),
    "JaxToNumpy": Recipe(refused=JAX),
    "JaxToTorch": Recipe(refused=JAX),
}
"""Each wrapper by the name under which Gymnasium has it."""


def outcome(recipe: Recipe, mode: AutoresetMode, **keywords: Any) -> str:
    """ "yes" where a wrapper does around the native environment what it does around single ones, else why not."""
    given = {**keywords, **recipe.keywords}
    sync = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}}
    envs = [gymnasium.make_vec(ENVIRONMENT, DIALOGS, **each, **given) for each in ({"autoreset_mode": mode}, sync)]
    try:
        native, single = map(recipe.wrap, envs)
        return _compared(native, single, mode)
    except (ValueError, AssertionError, TypeError) as error:
        return f"no: {' '.join(str(error).split())}"
    finally:
        for env in envs:
            env.close()


def _compared(native: Environment, sync: Environment, mode: AutoresetMode) -> str:
    envs = (native, sync)
    if native.single_observation_space != sync.single_observation_space:
        return f"no: its observations are {native.single_observation_space}, not {sync.single_observation_space}"
    results: list[Any] = [env.reset(seed=5)[:1] for env in envs]
    native.action_space.seed(1)
    for step in range(STEPS):
        for ours, theirs in zip(*results, strict=True):
            if not _same(ours, theirs):
                return f"no: after {step} steps it gives other numbers than around single environments"
        ended = np.zeros(DIALOGS, bool) if step == 0 else results[0][2] | results[0][3]
        if mode == AutoresetMode.DISABLED and ended.any():
            results = [env.reset(options={"reset_mask": ended})[:1] for env in envs]
            results = [(each[0], None, np.zeros(DIALOGS, bool), np.zeros(DIALOGS, bool)) for each in results]
            continue
        actions = native.action_space.sample()
        results = [env.step(actions)[:4] for env in envs]
    return "yes"


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_same(part, theirs[key]) for key, part in ours.items())
    if ours is None:
        return theirs is None
    return bool(np.allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=1e-6))


def table(**keywords: Any) -> list[str]:
    """The lines of the table; those of wrappers that need a package that is not here are taken from the page."""
    lines = [
        f"| wrapper | {' | '.join(mode.value for mode in MODES)} | with, and why not |",
        "|---|" + "---|" * (len(MODES) + 1),
    ]
    known = {line.split("`")[1]: line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    for name in wrappers.__all__:
        recipe = RECIPES.get(name, Recipe(refused="is new in Gymnasium and was not tried"))
        if recipe.refused:
            cells = ["no"] * len(MODES) + [recipe.refused]
        elif recipe.needs and importlib.util.find_spec(recipe.needs) is None and name in known:
            lines.append(known[name])
            continue
        else:
            found = [outcome(recipe, mode, **keywords) for mode in MODES]
            needs = f"needs `{recipe.needs}`" if recipe.needs else ""
            told = [recipe.shown, needs, *(each.removeprefix("no: ") for each in found if each != "yes")]
            cells = [each.split(":")[0] for each in found] + ["; ".join(filter(None, dict.fromkeys(told)))]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def page(lines: list[str]) -> str:
    """The page with the table in it."""
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + rest.split(END)[1]


def settings() -> dict[str, Any]:
    """Of the environments that are wrapped: small, with pictures, and dialogs that end apart."""
    return {"catalog": "synthetic:60:1", "split": "all", "simulator": "describer", "turns": 3, "stop_when_found": True}


def main() -> None:
    """Writes the page anew."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    torch.set_num_threads(1)
    write_atomically(PAGE, page(table(**settings())).encode())


if __name__ == "__main__":
    tyro.cli(main)
