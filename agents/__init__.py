"""Agents by name: made by `create`, read by `load`; `dialog_env.agents.base.Agent` says what one is."""

from __future__ import annotations

if __name__ == "agents":  # found as a folder of the checkout
    from dialog_env.checkout import one_name

    one_name(__name__)

import inspect
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dialog_env.agents.base import AGENT_FILE, Agent, AgentFacts, Decision, Memory, TrainingData
from dialog_env.agents.guo2018.networks import NETWORKS
from dialog_env.agents.settings import settings_from
from dialog_env.catalog import Catalog
from dialog_env.io import checkpoint
from dialog_env.io.device import find_device
from dialog_env.io.keywords import checked_seed, told
from dialog_env.io.reading import one_sentence
from dialog_env.registry import Parts
from dialog_env.world.vocabulary import Vocabulary

__all__ = ["AGENTS", "NETWORKS", "Agent", "Decision", "Memory", "TrainingData", "agent_class", "create", "load"]

AGENTS = Parts(
    "agent",
    "agents",
    {
        "belief": "dialog_env.agents.belief:Belief",
        "ceiling": "dialog_env.agents.ceiling:Ceiling",
        "continued": "dialog_env.agents.guo2018.continued:Continued",
        "greedy": "dialog_env.agents.baselines.greedy:Greedy",
        "policy_improvement": "dialog_env.agents.guo2018.policy_improvement:PolicyImprovement",
        "random": "dialog_env.agents.baselines.random:Random",
        "rocchio": "dialog_env.agents.baselines.rocchio:Rocchio",
        "sb3-a2c": "dialog_env.agents.sb3.a2c:StableA2C",
        "sb3-dqn": "dialog_env.agents.sb3.dqn:StableDQN",
        "sb3-ppo": "dialog_env.agents.sb3.ppo:StablePPO",
        "sb3-ppo-candidate": "dialog_env.agents.sb3.ppo:StablePPOCandidate",
        "sb3-sac": "dialog_env.agents.sb3.sac:StableSAC",
        "sb3-td3": "dialog_env.agents.sb3.td3:StableTD3",
        "scst": "dialog_env.agents.guo2018.scst:Scst",
        "supervised": "dialog_env.agents.guo2018.supervised:Supervised",
        "unseen": "dialog_env.agents.baselines.unseen:Unseen",
        **(
            {"sb3-recurrent-ppo": "dialog_env.agents.sb3.recurrent_ppo:StableRecurrentPPO"}
            if find_spec("sb3_contrib")
            else {}
        ),
    },
)
"""An agent is a class derived from `Agent`."""

SHIPPED = {"belief": Path(__file__).parent / "belief" / "weights" / "synthetic"}
"""Name to the folder of the trained agent that comes along; a card lies beside it."""


def agent_class(agent: str | type[Agent]) -> type[Agent]:
    """The class that is meant by a registered name, by `module:Class`, or by itself; ValueError for another."""
    found = AGENTS.find(agent)
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise ValueError(f"{agent!r} is not an agent; give a class derived from dialog_env.agents.Agent")
    return found


def settings_of(kind: type[Agent], configuration: str, settings: dict[str, Any]) -> Any:
    """The settings of an agent: those of a configuration, but for the ones that are given.

    Raises:
        ValueError: a configuration or a setting that the agent does not have.
    """
    if not isinstance(configuration, str) or configuration not in kind.configurations:
        raise ValueError(
            f"agent {kind.name} has no configuration {told(configuration)}; it has {', '.join(kind.configurations)}"
        )
    return settings_from(kind.Settings, {**kind.configurations[configuration], **settings})


def create(
    name: str | type[Agent],
    *,
    gallery: Catalog | None = None,
    dimensions: int | None = None,
    vocabulary: Vocabulary | None = None,
    seed: int = 0,
    device: str = "cpu",
    configuration: str = "released",
    **settings: Any,
) -> Agent:
    """A new agent, untrained.

    Args:
        name: one of `AGENTS`, `module:Class`, or a class derived from `Agent`.
        gallery: a gallery with features such as it will see; or give `dimensions`.
        dimensions: D of its galleries.
        vocabulary: of the user simulator it will hear.
        seed: of all that it draws.
        device: where it lives.
        configuration: "released" (docs/released.md says what differs from the released code), or "literal" or "paper"
            where the agent has it: what the settings are by default.
        **settings: fields of the agent's `Settings`; its `network` may also be a class.

    Raises:
        ValueError: an unknown name, configuration, setting or device, or sizes that the agent needs and did not get.
    """
    kind = agent_class(name)
    seed = checked_seed(seed)
    device = str(find_device(device))
    network = settings.pop("network") if isinstance(settings.get("network"), type) else None
    settings = settings_of(kind, configuration, settings)
    dimensions = gallery.dimensions if gallery is not None else dimensions
    make = with_network(kind, kind.create, network)
    agent = make(settings, dimensions=dimensions, vocabulary=vocabulary, seed=seed, device=device)
    agent.space = "" if gallery is None else gallery.space_id
    return agent


def with_network(kind: type[Agent], make: Callable[..., Agent], network: type[Any] | None) -> Callable[..., Agent]:
    """A way to make an agent, with that network where one is given; ValueError where the agent has none."""
    if network is None:
        return make
    if "network" not in inspect.signature(make).parameters:
        raise ValueError(f"agent {kind.name} has no network that can be given; leave it out")
    return partial(make, network=network)


def load(
    folder: str | Path,
    device: str = "cpu",
    *,
    last: bool = False,
    kind: type[Agent] | None = None,
    network: type[Any] | None = None,
) -> Agent:
    """The agent saved in a folder; it acts as the saved one did.

    A file starts no code: the agent and the network that it names are registered ones, or the classes that are given.

    Args:
        folder: given to `save` or `train`; or "belief", where no folder is called so, for the trained one that comes
            along.
        device: where it will live.
        last: the weights of the last epoch of its training, instead of those that were best on validation.
        kind: its class, where that is not one of `AGENTS`.
        network: the class of its network, where that is neither registered nor the `network_class` of its class.

    Raises:
        FileNotFoundError: no agent there.
        ValueError: a file that is truncated, damaged, of another kind or agent, or with NaN weights.
    """
    folder = SHIPPED[str(folder)] if str(folder) in SHIPPED and not Path(folder).exists() else Path(folder)
    device = str(find_device(device))
    saved = checkpoint.read(folder / ("checkpoint.safetensors" if last else AGENT_FILE))
    facts = saved.facts_as(AgentFacts, "agent")
    name = facts.agent
    if kind is None:
        if name not in AGENTS:
            raise ValueError(
                f"{saved.path} is of agent {name!r}, which is not one of {', '.join(sorted(AGENTS))}; "
                "if you trust it, give its class: dialog_env.agents.load(…, kind=…)"
            )
        kind = agent_class(name)
    elif name not in (kind.name, kind.saved_as()):
        raise ValueError(f"{saved.path} is of agent {name!r} and not of {kind.saved_as()!r}; give the class of that")
    with one_sentence(saved.path, f"agent {name}", checkpoint.REMEDY, folder=folder):
        agent = with_network(kind, kind.restore, network)(saved, folder, device)
        agent.space = facts.space
    return agent
