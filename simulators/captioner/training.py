"""The trainer of captioners: teacher forcing, early stopping, and a checkpoint after every epoch.

TensorBoard, in `<folder>/tensorboard`, over the number of updates made:

    losses/train                nats per word of the update's sentences, dropout at work
    losses/validation           nats per word of the validation sentences
    charts/learning_rate        of the update
    charts/pairs_per_second     speed of the epoch

Checkpoints are those of `dialog_env.training.epochs`; `<folder>/captioner.safetensors` holds the weights that were best
on validation, rounded to float16. One training at a time has the folder.

The released code trains otherwise: see docs/released.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from dialog_env.catalog import Catalog
from dialog_env.io.atomic import locked
from dialog_env.io.keywords import checked
from dialog_env.simulators.captioner import (
    ARCHITECTURES,
    Captioner,
    SavedCaptioner,
    Sizes,
    load_captioner,
    make_captioner,
    masked_loss,
    pair_features,
    save_captioner,
)
from dialog_env.simulators.captioner.caption_data import CaptionSource, Examples, batches, image_digests
from dialog_env.simulators.captioner.user import CAPTIONER_FILE, check_regions, feature_origin
from dialog_env.training.epochs import EpochTraining
from dialog_env.world.vocabulary import Vocabulary

VALIDATION_SEED = 0
VALIDATION_BATCH = 256
KEPT_BYTES = 2 << 30
"""Region features of a split that take more than this are read from the catalogue batch by batch."""


@dataclass(frozen=True)
class CaptionerSettings:
    """Settings of a training."""

    architecture: str = "show_attend_tell"
    """One of the seven captioners."""
    epochs: int = 20
    """Draws of pairs from the captions."""
    patience: int = 3
    """Epochs without a better validation loss after which training stops."""
    batch: int = 64
    """Pairs in an update."""
    learning_rate: float = 1e-3
    """Of Adam, at the start."""
    schedule: str = "cosine"
    """cosine: the learning rate falls to 0 over the epochs along half a cosine. constant: it stays (released)."""
    clip: float = 0.1
    """Largest absolute value of an element of the gradient."""
    threshold: int = 5
    """Words that occur no more than so often become UNK."""
    hidden: int = 256
    """Size of the recurrent state."""
    embedding: int = 256
    """Size of a word."""
    attention: int = 128
    """Size of the space in which regions and state are compared."""
    dropout: float = 0.5
    """Share of activations dropped."""
    seed: int = 0
    """Of all that is drawn."""

    def __post_init__(self) -> None:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in checked(CaptionerSettings, **given).items():
            object.__setattr__(self, name, value)
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"no captioner architecture {self.architecture!r}; known are {', '.join(ARCHITECTURES)}")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"no schedule {self.schedule!r}; known are cosine, constant")
        for name in ("epochs", "patience", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0")


class ImageFeatures:
    """The features of a gallery that a captioner looks at, as input for pairs.

    Args:
        gallery: the images.
        network: says what it looks at.
        device: where the input is wanted.

    Raises:
        ValueError: a network that looks at regions, and a catalogue that has none.
    """

    def __init__(self, gallery: Catalog, network: Captioner, device: torch.device) -> None:
        self.gallery, self.device = gallery, device
        self.pooled = torch.from_numpy(np.asarray(gallery.features)).to(device) if network.needs_pooled else None
        self.needs_regions, self.regions = network.needs_regions, None
        if network.needs_regions:
            shape = check_regions(gallery, network.architecture)
            if 4 * len(gallery) * shape[0] * shape[1] <= KEPT_BYTES:
                self.regions = torch.from_numpy(gallery.read_regions()).to(device)

    def pairs(self, targets: Tensor, candidates: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Pooled (B, 2D) and region (B, R, 2C) features of pairs, None where they are not looked at."""
        pooled = None
        if self.pooled is not None:
            pooled = pair_features(self.pooled[targets.to(self.device)], self.pooled[candidates.to(self.device)])
        return pooled, pair_features(self._regions(targets), self._regions(candidates)) if self.needs_regions else None

    def _regions(self, images: Tensor) -> Tensor:
        if self.regions is not None:
            return self.regions[images.to(self.device)]
        return torch.from_numpy(self.gallery.read_regions(images.cpu().numpy())).to(self.device)


@dataclass
class TrainingProgress:
    """How far a training has come.

    Args:
        epoch: epochs done.
        best: lowest validation loss, of epoch `best_epoch`.
        history: one row of numbers for each epoch.
    """

    epoch: int
    best: float
    best_epoch: int
    history: list[dict[str, float]]


class CaptionTraining(EpochTraining[TrainingProgress]):
    """A captioner that learns in a folder.

    Args:
        settings: the settings.
        source: the sentences to learn.
        validation: the sentences to choose the best epoch by.
        folder: of checkpoints, logs and the captioner; a training that lies there goes on.
        device: where it learns.

    Raises:
        ValueError: a recipe that does not fit the catalogue, galleries that share images, a vocabulary without words,
            or a checkpoint of another training.
        OSError: another process trains in the folder.
    """

    unit = "pairs"
    watched = "losses/train"

    def __init__(
        self,
        settings: CaptionerSettings,
        source: CaptionSource,
        validation: CaptionSource,
        folder: str | Path,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings, self.source, self.validation = settings, source, validation
        self.device = torch.device(device)
        shared = set(source.gallery.ids) & set(validation.gallery.ids)
        if shared and (source.part, validation.part) != ("learn", "judge"):
            raise ValueError(
                f"{len(shared)} images are in both splits, say {min(shared)!r}; give splits that share none"
            )
        self.vocabulary = Vocabulary.from_sentences(source.sentences(), settings.threshold)
        self.draws = torch.Generator().manual_seed(settings.seed)
        self.network = make_captioner(settings.architecture, self._sizes(), self.draws).to(self.device)
        self.drops = torch.Generator(self.device).manual_seed(settings.seed)
        self.network.draw_from(self.drops)
        self.images = ImageFeatures(source.gallery, self.network, self.device)
        self.validation_images = ImageFeatures(validation.gallery, self.network, self.device)
        self.facts_given: dict[str, Any] = {}
        super().__init__(
            Path(folder),
            TrainingProgress(0, math.inf, 0, []),
            name=settings.architecture,
            epochs=settings.epochs,
            updates=len(self._batches(torch.Generator())),
            modules={"network": self.network},
            optimiser=torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate),
            generators={"draws": self.draws, "drops": self.drops},
        )
        with locked(self.folder):
            self.resume()

    def _sizes(self) -> Sizes:
        gallery, settings, kind = self.source.gallery, self.settings, ARCHITECTURES[self.settings.architecture]
        return Sizes(
            words=len(self.vocabulary),
            pooled=gallery.dimensions,
            regions=check_regions(gallery, settings.architecture)[1] if kind.needs_regions else 0,
            hidden=settings.hidden,
            embedding=settings.embedding,
            attention=settings.attention,
            dropout=settings.dropout,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two trainings the same: all that their weights depend on, but for the machine."""
        return {
            "recipe": asdict(self.settings),
            "captions": self.source.id,
            "validation captions": self.validation.id,
            "vocabulary": self.vocabulary.fingerprint,
        }

    def refuse_other(self, path: Path, theirs: dict[str, Any]) -> None:
        """ValueError where a file is of another training."""
        refuse_other(path, theirs, self.identity)

    @property
    def stopped(self) -> bool:
        """Whether validation has not improved for as long as patience lasts, or all epochs are done."""
        done = self.done
        return done.epoch >= self.settings.epochs or done.epoch - done.best_epoch >= self.settings.patience

    def run(self, *, progress: bool = True, facts: dict[str, Any] | None = None) -> SavedCaptioner:
        """Trains to the end and gives the captioner that was best on validation.

        Args:
            progress: shows a progress bar.
            facts: JSON data that goes into the provenance of the captioner.

        Raises:
            ValueError: a loss that is no longer finite; the last checkpoint stays.
            OSError: another process trains in the folder.
        """
        with locked(self.folder):
            self.facts_given = facts or {}
            self.run_epochs(progress=progress)
            saved = load_captioner(self.folder / CAPTIONER_FILE)
        refuse_other(self.folder / CAPTIONER_FILE, saved.provenance, self.identity)
        return saved

    def batches(self) -> Sequence[Examples]:
        """Pairs with their sentences, drawn anew."""
        self.network.train()
        return self._batches(self.draws)

    def _batches(self, generator: torch.Generator) -> list[Examples]:
        return batches(self.source.draw(self.vocabulary, generator), self.settings.batch, generator)

    def size(self, batch: Examples) -> int:
        """Pairs of a batch."""
        return len(batch.targets)

    def update(self, batch: Examples, number: int) -> dict[str, Tensor]:
        """One step of Adam."""
        return {"losses/train": self._update(batch, self._learning_rate(number, self.epochs * self.updates))}

    def settings_of(self, number: int) -> dict[str, float]:
        """The learning rate."""
        return {"charts/learning_rate": self._learning_rate(number, self.epochs * self.updates)}

    def refuse_numbers(self, numbers: dict[str, float]) -> None:
        """ValueError where the loss is no longer finite."""
        self._refuse_non_finite(numbers["losses/train"])

    def _learning_rate(self, update: int, updates: int) -> float:
        if self.settings.schedule == "constant":
            return self.settings.learning_rate
        return self.settings.learning_rate * (1 + math.cos(math.pi * update / updates)) / 2

    def _update(self, examples: Examples, rate: float) -> Tensor:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        tokens = examples.tokens.to(self.device)
        loss = masked_loss(self.network(*self.images.pairs(examples.targets, examples.candidates), tokens), tokens)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_value_(self.network.parameters(), self.settings.clip)
        self.optimiser.step()
        return loss.detach()

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Nats per word of the validation sentences, the same ones at every epoch."""
        self.network.eval()
        examples = self.validation.draw(self.vocabulary, torch.Generator().manual_seed(VALIDATION_SEED))
        total, words = 0.0, 0
        for some in batches(examples, VALIDATION_BATCH, torch.Generator().manual_seed(VALIDATION_SEED)):
            tokens = some.tokens.to(self.device)
            inputs = self.validation_images.pairs(some.targets, some.candidates)
            count = int((tokens != 0).sum()) + len(tokens)  # the words, and one end each
            total += float(masked_loss(self.network(*inputs, tokens), tokens)) * count
            words += count
        return total / words

    def _refuse_non_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is {loss} in epoch {self.done.epoch + 1}; what {self.folder} holds is from before that, "
                "train with a lower learning rate"
            )

    def finish(self, epoch: int, row: dict[str, float], writer: SummaryWriter) -> None:
        """Notes the validation loss, and keeps the captioner where that is lower than before."""
        row["validation"] = self.validation_loss()
        self._refuse_non_finite(row["train"] + row["validation"])
        writer.add_scalar("losses/validation", row["validation"], epoch * self.updates)
        done = self.done
        done.epoch += 1
        done.history.append(row)
        if row["validation"] < done.best:
            done.best, done.best_epoch = row["validation"], done.epoch
            save_captioner(
                self.folder / CAPTIONER_FILE,
                self.network,
                self.vocabulary,
                {**self.facts_given, **self.provenance()},
                dtype=torch.float16,
            )
        self.save()

    def provenance(self) -> dict[str, Any]:
        """What a captioner's file says of its training."""
        gallery = self.source.gallery
        return {
            **self.identity,
            "catalog": {"name": gallery.name, "fingerprint": gallery.split("all").fingerprint},
            "split": gallery.split_name,
            "features": feature_origin(gallery),
            "space": gallery.space_id,
            "image digests": image_digests(gallery),
            "epoch": self.done.epoch,
            "validation loss": self.done.best,
            "history": self.done.history,
        }


def refuse_other(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """ValueError where a file, of the training with their identity, is not of the training with ours.

    What their recipe lacks had its default then.
    """
    if "recipe" not in theirs:
        raise ValueError(f"{path} is not of the training of a captioner; give another folder")
    old, new = ({**asdict(CaptionerSettings()), **facts["recipe"], **facts} for facts in (theirs, ours))
    for key, value in new.items():
        if key != "recipe" and old.get(key) != value:
            raise ValueError(
                f"{path} is of a training with {key} {old.get(key)!r} and this one has {value!r}; "
                "give another folder, or the same as then"
            )
