"""Dialog logs as Minari data sets, for offline reinforcement learning. Needs the extra `minari`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from dialog_env.catalog import Catalog
from dialog_env.envs.observations import FeaturePart, FeedbackPart, TurnPart, default_space
from dialog_env.evaluate.logs import DialogLog
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary

if TYPE_CHECKING:
    from minari import MinariDataset


def to_minari(
    log: DialogLog, gallery: Catalog, vocabulary: Vocabulary, dataset_id: str, **metadata: Any
) -> MinariDataset:
    """Stores dialogs as episodes of `DialogRetrieval-v0` with candidate actions and percentile rewards.

    The data set goes where Minari keeps its own (`MINARI_DATASETS_PATH`). Targets are not part of it.

    Args:
        log: the dialogs.
        gallery: that they were held in.
        vocabulary: of the user.
        dataset_id: Minari's name for it, such as "dialog/supervised-v0".
        **metadata: what else `minari.create_dataset_from_buffers` takes (author, description, …).

    Raises:
        ImportError: Minari is not installed.
        ValueError: another gallery, or a data set of that name.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ImportError as error:
        raise ImportError('Minari is not installed; run pip install "dialog-retrieval[minari]"') from error
    _, shown = log.positions(gallery)
    turns = shown.shape[1] - 1
    tokens = np.zeros((len(log), turns + 1, MAX_WORDS), dtype=np.int64)
    tokens[:, :-1] = vocabulary.encode(list(log.feedback.ravel())).reshape(len(log), turns, -1)
    reward = log.percentile[:, 1:]
    bound = max(1.0, float(np.abs(gallery.features).max()))
    episodes = [
        EpisodeBuffer(
            id=number,
            observations={
                FeaturePart.key: gallery.features[shown[number]],
                FeedbackPart.key: tokens[number],
                TurnPart.key: np.arange(turns + 1),
            },
            actions=shown[number, 1:],
            rewards=reward[number],
            terminations=np.arange(turns) == turns - 1,
            truncations=np.zeros(turns, dtype=bool),
            infos={},
        )
        for number in range(len(log))
    ]
    return minari.create_dataset_from_buffers(
        dataset_id,
        buffer=episodes,
        algorithm_name=log.agent,
        observation_space=default_space(gallery.dimensions, len(vocabulary), turns, bound),
        action_space=spaces.Discrete(len(gallery)),
        **metadata,
    )
