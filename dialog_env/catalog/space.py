"""The space that features live in: how an item becomes a feature, and a name for that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.catalog.sources.reduction import Projection, unit_rows


@dataclass(frozen=True)
class FeatureSpace:
    """How an item becomes features: encoder, pooling and the reductions that were fitted on some items.

    Args:
        recipe: all that the features depend on but the machine, JSON-able: the digests of the encoder's files, pooling,
            sizes, and `fitted on`, the digest of the items that the reductions were fitted on.
        name: of the encoder, for people.
        pooled: reduction of pooled features; None leaves them as they are.
        regions: reduction of region features; None leaves them as they are.
        region_factor: what reduced region features are multiplied with.
    """

    recipe: dict[str, Any]
    name: str
    pooled: Projection | None = None
    regions: Projection | None = None
    region_factor: float = 1.0

    @property
    def id(self) -> str:
        """Of the recipe alone: the same for the same items and settings on every machine, whatever it rounds."""
        return hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def encoder(self) -> dict[str, Any]:
        """The part of the recipe that tells encoders apart."""
        found: dict[str, Any] = self.recipe.get("encoder", {})
        return found

    def check_encoder(self, recipe: dict[str, Any], what: str, where: str) -> None:
        """ValueError where an encoder, `what`, of another recipe shall embed into this space, that of `where`."""
        ours, theirs = (json.loads(json.dumps(each)) for each in (self.encoder, recipe))
        different = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        if different:
            raise ValueError(
                f"{where} lies in feature space {self} and {what} is another encoder than it was built with (its "
                f"{different[0]} differs); give the encoder of then"
            )

    def place(self, pooled: NDArray[Any]) -> NDArray[np.float32]:
        """Features (n, D), rows of norm 1, of what the encoder gave (n, C)."""
        return unit_rows((pooled if self.pooled is None else self.pooled(pooled)).astype(np.float32))

    def place_regions(self, regions: NDArray[Any]) -> NDArray[np.float16]:
        """Region features (n, R, D) of what the encoder gave (n, R, C)."""
        reduced = regions.astype(np.float32) if self.regions is None else self.regions(regions)
        return (reduced * np.float32(self.region_factor)).astype(np.float16)

    def __str__(self) -> str:
        return f"{self.id} ({self.name})"


def digest_of_items(digests: Iterable[bytes]) -> str:
    """One digest for many items, in whatever order."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def drawn_space(fingerprint: str) -> FeatureSpace:
    """The space of drawn shoes: that of the network with this fingerprint, whose features are stored as they are."""
    return FeatureSpace({"encoder": {"kind": "synthetic", "fingerprint": fingerprint}}, "synthetic")


def other_space(ours: str, theirs: str) -> bool:
    """Whether two ids are of different spaces; "" stands for an unknown one, which may be any."""
    return bool(ours and theirs and ours != theirs)
