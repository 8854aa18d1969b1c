"""Users who fill in a form instead of speaking: n attributes of the target, or n comparisons with the candidate.

One token is one statement ("colour-red", "very-shiny", "less-shiny"), so that ten of them fit into the feedback and the
same network reads them.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators.describer.pair_hash import CHANCES, PairHashes, below
from dialog_env.world.vocabulary import MAX_WORDS, UNKNOWN, Vocabulary, split_words

VERSION = 1
MOST = MAX_WORDS
SCALE = 1000
NOTICEABLE = 100
"""Thousandths of a grade below which two items count as equal."""
LEVELS = ("hardly", "fairly", "very")
RELATIONS = ("less", "as", "more")
NOTHING = "nothing-known"

Integers = NDArray[np.int64]


class _FormUser:
    """What the two have in common: a word for every statement, of which the best n are told in the table's order."""

    uses_previous = False

    def __init__(
        self, kind: str, gallery: Catalog, argument: str, words: list[list[str]], device: str | torch.device
    ) -> None:
        self.device = torch.device(device)
        self.count = _count(kind, argument)
        self.gallery_fingerprint = gallery.fingerprint
        spoken = sorted({word for column in words for word in column} | {NOTHING})
        self.vocabulary = Vocabulary((*spoken, UNKNOWN))
        whole = _attributes(gallery.split("all"))
        self.id = f"{kind}:{self.count}-{VERSION}:{_digest(whole, words)}"
        tokens = np.zeros((len(words), max(map(len, words))), dtype=np.int64)
        for row, column in zip(tokens, words, strict=True):
            row[: len(column)] = [self.vocabulary.tokens[word] for word in column]
        self._tokens = torch.from_numpy(tokens).to(self.device)
        self._columns = torch.arange(len(words), device=self.device)

    def _tell(self, statements: Tensor, scores: Tensor) -> Tensor:
        """Tokens (B, 16) of the `count` statements (B, A) with the highest scores (B, A) >= 0."""
        columns = len(self._columns)
        # Equal scores go to the attribute that comes first, on every device.
        ranked = torch.where(scores >= 0, scores * columns + columns - 1 - self._columns, -1)
        best = ranked.topk(min(self.count, columns), dim=1).values
        chosen = torch.where(best >= 0, columns - 1 - best % columns, columns).sort(dim=1).values
        tokens = self._tokens[self._columns, statements]  # (B, A)
        tokens = torch.nn.functional.pad(tokens, (0, 1)).gather(1, chosen)
        tokens[:, 0] = torch.where(tokens[:, 0] == 0, self.vocabulary.tokens[NOTHING], tokens[:, 0])
        return torch.nn.functional.pad(tokens, (0, MAX_WORDS - tokens.shape[1]))


class AttributeUser(_FormUser):
    """Names n attributes of the target, such as "class-boots colour-red very-shiny"; the candidate is not judged.

    Told first are those that the candidate does not share, the rarest in the catalogue first: a user who sees that
    the candidate is red too does not spend the answer on it. Graded attributes have three levels, bounded by the
    thirds of the catalogue. Unknown ones are left out.

    Args:
        gallery: images with attributes.
        argument: n, as text; 1 to 16.
        error: share of the statements that are wrong: they name any other value or level of the attribute. Which are,
            is decided by a hash of the ids of both images and the seed, so that a pair gets the same answer always.
        seed: another seed errs elsewhere.
        device: where it takes and gives tensors.

    Raises:
        ValueError: a catalogue without attributes, an n that is no number in 1..16, or an error outside 0..1.
    """

    def __init__(
        self,
        gallery: Catalog,
        *,
        argument: str = "10",
        error: float = 0.0,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        if not 0 <= error <= 1:
            raise ValueError(f"error is {error}; give a share of the statements, from 0 to 1")
        table, whole = _attributes(gallery), _attributes(gallery.split("all"))
        words = [[f"{level}-{_joined(name)}" for level in LEVELS] for name in table.graded_names]
        words += [
            [f"{_joined(name)}-{_joined(value)}" for value in values]
            for name, values in zip(table.categorical_names, table.values, strict=True)
        ]
        super().__init__("attributes", gallery, argument, words, device)
        bounds = [np.nanquantile(column, (1 / 3, 2 / 3)) for column in _known_columns(whole)]
        codes, all_codes = _level_codes(table, bounds), _level_codes(whole, bounds)
        self._codes = torch.from_numpy(codes).to(self.device)
        self._bits = torch.from_numpy(_bits(all_codes, self._tokens.shape[1])).to(self.device)
        self._error = round(error * CHANCES)
        if error:
            self.id += f":error={float(error)},seed={seed}"
        self._hashes = PairHashes(gallery.ids, seed, 2 * len(words), self.device)
        self._values = torch.tensor([len(column) for column in words], device=self.device)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of n attributes of targets (B,); `previous` plays no part."""
        mine, other = self._codes[targets], self._codes[candidates]
        said = mine.clamp(min=0)
        scores = self._bits[self._columns, said] + (mine != other) * (100 * SCALE)
        if self._error:
            said = self._mistaken(said, targets, candidates)
        return self._tell(said, torch.where(mine >= 0, scores, -1))

    def _mistaken(self, said: Tensor, targets: Tensor, candidates: Tensor) -> Tensor:
        """Values (B, A), of which some are exchanged for any other of the same attribute, where it has another."""
        columns = said.shape[1]
        hashes = self._hashes(targets, candidates)  # (B, 2 A)
        step = 1 + below(hashes[:, columns:], (self._values - 1).clamp(min=1))
        wrong = (below(hashes[:, :columns], CHANCES) < self._error) & (self._values > 1)
        return torch.where(wrong, (said + step) % self._values, said)


class RelativeAttributeUser(_FormUser):
    """Compares the target with the candidate in n graded attributes: "more-open less-shiny as-formal".

    Told are the n of the largest difference, measured in standard deviations over the catalogue; of a catalogue
    with fewer than n graded attributes, all. Unknown ones are left out.

    Args:
        gallery: images with graded attributes.
        argument: n, as text; 1 to 16.
        device: where it takes and gives tensors.

    Raises:
        ValueError: a catalogue without graded attributes, or an n that is no number in 1..16.
    """

    def __init__(self, gallery: Catalog, *, argument: str = "10", device: str | torch.device = "cpu") -> None:
        table, whole = _attributes(gallery), _attributes(gallery.split("all"))
        if not table.graded_names:
            raise ValueError(
                f"catalogue {gallery.name!r} has no graded attributes to compare; "
                "use the simulator attributes:n, or build it with graded attributes"
            )
        words = [[f"{relation}-{_joined(name)}" for relation in RELATIONS] for name in table.graded_names]
        super().__init__("relative", gallery, argument, words, device)
        self._grades = torch.from_numpy(_grades(table)).to(self.device)
        spread = np.array([np.nanstd(column) for column in _known_columns(whole)])
        self._spread = torch.from_numpy(np.rint(spread * SCALE).clip(min=1).astype(np.int64)).to(self.device)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, 16) int64 of targets (B,) against candidates (B,); `previous` plays no part."""
        mine, other = self._grades[targets], self._grades[candidates]
        change = mine - other
        relation = 1 + (change >= NOTICEABLE).long() - (change <= -NOTICEABLE).long()
        scores = change.abs() * SCALE // self._spread
        return self._tell(relation, torch.where((mine >= 0) & (other >= 0), scores, -1))


def _count(kind: str, argument: str) -> int:
    if not argument.isdecimal() or not 1 <= int(argument) <= MOST:
        raise ValueError(f"{kind}:{argument} does not say how many; give a number from 1 to {MOST}, as in {kind}:3")
    return int(argument)


def _attributes(gallery: Catalog) -> AttributeTable:
    table = gallery.attributes
    if table is None or not (table.graded_names or any(table.values)):
        raise ValueError(
            f"catalogue {gallery.name!r} has no attributes to tell; build it from a source that has some, "
            "or use relevance feedback"
        )
    return table


def _joined(name: str) -> str:
    return "-".join(split_words(name.replace("_", " "))) or "unnamed"


def _grades(table: AttributeTable) -> Integers:
    """(N, G) grades in thousandths, -1 where unknown."""
    known = np.isfinite(table.graded)
    return np.where(known, np.rint(np.where(known, table.graded, 0.0) * SCALE), -1).astype(np.int64)


def _known_columns(table: AttributeTable) -> list[NDArray[np.float64]]:
    """The known grades of each graded attribute; a single 0 where there are none."""
    columns = [column[np.isfinite(column)].astype(np.float64) for column in table.graded.T]
    return [column if len(column) else np.zeros(1) for column in columns]


def _level_codes(table: AttributeTable, bounds: list[NDArray[np.float64]]) -> Integers:
    """(N, G + K) the level of each grade between its bounds, then the categorical codes; -1 where unknown."""
    levels = [
        np.where(np.isfinite(column), np.digitize(column, limits, right=True), -1)
        for column, limits in zip(table.graded.T.astype(np.float64), bounds, strict=True)
    ]
    codes = list(table.categorical.T.astype(np.int64))
    return np.ascontiguousarray(np.stack([*levels, *codes], axis=1).astype(np.int64))


def _bits(codes: Integers, values: int) -> Integers:
    """(A, values) thousandths of bits that a value tells: rare ones tell more."""
    counts = np.stack([np.bincount(column[column >= 0], minlength=values) for column in codes.T])
    known = counts.sum(axis=1, keepdims=True)
    return np.rint(-np.log2((counts + 1) / (known + values)) * SCALE).astype(np.int64)


def _digest(table: AttributeTable, words: list[list[str]]) -> str:
    digest = hashlib.sha256(repr(words).encode())
    digest.update(_grades(table).tobytes() + table.categorical.astype(np.int64).tobytes())
    return digest.hexdigest()[:12]
