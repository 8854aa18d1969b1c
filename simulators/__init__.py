"""The users: neural captioners, the describer, attributes and relevance."""

from __future__ import annotations

if __name__ == "simulators":  # found as a folder of the checkout
    from dialog_env.checkout import one_name

    one_name(__name__)

from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import torch

from dialog_env.catalog import Catalog
from dialog_env.io.device import find_device
from dialog_env.io.keywords import checked
from dialog_env.world.user import UserSimulator

SIMULATORS: dict[str, str] = {
    "describer": "dialog_env.simulators.describer.user:Describer",
    "captioner": "dialog_env.simulators.captioner.user:CaptioningUser",
    "relevance": "dialog_env.simulators.forms.relevance:RelevanceUser",
    "attributes": "dialog_env.simulators.forms.attributes:AttributeUser",
    "relative": "dialog_env.simulators.forms.attributes:RelativeAttributeUser",
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
