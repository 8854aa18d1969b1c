"""What an environment shows and takes where nobody says it part by part: for people, or for a library as it comes."""

from __future__ import annotations

from dataclasses import dataclass

VECTORS = ("coordinates", "words", "one_hot_turn")


@dataclass(frozen=True)
class Preset:
    """Keywords that belong together.

    Args:
        action: keyword `action` of the environment.
        observation: keyword `observation`.
    """

    action: str
    observation: tuple[str, ...]


PRESETS = {
    "dialog": Preset("candidate", ("features",)),
    "vector": Preset("direction", VECTORS),
    "discrete": Preset("move", VECTORS),
}
"""Value of the keyword `preset` to what it means."""
