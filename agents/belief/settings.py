"""Settings of the belief."""

from __future__ import annotations

from dataclasses import dataclass

from dialog_env.world.dialog import TURNS

ASK = ("likely", "expected")


@dataclass(frozen=True)
class BeliefSettings:
    """Settings of the belief."""

    epochs: int = 60
    """Passes over the targets of the training gallery."""
    batch: int = 96
    """Dialogs in an update."""
    turns: int = TURNS
    """Turns of a dialog while training."""
    images: int = 1250
    """Images in the gallery that is drawn for an update, its targets among them."""
    learning_rate: float = 2e-3
    """Of AdamW, at the start; it falls along half a cosine."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    dropout: float = 0.0
    """Of the image side."""
    evidence: int = 256
    """E, numbers in what a sentence tells and in what an image is."""
    regions: int = 384
    """K, components of the region features that are looked at; 0 for pooled features alone."""
    ask: str = "likely"
    """Which image is shown. likely: the likeliest not shown yet. expected: the one whose answer is expected to tell
    most, for which the user has to be known; at the last of the `turns` the likeliest."""
    candidates: int = 12
    """K, so many of the likeliest images are weighed against each other where it does not show the likeliest."""
    targets: int = 24
    """M, so many of the likeliest images are weighed as targets."""
    initial: str = ""
    """Folder of a saved belief whose weights are the first ones, or "shipped" for the one that comes along; empty for
    new weights."""

    def __post_init__(self) -> None:
        least = {
            "epochs": 0,
            "batch": 1,
            "turns": 1,
            "images": 2,
            "evidence": 1,
            "regions": 0,
            "candidates": 1,
            "targets": 1,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} is {getattr(self, name)}; give {bound} or more")
        if self.ask not in ASK:
            raise ValueError(f"no ask {self.ask!r}; known are {', '.join(ASK)}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"learning_rate {self.learning_rate}, weight_decay {self.weight_decay} and dropout {self.dropout} "
                "cannot be used; give a learning_rate above 0, a weight_decay of 0 or more and a dropout below 1"
            )
