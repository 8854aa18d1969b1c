"""Settings of the belief."""

from __future__ import annotations

from dataclasses import dataclass

from dialog_env.world.dialog import TURNS

KNOWN = {"ask": ("likely", "expected", "learned"), "memory": ("sum", "recurrent"), "loss": ("gallery", "triplet")}


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
    memory: str = "sum"
    """How the evidence of the turns comes together: sum, or recurrent, by a GRU cell, as in the paper's agent."""
    loss: str = "gallery"
    """What is learned from: gallery, the cross-entropy over the whole gallery, or triplet, by one random other image,
    as in the paper's agent."""
    repeats: bool = False
    """Whether an image may be shown again, as by the paper's agent."""
    ask: str = "likely"
    """Which image is shown. likely: the likeliest not shown yet. expected: the one by which the target is expected to
    be found soonest, at this turn or by its answer at the next, for which the user has to be known. learned: the one
    that a small network has learned to choose, which needs no user. At the last of the `turns` the likeliest."""
    candidates: int = 12
    """K, so many of the likeliest images are weighed against each other where it does not show the likeliest."""
    targets: int = 24
    """M, so many of the likeliest images are weighed as targets."""
    discount: float = 0.5
    """What finding the target a turn later is worth, where it asks; a belief hears less than was said."""
    unknown: float = 0.0
    """While training, the share of the words that become UNK, which is passed over."""
    asking_updates: int = 0
    """Updates, of 48 dialogs, in which `ask=learned` is learned once the belief is, say 100; 0 leaves it as the initial
    weights have it."""
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
            "asking_updates": 0,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} is {getattr(self, name)}; give {bound} or more")
        for name in ("discount", "unknown"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 to 1")
        for name, known in KNOWN.items():
            if getattr(self, name) not in known:
                raise ValueError(f"no {name} {getattr(self, name)!r}; known are {', '.join(known)}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"learning_rate {self.learning_rate}, weight_decay {self.weight_decay} and dropout {self.dropout} "
                "cannot be used; give a learning_rate above 0, a weight_decay of 0 or more and a dropout below 1"
            )
