"""How far an agent that says how sure it is can be trusted: what it expects against what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.protocol import Record
from dialog_env.io.keywords import checked_count
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram (DeGroot & Fienberg, 1983).

    Args:
        expected: (bins,) mean probability, by the agent, that the first image of its ranking is the target; NaN where
            there is none.
        observed: (bins,) share of them in which it is.
        count: (bins,) how many.
    """

    expected: NDArray[np.float64]
    observed: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of the two, weighted by how many there are; 0 is best."""
        distance = np.nan_to_num(np.abs(self.expected - self.observed))
        return float((distance * self.count).sum() / max(self.count.sum(), 1))


def reliability(probability: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10) -> Reliability:
    """The diagram of probabilities (…) in [0, 1] and of what happened (…), in bins of equal width.

    Raises:
        ValueError: other shapes, probabilities outside [0, 1], or no bin.
    """
    bins = checked_count("bins", bins)
    if probability.shape != right.shape or not bool(((probability >= 0) & (probability <= 1)).all()):
        raise ValueError(
            f"probabilities {probability.shape} and outcomes {right.shape} make no diagram; give as many of each, "
            "probabilities from 0 to 1"
        )
    place = np.minimum((probability.ravel() * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        expected, observed = (
            np.bincount(place, weights=each.ravel().astype(np.float64), minlength=bins) / count
            for each in (probability, right)
        )
    return Reliability(expected, observed, count)


def believed(
    policy: Any, gallery: Catalog, simulator: UserSimulator, **settings: Any
) -> tuple[Record, NDArray[np.float64], NDArray[np.bool_]]:
    """A run of the protocol, in which an agent with `log_belief` also says how sure it is.

    Args:
        policy: the agent.
        gallery, simulator: as in `dialog_env.evaluate.protocol.run`.
        **settings: its other arguments.

    Returns:
        the record, the probability (M, T) of the first image of each ranking, and whether it is the target (M, T).

    Raises:
        ValueError: an agent without a belief, or what the protocol refuses.
    """
    if not callable(getattr(policy, "log_belief", None)):
        raise ValueError(f"{type(policy).__name__} has no log_belief; give an agent that says how sure it is")
    listener = _Listener(policy)
    record = protocol.run(listener, gallery, simulator, **settings)
    probability = np.concatenate([np.stack(turns, axis=1) for turns in listener.batches])
    return record, probability, record.closer[:, 1:] == 0


class _Listener:
    """Passes everything on, and notes how sure the agent is."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.batches: list[list[NDArray[np.float64]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)

    def begin(self, batch: int) -> Any:
        self.batches.append([])
        return self.policy.begin(batch)

    @torch.no_grad()
    def act(self, observation: Observation, memory: Any) -> Any:
        decision = self.policy.act(observation, memory)
        best = self.policy.log_belief(decision.memory).gather(1, decision.ranking.top(1))[:, 0]
        self.batches[-1].append(best.double().exp().clamp(0, 1).cpu().numpy())
        return decision
