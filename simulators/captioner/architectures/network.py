"""What all relative captioners share: sizes, memory, the words, teacher forcing and the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RecurrentState = tuple[Tensor, ...]
"""The recurrent state, every tensor (B, H)."""

Affine = tuple[Tensor, Tensor | None]
"""Weight (out, in) and bias (out,) of a linear layer."""


@dataclass(frozen=True)
class Sizes:
    """Widths of a captioner.

    Attributes:
        words: V, the number of words with UNK.
        pooled: D, pooled features of one image; 0 if the architecture looks at regions alone.
        regions: C, channels of one image's region features; 0 if the architecture looks at none.
        hidden: H, the recurrent state.
        embedding: E, a word.
        attention: A, the space in which regions and state are compared.
        dropout: share of activations dropped in training mode.
    """

    words: int
    pooled: int
    regions: int = 0
    hidden: int = 512
    embedding: int = 512
    attention: int = 512
    dropout: float = 0.5

    def __post_init__(self) -> None:
        for name in ("words", "hidden", "embedding", "attention"):
            if getattr(self, name) < 1:
                raise ValueError(f"captioner size {name} is {getattr(self, name)}; give at least 1")
        if min(self.pooled, self.regions) < 0:
            raise ValueError(f"captioner sizes pooled {self.pooled}, regions {self.regions}; give at least 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; give a share in [0, 1)")


class EncodedPair(NamedTuple):
    """What a captioner looks at while it speaks, the same at every word.

    Attributes:
        keys: (B, R, A), regions as they are compared with the state, doubled (see `cells.scores`).
        values: (B, R, ·), regions as they are mixed.
        gates: (B, G), what the pooled features add to the gates at every word.
        projected: whether `values` already went through the layer that reads the mixture.
        room: (B, R, A) to compare regions in at every word, where no gradient is wanted; otherwise None.
    """

    keys: Tensor | None = None
    values: Tensor | None = None
    gates: Tensor | None = None
    projected: bool = False
    room: Tensor | None = None

    def take(self, rows: Tensor) -> EncodedPair:
        """The memory of the dialogs at `rows` (int64 positions)."""
        return EncodedPair(
            None if self.keys is None else self.keys[rows],
            None if self.values is None else self.values[rows],
            None if self.gates is None else self.gates[rows],
            self.projected,
            None if self.room is None else self.room[: len(rows)],
        )


class FirstLayers(NamedTuple):
    """The linear layers that read the images: on pooled features (·, 2D) and on region features (·, 2C)."""

    pooled: Affine | None
    regions: Affine | None


class Dropout(nn.Module):
    """Dropout that draws from a generator that was handed in."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Values of any shape; unchanged in evaluation mode, ValueError in training mode without a generator."""
        if not self.training or self.share == 0:
            return values
        if self.generator is None:
            raise ValueError("a captioner in training mode has no generator; call draw_from(generator) first")
        kept = torch.empty_like(values).bernoulli_(1 - self.share, generator=self.generator)
        return values * kept / (1 - self.share)


def given(tensor: Tensor | None) -> Tensor:
    """The tensor; ValueError where there is none."""
    if tensor is None:
        raise ValueError("the captioner was begun without features that it looks at; give pooled and region features")
    return tensor


def keys_beside_values(keys: nn.Linear, context: nn.Linear) -> Affine:
    """One layer that reads the regions as keys, doubled (see `cells.scores`), and beside them as values.

    The values are what `context` makes of the regions, so that their mixture need not pass it at every word, unless
    it makes its input wider: then they are the regions as they are, which leaves less to keep, to copy and to mix.
    """
    width, channels = context.weight.shape
    weight = context.weight
    values = weight if width <= channels else torch.eye(channels, dtype=weight.dtype, device=weight.device)
    return torch.cat([2 * keys.weight, values]), F.pad(2 * keys.bias, (0, len(values)))


def split_keys(regions: Tensor, keys: nn.Linear, context: nn.Linear) -> tuple[Tensor, Tensor, bool]:
    """Doubled keys and values (B, R, ·) from outputs of `keys_beside_values`, and whether `context` made the values."""
    width, channels = context.weight.shape
    doubled, values = regions.split([keys.out_features, min(width, channels)], dim=2)
    return doubled, values, width <= channels


def pair_features(targets: Tensor, candidates: Tensor) -> Tensor:
    """Input of a captioner, [target, target - candidate] on the channel axis: (..., C) twice -> (..., 2C)."""
    return torch.cat([targets, targets - candidates], dim=-1)


class Captioner(nn.Module, ABC):
    """A network that says how a target differs from a candidate.

    Images enter as `pair_features`. Every image is first read by linear layers (`first_layers`), so that their
    products with single images can be kept and subtracted (`PrecomputedCaptioner`).

    Source: the captioners of Guo et al., NeurIPS 2018, and of the image captioning code they build on.
    """

    architecture: ClassVar[str]
    needs_pooled: ClassVar[bool] = True
    needs_regions: ClassVar[bool] = False
    gates: ClassVar[int]
    """G / H, how many times the hidden size the words feed into the recurrent core."""
    rectified: ClassVar[bool] = False
    """Whether word embeddings pass a ReLU and dropout."""

    def __init__(self, sizes: Sizes, *, word_bias: bool = True) -> None:
        super().__init__()
        if self.needs_pooled and not sizes.pooled:
            raise ValueError(f"{self.architecture} looks at pooled features; give their size")
        if self.needs_regions and not sizes.regions:
            raise ValueError(f"{self.architecture} looks at region features; give their channels")
        self.sizes = sizes
        # Given its weights, it draws none: drawing them without memory would load all of the compiler first.
        self.embedding = nn.Embedding.from_pretrained(torch.empty(sizes.words + 1, sizes.embedding), freeze=False)
        self.words = nn.Linear(sizes.embedding, self.gates * sizes.hidden, bias=word_bias)
        self.logit = nn.Linear(sizes.hidden, sizes.words + 1)
        self.dropout = Dropout(sizes.dropout)

    @abstractmethod
    def first_layers(self) -> FirstLayers:
        """The linear layers that read the images, as (weight, bias)."""

    @abstractmethod
    def begin_projected(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """Memory and state before the first word, from the outputs (B, ·), (B, R, ·) of the first layers."""

    @abstractmethod
    def step(self, words: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """One word: what it feeds into the gates (B, G) -> hidden (B, H) and the next state."""

    def begin(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[EncodedPair, RecurrentState]:
        """Memory and state before the first word.

        Args:
            pooled: (B, 2D) `pair_features` of pooled features.
            regions: (B, R, 2C) `pair_features` of region features; None for an architecture that needs none.

        Raises:
            ValueError: features that the architecture needs are missing or of another width.
        """
        pooled, regions = self.check(pooled, regions)
        layers = self.first_layers()
        return self.begin_projected(
            None if layers.pooled is None or pooled is None else F.linear(pooled, *layers.pooled),
            None if layers.regions is None or regions is None else F.linear(regions, *layers.regions),
        )

    def check(self, pooled: Tensor | None, regions: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The features that the architecture looks at, None for the others; ValueError where they do not fit."""
        used = []
        for kind, needed, features, width, axes in (
            ("pooled", self.needs_pooled, pooled, 2 * self.sizes.pooled, 2),
            ("region", self.needs_regions, regions, 2 * self.sizes.regions, 3),
        ):
            if needed and features is None:
                raise ValueError(f"{self.architecture} needs {kind} features; use a catalogue that has them")
            if needed and features is not None and (features.dim() != axes or features.shape[-1] != width):
                raise ValueError(
                    f"{kind} features of a pair have shape {tuple(features.shape)}, {self.architecture} was made "
                    f"for {width} channels; use the catalogue features that it was trained on"
                )
            used.append(features if needed else None)
        return used[0], used[1]

    def word_gates(self, tokens: Tensor) -> Tensor:
        """What words feed into the gates: tokens (...) -> (..., G)."""
        embedded = self.embedding(tokens)
        if self.rectified:
            embedded = self.dropout(torch.relu(embedded))
        gates: Tensor = self.words(embedded)
        return gates

    def forward(self, pooled: Tensor | None, regions: Tensor | None, tokens: Tensor) -> Tensor:
        """Log-probabilities of every next token under teacher forcing.

        Args:
            pooled: (B, 2D) `pair_features` of pooled features.
            regions: (B, R, 2C) `pair_features` of region features; None for an architecture that needs none.
            tokens: (B, L) int64 sentences, 0 = padding and end.

        Returns:
            (B, L + 1, V + 1): at position i for token i, at position L for the end after L words.

        Raises:
            ValueError: features that the architecture needs are missing or of another width.
        """
        encoded, state = self.begin(pooled, regions)
        words = self.word_gates(F.pad(tokens, (1, 0)))  # 0 also begins a sentence
        hidden = []
        for position in range(words.shape[1]):
            output, state = self.step(words[:, position], encoded, state)
            hidden.append(output)
        logits = self.logit(self.dropout(torch.stack(hidden, dim=1)))  # L + 1 times (B, H) -> (B, L + 1, V + 1)
        return torch.log_softmax(logits, dim=-1)

    def zero_state(self, rows: int, tensors: int = 2) -> RecurrentState:
        """`tensors` zeros of (B, H)."""
        return tuple(self.logit.weight.new_zeros(rows, self.sizes.hidden) for _ in range(tensors))

    def check_finite(self, owner: str) -> None:
        """ValueError, naming `owner`, if a weight is not finite."""
        for name, weight in self.state_dict().items():
            if not torch.isfinite(weight).all():
                raise ValueError(f"weight {name!r} of {owner} is not finite; use an undamaged checkpoint")

    def draw_from(self, generator: torch.Generator | None) -> None:
        """Lets dropout draw from `generator`, on the device of the network."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Draws all weights: embedding and output uniform in ±0.1, others in ±1/sqrt(fan in), output bias 0."""
        for name, parameter in self.named_parameters():
            owner = self.get_submodule(name.rpartition(".")[0])
            bound = 0.1
            if isinstance(owner, nn.Linear) and owner is not self.logit:
                bound = owner.in_features**-0.5
            drawn = torch.empty(parameter.shape, device=generator.device)
            parameter.copy_(drawn.uniform_(-bound, bound, generator=generator))
        self.logit.bias.zero_()


def masked_loss(log_probabilities: Tensor, tokens: Tensor) -> Tensor:
    """Mean negative log-probability of the words of every sentence and of its end.

    Args:
        log_probabilities: (B, L + 1, V + 1) from `Captioner.forward`.
        tokens: (B, L) int64, the same sentences.

    Returns:
        (), in nats per token.
    """
    following = F.pad(tokens, (0, 1))  # (B, L) -> (B, L + 1)
    counted = F.pad(tokens != 0, (1, 0), value=True).cumprod(dim=1)  # each word, and one end
    chosen = log_probabilities.gather(2, following.unsqueeze(2)).squeeze(2)
    return -(chosen * counted).sum() / counted.sum()
