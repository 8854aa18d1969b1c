"""How good the weights of an agent are while it learns: by the dialogs of the validation gallery."""

from __future__ import annotations

from dialog_env.agents.base import Agent, TrainingData
from dialog_env.evaluate import metrics, protocol

VALIDATION_SEED = 0


def validate(agent: Agent, training_data: TrainingData, turns: int) -> dict[str, float]:
    """Mean percentile over the turns, and at the last, of a dialog for every validation image."""
    record = protocol.run(
        agent,
        training_data.validation_gallery,
        training_data.validation_simulator,
        seed=VALIDATION_SEED,
        turns=turns,
        device=agent.device,
    )
    percentile = metrics.percentile(record)
    return {"validation": float(percentile.mean()), "validation_last": float(percentile[:, -1].mean())}
