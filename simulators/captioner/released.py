"""Captioners released with the paper's code: weights and options from their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dialog_env.io.atomic import file_digest
from dialog_env.io.checkpoint import MOST_BYTES
from dialog_env.io.pickles import Opaque, read_pickled_data, read_state_dict
from dialog_env.io.reading import one_sentence, read_bytes
from dialog_env.simulators.captioner.architectures import empty_captioner, find_architecture
from dialog_env.simulators.captioner.architectures.network import Captioner, Sizes
from dialog_env.simulators.captioner.checkpoint import SavedCaptioner, captioner_fingerprint, check_words
from dialog_env.world.vocabulary import Vocabulary

OPTIONS = "file of plain options"
STATE_DICT = "state dict of tensors"
REMEDY = "give an undamaged option file that was released with a captioner"
HARMLESS = frozenset(
    {
        ("argparse", "Namespace"),
        ("__builtin__", "object"),
        ("builtins", "object"),
        ("copy_reg", "_reconstructor"),
        ("copyreg", "_reconstructor"),
        ("_codecs", "encode"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
    }
)
"""Names that training options refer to. Even these are only noted, never looked up or called."""


class _Weights:
    """A released state dict that remembers what was taken from it."""

    def __init__(self, architecture: str, weights: Mapping[str, Tensor]) -> None:
        self.architecture = architecture
        self.weights = weights
        self.taken: set[str] = set()

    def __call__(self, name: str) -> Tensor:
        if name not in self.weights:
            raise ValueError(f"the weights have no {name!r}, so they are not of {self.architecture}; name another")
        self.taken.add(name)
        tensor = self.weights[name]
        if not isinstance(tensor, Tensor) or not torch.isfinite(tensor).all():
            raise ValueError(f"of the weights {name!r} is no tensor of finite numbers; use an undamaged checkpoint")
        return tensor.detach().float().cpu()

    def check_all_taken(self) -> None:
        left = sorted(set(self.weights) - self.taken)
        if left:
            raise ValueError(f"the weights have {left[0]!r}, so they are not of {self.architecture}; name another")


def import_released(state_dict: Mapping[str, Tensor], architecture: str) -> Captioner:
    """A captioner in evaluation mode from weights under their released names.

    Biases that are only ever added to each other become one. `alpha_net.bias` is left out: it adds the same to
    the score of every region and never changes anything.

    Args:
        state_dict: what `torch.load(path, weights_only=True)` gives.
        architecture: a key of `ARCHITECTURES`.

    Raises:
        ValueError: weights of another architecture, missing ones, or ones that are not finite.
    """
    kind = find_architecture(architecture)
    with one_sentence("the weights", f"state dict of {architecture}", "use an undamaged checkpoint"):
        return _rename(_Weights(architecture, state_dict), kind)


def _rename(weights: _Weights, kind: type[Captioner]) -> Captioner:
    architecture = kind.architecture
    renamed = _RENAME[architecture](weights)
    renamed |= {"logit.weight": weights("logit.weight"), "logit.bias": weights("logit.bias")}
    embedding = "embed.0.weight" if kind.rectified else "embed.weight"
    renamed["embedding.weight"] = weights(embedding)
    weights.check_all_taken()

    def inputs(names: tuple[str, ...]) -> int:
        return next((renamed[name].shape[1] // 2 for name in names if name in renamed), 0)

    sizes = Sizes(
        words=len(renamed["embedding.weight"]) - 1,
        pooled=inputs(("image.weight", "start.weight")),
        regions=inputs(("regions.weight", "keys.weight")),
        hidden=renamed["logit.weight"].shape[1],
        embedding=renamed["embedding.weight"].shape[1],
        attention=len(renamed["keys.weight"]) if "keys.weight" in renamed else 1,
    )
    network = empty_captioner(architecture, sizes)
    network.load_state_dict(renamed)
    return network


def _show_tell(w: _Weights) -> dict[str, Tensor]:
    return {
        "image.weight": w("img_embed.weight"),
        "image.bias": w("img_embed.bias"),
        "words.weight": w("core.weight_ih_l0"),
        "recurrent.weight": w("core.weight_hh_l0"),
    }


def _fc(w: _Weights) -> dict[str, Tensor]:
    return {
        "image.weight": w("img_embed.weight"),
        "image.bias": w("img_embed.bias"),
        "words.weight": w("core.i2h.weight"),
        "words.bias": w("core.i2h.bias") + w("core.h2h.bias"),
        "recurrent.weight": w("core.h2h.weight"),
    }


def _show_attend_tell(w: _Weights) -> dict[str, Tensor]:
    embedding = w("embed.weight").shape[1]
    inputs = w("core.rnn.weight_ih_l0")  # of [word, mixture]
    w("core.alpha_net.bias")
    return {
        "start.weight": w("linear.weight"),
        "start.bias": w("linear.bias"),
        "keys.weight": w("core.ctx2att.weight"),
        "keys.bias": w("core.ctx2att.bias") + w("core.h2att.bias"),
        "context.weight": inputs[:, embedding:],
        "words.weight": inputs[:, :embedding],
        "recurrent.weight": torch.cat([w("core.rnn.weight_hh_l0"), w("core.h2att.weight")]),
        "score.weight": w("core.alpha_net.weight"),
    }


def _attend_in(w: _Weights, attention: str = "core.") -> dict[str, Tensor]:
    bias = w("core.i2h.bias") + w("core.h2h.bias")
    context = w("core.a2c.bias")
    bias[-len(context) :] += context  # attention weights sum to one, so this bias is always added whole
    w(attention + "alpha_net.bias")
    return {
        "keys.weight": w("ctx2att.weight"),
        "keys.bias": w("ctx2att.bias") + w(attention + "h2att.bias"),
        "context.weight": w("core.a2c.weight"),
        "words.weight": w("core.i2h.weight"),
        "words.bias": bias,
        "recurrent.weight": torch.cat([w("core.h2h.weight"), w(attention + "h2att.weight")]),
        "score.weight": w(attention + "alpha_net.weight"),
    }


def _attend_in2(w: _Weights) -> dict[str, Tensor]:
    return {
        **_attend_in(w, "core.attention."),
        "regions.weight": w("att_embed.0.weight"),
        "regions.bias": w("att_embed.0.bias"),
    }


def _embedded(w: _Weights) -> dict[str, Tensor]:
    return {
        "image.weight": w("fc_embed.0.weight"),
        "image.bias": w("fc_embed.0.bias"),
        "regions.weight": w("att_embed.0.weight"),
        "regions.bias": w("att_embed.0.bias"),
        "keys.weight": w("ctx2att.weight"),
        "score.weight": w("core.attention.alpha_net.weight"),
    }


def _adaptive(w: _Weights) -> dict[str, Tensor]:
    def stacked(kind: str, cell: str, sentinel: str) -> Tensor:
        return torch.cat([w(f"core.lstm.{cell}.{kind}"), w(f"core.lstm.{sentinel}.{kind}")])

    query_bias = w("core.attention.ho_embed.bias")
    w("core.attention.alpha_net.bias")
    sources = (("w2h", "r_w2h"), ("v2h", "r_v2h"), ("h2h.0", "r_h2h"))
    return {
        **_embedded(w),
        "words.weight": stacked("weight", *sources[0]),
        "words.bias": sum((stacked("bias", *source) for source in sources), torch.zeros(())),
        "image_gates.weight": stacked("weight", *sources[1]),
        "recurrent.weight": stacked("weight", *sources[2]),
        "keys.bias": w("ctx2att.bias") + query_bias,
        "sentinel.weight": w("core.attention.fr_linear.0.weight"),
        "sentinel.bias": w("core.attention.fr_linear.0.bias"),
        "sentinel_key.weight": w("core.attention.fr_embed.weight"),
        "sentinel_key.bias": w("core.attention.fr_embed.bias") + query_bias,
        "spoken.weight": w("core.attention.ho_linear.0.weight"),
        "spoken.bias": w("core.attention.ho_linear.0.bias"),
        "query.weight": w("core.attention.ho_embed.weight"),
        "output.weight": w("core.attention.att2h.weight"),
        "output.bias": w("core.attention.att2h.bias"),
    }


def _topdown(w: _Weights) -> dict[str, Tensor]:
    hidden = w("logit.weight").shape[1]
    inputs = w("core.att_lstm.weight_ih")  # of [spoken, image, word]
    w("core.attention.alpha_net.bias")
    return {
        **_embedded(w),
        "keys.bias": w("ctx2att.bias") + w("core.attention.h2att.bias"),
        "query.weight": w("core.attention.h2att.weight"),
        "looking.weight": torch.cat([inputs[:, :hidden], w("core.att_lstm.weight_hh")], dim=1),
        "image_gates.weight": inputs[:, hidden : 2 * hidden],
        "words.weight": inputs[:, 2 * hidden :],
        "words.bias": w("core.att_lstm.bias_ih") + w("core.att_lstm.bias_hh"),
        "speaking.weight": torch.cat([w("core.lang_lstm.weight_ih"), w("core.lang_lstm.weight_hh")], dim=1),
        "speaking.bias": w("core.lang_lstm.bias_ih") + w("core.lang_lstm.bias_hh"),
    }


_RENAME: dict[str, Callable[[_Weights], dict[str, Tensor]]] = {
    "show_tell": _show_tell,
    "fc": _fc,
    "show_attend_tell": _show_attend_tell,
    "att2in": _attend_in,
    "att2in2": _attend_in2,
    "adaatt": _adaptive,
    "topdown": _topdown,
}


class ReleasedOptions(NamedTuple):
    """What a released option file says.

    Attributes:
        architecture: a key of `ARCHITECTURES`.
        vocabulary: its words, the last one UNK.
        options: every option of the training run that is plain data.
    """

    architecture: str
    vocabulary: Vocabulary
    options: dict[str, object]


def read_released_options(path: str | Path) -> ReleasedOptions:
    """Reads the pickled options ("infos") beside a released checkpoint without executing anything in them.

    Raises:
        ValueError: a file that holds more than data, or none of the expected entries.
    """
    found = read_pickled_data(path, lambda *name: name in HARMLESS, OPTIONS, REMEDY)
    options = found.get("opt") if isinstance(found, dict) else None
    state = options.state if isinstance(options, Opaque) else options
    words = found.get("vocab") if isinstance(found, dict) else None
    architecture = state.get("caption_model") if isinstance(state, dict) else None
    if not isinstance(state, dict) or not isinstance(words, dict) or not isinstance(architecture, str):
        raise ValueError(f"{path} has no 'opt' with a 'caption_model' and no 'vocab'; {REMEDY}")
    with one_sentence(path, OPTIONS, REMEDY):
        ordered = {str(token): str(word) for token, word in words.items()}
        tokens = [str(token) for token in range(1, len(words) + 1)]
        if ordered.keys() != set(tokens):
            raise ValueError(f"the tokens of its vocabulary are not 1..{len(words)}")
        vocabulary = Vocabulary(tuple(ordered[token] for token in tokens))
        find_architecture(architecture)
    plain = {str(key): value for key, value in state.items() if not isinstance(value, Opaque)}
    return ReleasedOptions(architecture, vocabulary, plain)


def read_released_captioner(weights: str | Path, options: str | Path) -> SavedCaptioner:
    """A captioner from the two files that it was released as; its provenance holds the SHA-256 of both.

    Args:
        weights: what `torch.save` wrote of its state dict.
        options: see `read_released_options`.

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: one is damaged or holds something else, or they do not belong together.
    """
    told = read_released_options(options)
    remedy = "give the weights that were released with these options"
    state = read_state_dict(read_bytes(weights, STATE_DICT, remedy, limit=MOST_BYTES), weights, STATE_DICT, remedy)
    with one_sentence(weights, f"{told.architecture} captioner of {len(told.vocabulary)} words", remedy):
        network = import_released(state, told.architecture)
        check_words(weights, network.sizes, told.vocabulary)
    files = {Path(path).name: file_digest(path) for path in (weights, options)}
    fingerprint = captioner_fingerprint(network, told.vocabulary)
    return SavedCaptioner(network, told.vocabulary, {"released files, sha256": files}, fingerprint)
