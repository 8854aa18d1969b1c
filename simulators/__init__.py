"""The users: neural captioners, the describer, attributes, relevance, and any of them in other or with lost words."""

from __future__ import annotations

if __name__ == "simulators":  # found as a folder of the checkout
    from dialog_env.checkout import one_name

    one_name(__name__)

from inspect import Parameter, signature
from typing import Any

import torch

from dialog_env.catalog import Catalog
from dialog_env.io.device import find_device
from dialog_env.io.keywords import checked
from dialog_env.registry import Parts
from dialog_env.world.user import UserSimulator, checked_user

SIMULATORS = Parts(
    "user simulator",
    "simulators",
    {
        "describer": "dialog_env.simulators.describer.user:Describer",
        "captioner": "dialog_env.simulators.captioner.user:CaptioningUser",
        "noisy": "dialog_env.simulators.noisy:NoisyUser",
        "phrased": "dialog_env.simulators.phrased:PhrasedUser",
        "recorded": "dialog_env.simulators.recorded:RecordedUser",
        "relevance": "dialog_env.simulators.forms.relevance:RelevanceUser",
        "attributes": "dialog_env.simulators.forms.attributes:AttributeUser",
        "relative": "dialog_env.simulators.forms.attributes:RelativeAttributeUser",
    },
)
"""A simulator is a class, or a function, that is called with the gallery and keywords and gives a `UserSimulator`."""


def make_simulator(spec: Any, gallery: Catalog, **settings: Any) -> UserSimulator:
    """Builds the user simulator that is asked for, for a gallery.

    Args:
        spec: a registered name or `module:Class`, with settings or an argument (say a checkpoint folder), which is
            passed on as `argument`: see `dialog_env.registry`. Or the class itself.
        gallery: the images it will be asked about.
        **settings: keywords of the simulator (`device`, `seed`, …).

    Raises:
        ValueError: an unknown name or keyword; the message lists the known ones. Or a value of another type than the
            simulator declares, a device that is not there, an argument for one that takes none, or something that is
            no user simulator.
    """
    checked(make_simulator, gallery=gallery)
    if isinstance(spec, str):
        parsed = SIMULATORS.parse(spec)
        name, factory = parsed.name, SIMULATORS.find(parsed.name)
        settings = {**parsed.settings, **settings}
    else:
        parsed, factory = None, SIMULATORS.find(spec)
        name = getattr(spec, "__name__", str(spec))
    if parsed is not None and parsed.configuration:
        raise ValueError(f"user simulator {name!r} has no configurations; write {name!r} instead of {spec!r}")
    if isinstance(factory, type) and not hasattr(factory, "feedback"):
        raise ValueError(f"{name!r} is no user simulator: it has no method 'feedback'; give it one")
    if not callable(factory):
        raise ValueError(f"{name!r} is no user simulator: it cannot be called with a gallery; give its class")
    if "device" in settings:
        settings["device"] = find_device(settings["device"])
    parameters = signature(factory).parameters
    if parsed is not None and parsed.argument:
        if "argument" not in parameters:
            raise ValueError(f"simulator {name!r} takes no argument; write {name!r} instead of {spec!r}")
        settings["argument"] = parsed.argument
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
        return checked_user(factory(gallery, **settings))
