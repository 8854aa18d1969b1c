"""Captioners as files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dialog_env.files import write_atomically
from dialog_env.vocabulary import Vocabulary
from simulators.captioners.architectures import weightless_captioner
from simulators.captioners.network import Captioner, Sizes

FORMAT = 1


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
    """Writes one safetensors file: the weights, and as JSON in its header all else. Atomic.

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
    _check_words(path, network.sizes, vocabulary)
    header = {
        "format": FORMAT,
        "architecture": network.architecture,
        "sizes": asdict(network.sizes),
        "words": vocabulary.words,
        "provenance": dict(provenance or {}),
        "torch": torch.__version__,
    }
    weights = {name: weight.detach().to("cpu", dtype).contiguous() for name, weight in network.state_dict().items()}
    write_atomically(path, save(weights, metadata={"captioner": json.dumps(header, ensure_ascii=False)}))


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
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no captioner at {path}; train one with `python -m simulators train --output {path}`, or name another "
            "folder or file"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["captioner"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sizes, words = Sizes(**header["sizes"]), Vocabulary(tuple(header["words"]))
        found, provenance = str(header["architecture"]), dict(header["provenance"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a captioner ({error}); write one with save_captioner") from error
    if header["format"] != FORMAT:
        raise ValueError(f"{path} has format {header['format']}, this version reads {FORMAT}; write it again")
    if architecture is not None and found != architecture:
        raise ValueError(f"{path} holds a {found} captioner, not {architecture}; name another file or architecture")
    if vocabulary is not None and words.words != vocabulary.words:
        raise ValueError(
            f"{path} speaks {len(words)} words (fingerprint {words.fingerprint}), not the {len(vocabulary)} expected "
            f"({vocabulary.fingerprint}); use the vocabulary that it was trained with"
        )
    _check_words(path, sizes, words)
    network = weightless_captioner(found, sizes)
    try:
        network.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    except RuntimeError as error:
        raise ValueError(f"the weights in {path} do not fit a {found} captioner ({error})") from error
    network.check_finite(str(path))
    return SavedCaptioner(network, words, provenance, captioner_fingerprint(network, words))


def _check_words(path: str | Path, sizes: Sizes, vocabulary: Vocabulary) -> None:
    if sizes.words != len(vocabulary):
        raise ValueError(
            f"{path}: the captioner knows {sizes.words} words, its vocabulary has {len(vocabulary)}; "
            "use the vocabulary that it was trained with"
        )
