"""The user of the paper: a neural captioner that looks at both images and says the difference."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.catalog.space import other_space
from dialog_env.simulators.captioner import PrecomputedCaptioner, SavedCaptioner, load_captioner
from dialog_env.simulators.captioner.memory import told_cost
from dialog_env.world.answers import KeptAnswers
from dialog_env.world.vocabulary import Vocabulary

VERSION = 1
"""Of the decoding: greedy, at most 16 words."""

CAPTIONER_FILE = "captioner.safetensors"
"""In the folder of a training."""

SHIPPED = Path(__file__).parent / "weights" / "synthetic"
READ_AT_ONCE = 512 << 20
"""Region features of a gallery that take no more bytes than this are read in one go, others image by image."""


class CaptioningUser:
    """Says what a trained captioner says, by greedy decoding; deterministic for a pair.

    It sees the features of the two images and nothing else: no attribute of a catalogue reaches it. Its answer on a
    pair is the same in every batch, order and device. Shown the target itself, it describes it.

    Args:
        gallery: images with the features that the captioner was trained on.
        argument: folder of a trained captioner, or its file; the one shipped for drawn shoes where None.
        device: where it takes and gives tensors.
        memory_limit: bytes for what is kept of the images; see `PrecomputedCaptioner`. Where they are not all kept, a
            warning says what that costs.
        half: keeps it in half precision; another user, whose answers may differ.
        keep_answers: what it said of a pair is looked up the next time, in other processes too; see `KeptAnswers`.

    Attributes:
        id: architecture, and a hash of weights, vocabulary and decoding.

    Raises:
        FileNotFoundError: no trained captioner in the folder.
        ValueError: a file that is no captioner or damaged, or a catalogue whose features it was not trained on.
    """

    uses_previous = False

    def __init__(
        self,
        gallery: Catalog,
        *,
        argument: str | Path | None = None,
        device: str | torch.device = "cpu",
        memory_limit: int | None = None,
        half: bool = False,
        keep_answers: bool = True,
    ) -> None:
        saved = open_captioner(argument)
        check_features(saved, gallery, "shipped" if argument is None else str(argument))
        self.device = torch.device(device)
        self.gallery_fingerprint = gallery.fingerprint
        self.vocabulary: Vocabulary = saved.vocabulary
        digest = hashlib.sha256(f"{VERSION}:{saved.fingerprint}".encode()).hexdigest()[:12]
        self.id = f"captioner-{saved.network.architecture}{'-half' if half else ''}:{digest}"
        self.kept_answers = (
            KeptAnswers(self.id, self.gallery_fingerprint, len(gallery), len(self.vocabulary), CaptioningUser.feedback)
            if keep_answers
            else None
        )
        self.provenance = saved.provenance
        self._captioner = PrecomputedCaptioner(
            saved.network,
            gallery.features if saved.network.needs_pooled else None,
            RegionReader(gallery) if saved.network.needs_regions else None,
            memory_limit=memory_limit,
            device=self.device,
            half=half,
        )
        kept = self._captioner.capacity
        if kept < len(gallery):
            cost = told_cost(kept, len(gallery), self._captioner.memory_bytes, self._captioner.image_bytes)
            warnings.warn(cost, stacklevel=2)

    def precompute(self) -> None:
        """Reads the features of all images (as many as are kept) now instead of when they are first asked about."""
        self._captioner.precompute()

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of how targets (B,) differ from candidates (B,); `previous` plays no part."""
        return self._captioner.feedback(targets, candidates)

    def log_likelihood(self, tokens: Tensor, targets: Tensor, candidates: Tensor) -> Tensor:
        """(B,) float64 log-probabilities, in nats, with which it would say `tokens` (B, 16) if it drew its words.

        That is for users who draw them: this one always says the likeliest word.
        """
        return self._captioner.log_likelihood(tokens, targets, candidates)

    def sentences(self, targets: Tensor, candidates: Tensor) -> list[str]:
        """The feedback on candidates (B,) as text."""
        return self.vocabulary.decode(self._captioner.feedback(targets, candidates).cpu())


class RegionReader:
    """The region features of a gallery, (N, R, C), read from the catalogue when they are asked for."""

    def __init__(self, gallery: Catalog) -> None:
        regions, channels = gallery.region_shape or (0, 0)
        self.gallery, self.shape = gallery, (len(gallery), regions, channels)
        self._all: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._all is None and 4 * int(np.prod(self.shape)) > READ_AT_ONCE:
            return self.gallery.read_regions(positions)
        if self._all is None:
            self._all = self.gallery.read_regions()
        return self._all[positions]


def open_captioner(argument: str | Path | None) -> SavedCaptioner:
    """The captioner in a folder or file, the shipped one where None.

    Raises:
        FileNotFoundError: none is there.
        ValueError: a file that is no captioner or damaged.
    """
    path = Path(argument or SHIPPED)
    if path.is_dir():
        path = path / CAPTIONER_FILE
        if not path.exists():
            raise FileNotFoundError(
                f"{path.parent} has no {CAPTIONER_FILE}: no epoch of training has ended there yet; "
                f"give `dialog-retrieval simulator train --output {path.parent}` (again)"
            )
    return load_captioner(path)


def check_features(saved: SavedCaptioner, gallery: Catalog, name: str) -> None:
    """ValueError where a gallery's features are made in another way than those that a captioner was trained on."""
    if saved.network.needs_regions:
        check_regions(gallery, saved.network.architecture)
    trained_on, found = saved.provenance.get("features"), feature_origin(gallery)
    space = saved.provenance.get("space", "")
    if other_space(space, gallery.space_id):
        raise ValueError(
            f"the captioner {name!r} knows feature space {space}, and catalogue {gallery.name!r} lies in "
            f"{gallery.space}; build that catalogue with --like the one that the captioner learned from, or train one "
            "with `dialog-retrieval simulator train --catalog … --output FOLDER` and use the simulator "
            "'captioner:FOLDER', or use 'describer'"
        )
    if (not space or space != gallery.space_id) and trained_on is not None and trained_on != found:
        different = next(key for key in ("backbone", "reduction") if trained_on.get(key) != found.get(key))
        raise ValueError(
            f"the captioner {name!r} was trained on features of {different} {trained_on.get(different)}, and catalogue "
            f"{gallery.name!r} has {found.get(different)}; train one with "
            "`dialog-retrieval simulator train --catalog … --output FOLDER` and use the simulator "
            "'captioner:FOLDER', or use 'describer'"
        )


def check_regions(gallery: Catalog, architecture: str) -> tuple[int, int]:
    """(R, C) of a gallery; ValueError where it has no region features."""
    if gallery.region_shape is None:
        raise ValueError(
            f"{architecture} looks at region features and catalogue {gallery.name!r} has none; build it with a "
            "backbone that gives a feature map, or use show_tell or fc"
        )
    return gallery.region_shape


def feature_origin(gallery: Catalog) -> dict[str, Any]:
    """What a catalogue says of the making of its features: a captioner understands features of the same making."""
    return {name: gallery.provenance[name] for name in ("backbone", "reduction") if name in gallery.provenance}
