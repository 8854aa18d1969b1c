"""Relative captioners: networks that look at two images and say the difference."""

from dialog_env.simulators.captioner.architectures import ARCHITECTURES, make_captioner
from dialog_env.simulators.captioner.architectures.network import Captioner, Sizes, masked_loss, pair_features
from dialog_env.simulators.captioner.checkpoint import (
    SavedCaptioner,
    captioner_fingerprint,
    load_captioner,
    save_captioner,
)
from dialog_env.simulators.captioner.decoding import Sentences, Start, beam_search, greedy, sample, start_speaking
from dialog_env.simulators.captioner.precomputed import PrecomputedCaptioner
from dialog_env.simulators.captioner.released import (
    ReleasedOptions,
    import_released,
    read_released_captioner,
    read_released_options,
)

__all__ = [
    "ARCHITECTURES",
    "Captioner",
    "PrecomputedCaptioner",
    "ReleasedOptions",
    "SavedCaptioner",
    "Sentences",
    "Sizes",
    "Start",
    "beam_search",
    "captioner_fingerprint",
    "greedy",
    "import_released",
    "load_captioner",
    "make_captioner",
    "masked_loss",
    "pair_features",
    "read_released_captioner",
    "read_released_options",
    "sample",
    "save_captioner",
    "start_speaking",
]
