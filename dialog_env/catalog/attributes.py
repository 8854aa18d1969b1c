"""What is known in words about the images of a catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

RELATIVE_ATTRIBUTES = (
    "pointy at the front",
    "open",
    "bright in colour",
    "covered with ornaments",
    "shiny",
    "high at the heel",
    "long on the leg",
    "formal",
    "sporty",
    "feminine",
)
"""The ten relative attributes known for the Shoes data set."""


@dataclass(frozen=True)
class AttributeTable:
    """Graded and categorical attributes of N images.

    A graded attribute says how much of a property an image has, in [0, 1], NaN where unknown. A categorical
    attribute is one of a list of values, -1 where unknown.

    Args:
        graded_names: names of the G graded attributes.
        graded: (N, G) float32.
        categorical_names: names of the K categorical attributes.
        values: for each categorical attribute, the names of its values.
        categorical: (N, K) int16, positions in `values`.

    Raises:
        ValueError: shapes that disagree, a grade outside [0, 1], or a code without a value.
    """

    graded_names: tuple[str, ...]
    graded: NDArray[np.float32]
    categorical_names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    categorical: NDArray[np.int16]

    def __post_init__(self) -> None:
        rows = {len(self.graded), len(self.categorical)}
        if self.graded.shape[1:] != (len(self.graded_names),) or self.categorical.shape[1:] != (
            len(self.categorical_names),
        ):
            raise ValueError(
                f"attribute arrays of shape {self.graded.shape} and {self.categorical.shape} do not fit "
                f"{len(self.graded_names)} graded and {len(self.categorical_names)} categorical names; "
                "give one column for each name"
            )
        if len(rows) != 1 or len(self.values) != len(self.categorical_names):
            raise ValueError(
                f"attributes for {sorted(rows)} images with {len(self.values)} lists of values do not fit together; "
                "give one row for each image and one list of values for each categorical attribute"
            )
        for names in (self.graded_names, self.categorical_names, *self.values):
            for name, count in Counter(names).items():
                if count > 1:
                    raise ValueError(f"{name!r} names {count} attributes or values of one; give each a name of its own")
        if ((self.graded < 0) | (self.graded > 1)).any():
            raise ValueError("graded attributes reach outside [0, 1]; rescale them, or use NaN for unknown")
        for column, (name, values) in enumerate(zip(self.categorical_names, self.values, strict=True)):
            codes = self.categorical[:, column]
            if len(codes) and (codes.min() < -1 or codes.max() >= len(values)):
                raise ValueError(
                    f"categorical attribute {name!r} has a code outside -1..{len(values) - 1}; "
                    "name a value for every code, or use -1 for unknown"
                )

    def __len__(self) -> int:
        return len(self.graded)

    def take(self, indices: NDArray[np.int64]) -> AttributeTable:
        """The rows at `indices` (M,), with all names and values kept."""
        return replace(self, graded=self.graded[indices], categorical=self.categorical[indices])

    def only(self, names: Collection[str]) -> AttributeTable:
        """The attributes of these names, in the order of the table; KeyError, naming it, for one that is not there."""
        unknown = [name for name in names if name not in (*self.graded_names, *self.categorical_names)]
        if unknown:
            known = ", ".join((*self.graded_names, *self.categorical_names))
            raise KeyError(f"no attribute {unknown[0]!r}; there are {known}")
        graded = [place for place, name in enumerate(self.graded_names) if name in names]
        categorical = [place for place, name in enumerate(self.categorical_names) if name in names]
        return AttributeTable(
            graded_names=tuple(self.graded_names[place] for place in graded),
            graded=self.graded[:, graded],
            categorical_names=tuple(self.categorical_names[place] for place in categorical),
            values=tuple(self.values[place] for place in categorical),
            categorical=self.categorical[:, categorical],
        )

    def grade(self, name: str) -> NDArray[np.float32]:
        """(N,) grades of one graded attribute; KeyError where there is none of that name."""
        if name not in self.graded_names:
            raise KeyError(f"no graded attribute {name!r}; there are {', '.join(self.graded_names)}")
        return self.graded[:, self.graded_names.index(name)]

    def codes(self, name: str) -> NDArray[np.int16]:
        """(N,) codes of one categorical attribute; KeyError where there is none of that name."""
        if name not in self.categorical_names:
            raise KeyError(f"no categorical attribute {name!r}; there are {', '.join(self.categorical_names)}")
        return self.categorical[:, self.categorical_names.index(name)]
