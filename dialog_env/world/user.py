"""What a user simulator is, and where the known ones live."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.devices import find_device
from dialog_env.keywords import checked
from dialog_env.vocabulary import Vocabulary


@runtime_checkable
class UserSimulator(Protocol):
    """Says how a target differs from a candidate, for a batch of pairs of one gallery.

    The answer for a pair depends on nothing but the pair (and, for feedback that compares with it, the image
    shown before): not on the batch around it, its order, or the device.

    Attributes:
        id: name, version and settings; changes whenever an answer changes.
        vocabulary: the words of its tokens.
        gallery_fingerprint: fingerprint of the gallery whose positions it understands.
        device: where it takes and gives tensors.
        uses_previous: may be left out; False says that `previous` plays no part, so that who looks ahead can use an
            answer again whatever was shown before.
        deterministic: may be left out; False says that the same question may be answered in two ways.
        log_likelihood: a method that may be left out; from tokens (B, L), targets (B,) and candidates (B,) to the
            log-probabilities (B,), in nats, of saying just that. Who knows the user needs it where answers are drawn.
    """

    id: str
    vocabulary: Vocabulary
    gallery_fingerprint: str

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Tokens (B, L) int64 of the feedback on each candidate.

        Args:
            targets: (B,) int64, gallery positions of the images in mind.
            candidates: (B,) int64, gallery positions of the images shown.
            previous: (B,) int64, the images shown a turn before, -1 where there was none.
        """
        ...


@dataclass(frozen=True)
class UserFacts:
    """What an agent may know of a user that it does not know in person.

    Args:
        id: of the user.
        vocabulary: its words.
    """

    id: str
    vocabulary: Vocabulary


def facts_of(simulator: UserSimulator) -> UserFacts:
    """The facts of a user, which lead back to nothing of it."""
    return UserFacts(str(simulator.id), Vocabulary(tuple(simulator.vocabulary.words)))


SIMULATORS: dict[str, str] = {
    "describer": "simulators.describer:Describer",
    "captioner": "simulators.captioner:CaptioningUser",
    "relevance": "simulators.relevance:RelevanceUser",
    "attributes": "simulators.attribute_feedback:AttributeUser",
    "relative": "simulators.attribute_feedback:RelativeAttributeUser",
}
"""Name to `module:class`; the class is called with the gallery and keywords."""


def register_simulator(name: str, entry_point: str) -> None:
    """Makes `make_simulator(name, …)` find the class at `module:class`; ValueError if the name is taken by another."""
    if SIMULATORS.get(name, entry_point) != entry_point:
        raise ValueError(f"simulator {name!r} is already {SIMULATORS[name]}; choose another name")
    SIMULATORS[name] = entry_point


def make_simulator(spec: str, gallery: Catalog, **settings: Any) -> UserSimulator:
    """Builds the user simulator that `spec` names for a gallery.

    Args:
        spec: a registered name, or `name:argument` (say a checkpoint folder), the argument passed on as `argument`.
        gallery: the images it will be asked about.
        **settings: keywords of the simulator (`device`, `seed`, …).

    Raises:
        ValueError: an unknown name or keyword; the message lists the known ones. Or a value of another type than the
            simulator declares, a device that is not there, or an argument for one that takes none.
    """
    checked(make_simulator, spec=spec, gallery=gallery)
    name, _, argument = spec.partition(":")
    if "device" in settings:
        settings["device"] = find_device(settings["device"])
    if name not in SIMULATORS:
        raise ValueError(f"no user simulator {name!r}; known are {', '.join(sorted(SIMULATORS))}")
    module, _, attribute = SIMULATORS[name].partition(":")
    factory = getattr(import_module(module), attribute)
    parameters = signature(factory).parameters
    if argument:
        if "argument" not in parameters:
            raise ValueError(f"simulator {name!r} takes no argument; write {name!r} instead of {spec!r}")
        settings["argument"] = argument
    if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in parameters.values()):
        known = [key for key in list(parameters)[1:] if key != "argument"]
        if "device" not in known and torch.device(settings.get("device", "cpu")).type == "cpu":
            settings.pop("device", None)
        unknown = [str(key) for key in settings if key not in (*known, "argument")]
        if unknown:
            told = f"its settings are {', '.join(known)}" if known else "it has none"
            raise ValueError(f"simulator {name!r} has no setting {', '.join(unknown)}; {told}")
    settings |= checked(factory, **{key: value for key, value in settings.items() if key != "device"})
    with torch.inference_mode(False):  # it may be kept for long, and asked in a training
        simulator: UserSimulator = factory(gallery, **settings)
    return simulator
