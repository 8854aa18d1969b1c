"""Dialogs as Minari data sets, for offline reinforcement learning. Needs the extra `minari`."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from dialog_env.catalog import Catalog
from dialog_env.envs.observations import FeaturePart, FeedbackPart, TurnPart, default_space
from dialog_env.evaluate.logs import DialogLog
from dialog_env.evaluate.record_export import positions_of
from dialog_env.evaluate.records import DialogRecord, records_of
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary

if TYPE_CHECKING:
    from minari import MinariDataset

ENVIRONMENT = "DialogRetrieval-v0"


def to_minari(
    dialogs: DialogLog | Sequence[DialogRecord],
    gallery: Catalog,
    vocabulary: Vocabulary,
    dataset_id: str,
    *,
    environment: dict[str, Any] | None = None,
    **metadata: Any,
) -> MinariDataset:
    """Stores dialogs as episodes of `DialogRetrieval-v0` with candidate actions and percentile rewards.

    The data set goes where Minari keeps its own (`MINARI_DATASETS_PATH`). Targets are not part of it. A turn's action
    is the image shown after it; where a person looked at another one instead, that is what the next observation holds.
    An episode whose dialog was given up, or never ended, is truncated.

    Args:
        dialogs: a log, or records; those without a target, or in which nothing was said, are left out.
        gallery: that they were held in.
        vocabulary: of the user.
        dataset_id: Minari's name for it, such as "dialog/supervised-v0".
        environment: keywords of `DialogRetrieval-v0` with which it is made again, `catalog` by its name or path,
            `split` and `simulator` among them: then `recover_environment()` gives it. Its turns are those of the
            longest dialog where they are not given.
        **metadata: what else `minari.create_dataset_from_buffers` takes (author, description, …).

    Raises:
        ImportError: Minari is not installed.
        ValueError: another gallery, an environment of another gallery or with fewer turns, a data set of that name, or
            no dialog to store.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ImportError as error:
        raise ImportError('Minari is not installed; run pip install "dialog-retrieval[minari]"') from error
    records = records_of(dialogs) if isinstance(dialogs, DialogLog) else dialogs
    where = positions_of(records, gallery)
    kept = [each for each in records if each.turns and all(None not in (turn.rank, turn.shown) for turn in each.turns)]
    if not kept:
        raise ValueError(f"none of {len(records)} dialogs has turns and a target; record some that have")
    longest = max(len(record.turns) for record in kept)
    episodes = []
    for number, record in enumerate(kept):
        turns = len(record.turns)
        seen = [where[turn.candidate] for turn in record.turns] + [where[record.turns[-1].shown]]
        tokens = np.zeros((turns + 1, MAX_WORDS), dtype=np.int64)
        tokens[:-1] = vocabulary.encode([turn.said for turn in record.turns])
        rank = np.array([turn.rank for turn in record.turns], dtype=np.float64)
        ended = (np.arange(turns) == turns - 1) & (record.end is not None and not record.end.gave_up)
        episodes.append(
            EpisodeBuffer(
                id=number,
                observations={
                    FeaturePart.key: gallery.features[seen],
                    FeedbackPart.key: tokens,
                    TurnPart.key: np.arange(turns + 1),
                },
                actions=np.array([where[turn.shown] for turn in record.turns]),
                rewards=1 - rank / len(gallery),
                terminations=ended,
                truncations=(np.arange(turns) == turns - 1) & ~ended,
                infos={},
            )
        )
    spec = None if environment is None else _spec({"turns": longest, **environment}, gallery, longest)
    turns = longest if spec is None else spec.kwargs["turns"]
    bound = max(1.0, float(np.abs(gallery.features).max()))
    return minari.create_dataset_from_buffers(
        dataset_id,
        buffer=episodes,
        env=spec,
        algorithm_name=kept[0].begin.agent,
        observation_space=default_space(gallery.dimensions, len(vocabulary), turns, bound),
        action_space=spaces.Discrete(len(gallery)),
        **metadata,
    )


def _spec(keywords: dict[str, Any], gallery: Catalog, longest: int) -> EnvSpec:
    """The environment as Gymnasium keeps it; ValueError where it is none of these dialogs."""
    env: Any = gymnasium.make(ENVIRONMENT, **keywords).unwrapped
    if env.gallery.fingerprint != gallery.fingerprint or keywords["turns"] < longest:
        raise ValueError(
            f"an environment of {env.gallery!r} with {keywords['turns']} turns was given for dialogs in {gallery!r} of "
            f"up to {longest}; give the keywords that make that gallery"
        )
    spec = deepcopy(gymnasium.spec(ENVIRONMENT))
    spec.kwargs = keywords
    return spec
