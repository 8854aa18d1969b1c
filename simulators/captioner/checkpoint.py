"""Captioners as files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from dialog_env.io import checkpoint
from dialog_env.io.reading import one_sentence, parse_json
from dialog_env.simulators.captioner.architectures import weightless_captioner
from dialog_env.simulators.captioner.architectures.network import Captioner, Sizes
from dialog_env.world.vocabulary import Vocabulary

REMEDY = "write one with save_captioner"
HEADER = "captioner"
"""Where files of before they were checkpoints keep their facts; they have no digest."""


@dataclass(frozen=True)
class CaptionerFacts:
    """What a captioner's file says beside its weights.

    Args:
        architecture: a key of `ARCHITECTURES`.
        sizes: of the network.
        words: of its vocabulary.
        provenance: how it was trained.
        format: of the other facts.
        torch: the version that wrote the file.
    """

    architecture: str
    sizes: Sizes
    words: tuple[str, ...]
    provenance: dict[str, Any]
    format: Literal[1] = 1
    torch: str = torch.__version__


class SavedCaptioner(NamedTuple):
    """A captioner read from a file.

    Attributes:
        network: in evaluation mode, on the CPU.
        vocabulary: the words of its tokens.
        provenance: how it was trained, as given to `save_captioner`.
        fingerprint: changes whenever its answers may change.
    """

    network: Captioner
    vocabulary: Vocabulary
    provenance: dict[str, Any]
    fingerprint: str


def captioner_fingerprint(network: Captioner, vocabulary: Vocabulary) -> str:
    """Digest of architecture, sizes, words and weights; dropout does not count, it changes no answer."""
    sizes = {name: value for name, value in asdict(network.sizes).items() if name != "dropout"}
    digest = hashlib.sha256(json.dumps([network.architecture, sizes, vocabulary.words]).encode())
    for name, weight in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_captioner(
    path: str | Path,
    network: Captioner,
    vocabulary: Vocabulary,
    provenance: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes one checkpoint: the weights, and as facts all else. Atomic.

    Args:
        path: of the file, by custom `*.safetensors`.
        network: the captioner.
        vocabulary: the words of its tokens.
        provenance: JSON data on the training (catalogue, command, seed, scores).
        dtype: of the weights in the file. Rounded to float16 they take half the room, and the captioner read from the
            file may say other things than the one given.

    Raises:
        ValueError: a vocabulary of another size than the network's, or weights that are not finite.
    """
    network.check_finite("the captioner")
    check_words(path, network.sizes, vocabulary)
    facts = CaptionerFacts(network.architecture, network.sizes, vocabulary.words, dict(provenance or {}))
    weights = {name: weight.detach().to("cpu", dtype) for name, weight in network.state_dict().items()}
    checkpoint.write(path, weights, asdict(facts))


def load_captioner(
    path: str | Path, *, architecture: str | None = None, vocabulary: Vocabulary | None = None
) -> SavedCaptioner:
    """Reads what `save_captioner` wrote.

    Args:
        path: of the file.
        architecture: the one that is expected, if any will not do.
        vocabulary: the one that is expected, if any will not do.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file, another architecture or vocabulary, or weights that are not finite.
    """
    weights, facts = _read(path)
    with one_sentence(path, "captioner", REMEDY):
        found, words = facts.architecture, Vocabulary(facts.words)
    if architecture is not None and found != architecture:
        raise ValueError(f"{path} holds a {found} captioner, not {architecture}; name another file or architecture")
    if vocabulary is not None and words.words != vocabulary.words:
        raise ValueError(
            f"{path} speaks {len(words)} words (fingerprint {words.fingerprint}), not the {len(vocabulary)} expected "
            f"({vocabulary.fingerprint}); use the vocabulary that it was trained with"
        )
    check_words(path, facts.sizes, words)
    with one_sentence(path, f"{found} captioner", REMEDY):
        network = weightless_captioner(found, facts.sizes)
        network.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    network.check_finite(str(path))
    return SavedCaptioner(network, words, facts.provenance, captioner_fingerprint(network, words))


def _read(path: str | Path) -> tuple[Mapping[str, torch.Tensor], CaptionerFacts]:
    absent = f"train one with `dialog-retrieval simulator train --output {path}`, or name another folder or file"
    tensors, header = checkpoint.read_tensors(path, "captioner", absent)
    if HEADER in header:
        return tensors, parse_json(header[HEADER], CaptionerFacts, str(path), "captioner", REMEDY)
    saved = checkpoint.verified(path, tensors, header, "captioner")
    return saved.tensors, saved.facts_as(CaptionerFacts, "captioner", REMEDY)


def check_words(path: str | Path, sizes: Sizes, vocabulary: Vocabulary) -> None:
    """ValueError where a captioner from a file knows another number of words than its vocabulary has."""
    if sizes.words != len(vocabulary):
        raise ValueError(
            f"{path}: the captioner knows {sizes.words} words, its vocabulary has {len(vocabulary)}; "
            "use the vocabulary that it was trained with"
        )
