"""Networks of agents: what one has to be, how one is made, and the paper's (Guo et al., 2018, figure 2)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dialog_env.agents.base import initial_weights
from dialog_env.io.reading import first_line
from dialog_env.registry import Parts
from dialog_env.world.vocabulary import MAX_WORDS

WORD_SIZE = 512
STATE_SIZE = 256

NETWORKS = Parts(
    "network",
    "networks",
    {"guo2018": "dialog_env.agents.guo2018.networks:DialogNetwork"},
    required=("begin", "forward"),
)
"""A network is a class made by `Class(dimensions=…, words=…)` that gives what `Network` says."""


class Network(nn.Module):
    """What the network of an agent has; any `nn.Module` that has it will do, derived from this class or not.

    It is made by `Class(dimensions=D, words=V)` for features (…, D) and tokens from 0 to V, 0 being the padding, and
    with `fusion=` where its constructor takes that. Images and states lie in one space of E dimensions.

    Attributes:
        image: embeddings (…, E) of features (…, D), a method or a module.
        begin: memory (B, …), one tensor, of so many dialogs that have not begun, on the device of the weights.
        forward: the state (B, E) and the memory (B, …) after a turn, of the candidates' features (B, D), the feedback
            (B, L) on them, and the memory of the turn before.
        initialise: is not needed; one that is there draws the initial weights from the generator that it is given.
            Otherwise they are those of the constructor, drawn from PyTorch's global generator, which is seeded for it.
    """

    image: Callable[[Tensor], Tensor]
    begin: Callable[[int], Tensor]


class TextEncoder(nn.Module):
    """Sentences to vectors: a convolution over two consecutive words, its maximum over positions, a linear layer.

    The convolution is linear in each of its two words, so a word's two products are computed once for the whole
    vocabulary and added up per position; padding takes part like any word, as released.

    A batch of one dialog in training has no spread to normalise by: it is normalised by the running statistics, as in
    evaluation, and leaves them as they are.

    Args:
        words: V, the size of the vocabulary.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, WORD_SIZE)
        self.convolution = nn.Conv1d(WORD_SIZE, WORD_SIZE, kernel_size=2)
        self.normalisation = nn.BatchNorm1d(WORD_SIZE)
        self.output = nn.Linear(WORD_SIZE, STATE_SIZE, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encodings (B, 256) of sentences (B, L)."""
        if tokens.numel() < self.embedding.num_embeddings:
            vectors, rows = self.embedding(tokens).flatten(0, 1), torch.arange(tokens.numel()).view_as(tokens)
            rows = rows.to(tokens.device)
        else:
            vectors, rows = self.embedding.weight, tokens
        first = functional.linear(vectors, self.convolution.weight[:, :, 0], self.convolution.bias)
        second = functional.linear(vectors, self.convolution.weight[:, :, 1])
        strongest = strongest_pairs(rows, first, second)  # (B, 512)
        if self.training and len(tokens) == 1:
            norm = self.normalisation
            normed = functional.batch_norm(
                strongest, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        else:
            normed = self.normalisation(strongest)
        encoding: Tensor = self.output(normed)  # (B, 512) -> (B, 256)
        return encoding


def strongest_pairs(rows: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """(B, C) maximum over the positions of first[word] + second[next word].

    Args:
        rows: (B, L) int64, the words.
        first, second: (V, C), what each word gives as the first and as the second of two.
    """
    if torch.is_grad_enabled() or rows.device.type != "cpu":
        pairs = functional.embedding(rows[:, :-1], first) + functional.embedding(rows[:, 1:], second)  # (B, L - 1, C)
        return pairs.max(dim=1).values
    # One position at a time, so that what is compared stays in the cache; the same sums, so the same maxima.
    strongest = first[rows[:, 0]].add_(second[rows[:, 1]])
    for position in range(1, rows.shape[1] - 1):
        pair = first[rows[:, position]].add_(second[rows[:, position + 1]])
        torch.maximum(strongest, pair, out=strongest)
    return strongest


class Sum(nn.Module):
    """Image embedding + text encoding, then a linear layer (released)."""

    def __init__(self) -> None:
        super().__init__()
        self.joint = nn.Linear(STATE_SIZE, STATE_SIZE, bias=False)

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """(B, 256) and (B, 256) to (B, 256)."""
        response: Tensor = self.joint(image + text)
        return response


class Concatenation(nn.Module):
    """Image embedding beside text encoding, then a linear layer (paper, figure 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.joint = nn.Linear(2 * STATE_SIZE, STATE_SIZE, bias=False)

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """(B, 256) and (B, 256) to (B, 256)."""
        response: Tensor = self.joint(torch.cat([image, text], dim=1))
        return response


FUSIONS: dict[str, Callable[[], nn.Module]] = {"sum": Sum, "concatenation": Concatenation}


class DialogNetwork(Network):
    """From what was shown and answered to a state in the space of image embeddings.

    Args:
        dimensions: D, the size of the pooled features.
        words: V, the size of the vocabulary.
        fusion: how image and text meet: "sum" (released) or "concatenation" (paper).

    Raises:
        ValueError: an unknown fusion.
    """

    def __init__(self, dimensions: int, words: int, fusion: str = "sum") -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"no fusion {fusion!r}; known are {', '.join(FUSIONS)}")
        self.dimensions, self.words, self.fusion_name = dimensions, words, fusion
        self.image = nn.Linear(dimensions, STATE_SIZE)
        self.text = TextEncoder(words)
        self.fusion = FUSIONS[fusion]()
        self.tracker = nn.GRUCell(STATE_SIZE, STATE_SIZE, bias=False)
        self.head = nn.Linear(STATE_SIZE, STATE_SIZE, bias=False)

    def forward(self, features: Tensor, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One turn of B dialogs.

        Args:
            features: (B, D) pooled features of the candidates.
            tokens: (B, L) feedback on them.
            hidden: (B, 256) memory of the turns before.

        Returns:
            state (B, 256), to be compared with image embeddings, and hidden (B, 256).
        """
        response = self.fusion(self.image(features), self.text(tokens))  # (B, 256)
        hidden = self.tracker(response, hidden)
        return self.head(hidden), hidden

    def begin(self, batch: int) -> Tensor:
        """Hidden state (B, 256) of dialogs that have not begun."""
        return self.head.weight.new_zeros(batch, STATE_SIZE)

    def initialise(self, generator: torch.Generator) -> None:
        """Draws PyTorch's usual initial weights from a generator."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Embedding):
                    module.weight.normal_(generator=generator)
                elif isinstance(module, nn.Linear | nn.Conv1d | nn.GRUCell):
                    # A layer's bound is 1 / sqrt(inputs of one output); the GRU cell's is 1 / sqrt(hidden size).
                    own = list(module.parameters(recurse=False))
                    bound = 1 / math.sqrt(STATE_SIZE if isinstance(module, nn.GRUCell) else own[0][0].numel())
                    for parameter in own:
                        parameter.uniform_(-bound, bound, generator=generator)


def empty_network(dimensions: int, words: int, fusion: str = "sum") -> DialogNetwork:
    """A network whose weights are yet to be filled in; nothing is drawn from any generator."""
    with torch.device("meta"):
        network = DialogNetwork(dimensions, words, fusion)
    return network.to_empty(device="cpu")


def new_network(
    dimensions: int, words: int, fusion: str, generator: torch.Generator, kind: type[nn.Module] = DialogNetwork
) -> Network:
    """A network with initial weights; PyTorch's global generator is left as it was.

    Args:
        dimensions: D, the size of the pooled features.
        words: V, the size of the vocabulary.
        fusion: how image and text meet, for classes that leave the choice.
        generator: decides the weights.
        kind: its class.

    Raises:
        ValueError: the class cannot be made so, or does not give what `Network` says.
    """
    name = NETWORKS.name_of(kind)
    if not issubclass(kind, nn.Module):
        raise ValueError(f"{name!r} is no network: it is no module; derive the class from torch.nn.Module")
    if kind.forward is nn.Module.forward:
        raise ValueError(f"{name!r} is no network: it has no forward; give it what is missing")
    sizes: dict[str, Any] = {"dimensions": dimensions, "words": words}
    if "fusion" in inspect.signature(kind).parameters:
        sizes["fusion"] = fusion
    with initial_weights(generator):
        try:
            network = cast(Network, kind(**sizes))
        except TypeError as error:
            raise ValueError(
                f"network {name!r} cannot be made ({first_line(error)}); let its constructor take dimensions and words"
            ) from error
        if not callable(getattr(network, "image", None)):
            raise ValueError(f"{name!r} is no network: it has no image; give it what is missing")
        _try_out(network.eval(), name, dimensions)
        initialise = getattr(network, "initialise", None)
        if initialise is not None:
            initialise(generator)
    return network.train()


@torch.no_grad()
def _try_out(network: Network, name: str, dimensions: int) -> None:
    """ValueError where a turn of two dialogs does not give tensors of the shapes that are agreed upon."""
    features = torch.zeros(2, dimensions)
    try:
        images, memory = network.image(features), network.begin(2)
        state, after = network(features, torch.zeros(2, MAX_WORDS, dtype=torch.int64), memory)
        shapes = [tuple(each.shape) for each in (images, state, memory, after)]
    except Exception as error:
        raise ValueError(
            f"{name!r} is no network: a turn of two dialogs fails ({first_line(error)}); "
            "give image, begin and forward as dialog_env.agents.guo2018.networks.Network says"
        ) from error
    if len(shapes[0]) != 2 or shapes[0] != shapes[1] or shapes[2][:1] != (2,) or shapes[2] != shapes[3]:
        raise ValueError(
            f"{name!r} is no network: for two dialogs it gives images, states and memory of shapes {shapes[0]}, "
            f"{shapes[1]} and {shapes[2]} (then {shapes[3]}); give (2, E), (2, E) and (2, …)"
        )
