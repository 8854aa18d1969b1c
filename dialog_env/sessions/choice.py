"""Which agent people talk to, and in which gallery, as a command line says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dialog_env import agents
from dialog_env.agents import Agent
from dialog_env.agents.base import AGENT_FILE
from dialog_env.agents.belief.agent import SHIPPED
from dialog_env.catalog import load_catalog
from dialog_env.envs.dialog_batch import DEFAULT_SIMULATOR
from dialog_env.io.device import find_device
from dialog_env.sessions.partner import Partner
from dialog_env.simulators import make_simulator
from dialog_env.world.user import UserSimulator


def default_agent() -> str:
    """The shipped belief, where it lies here.

    Else the ceiling, which needs no training: it hears a person through the captioner, by how likely that would say the
    same of each image, and its time grows with the gallery.
    """
    return "belief@shipped" if (SHIPPED / AGENT_FILE).exists() else "ceiling"


@dataclass
class Choice:
    """Whom to talk to, and about what."""

    agent: str = field(default_factory=default_agent)
    """Folder of a trained agent, or the name of one that comes along or needs no training."""
    kind: str | None = None
    """Class of the agent in the folder, as module:Class, where it is not one of this project's: files start no code."""
    network: str | None = None
    """Class of its network, as module:Class, where neither this project nor the class of the agent has it."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "test"
    """Gallery."""
    simulator: str = DEFAULT_SIMULATOR
    """The user whose words the agent knows."""
    hearing: str = "mended"
    """How words are heard that the agent does not know: mended (colours by what they look like, slips of spelling),
    exact (not at all), or the folder of a sentence encoder, which takes them for the nearest in meaning as well."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""

    def open(self) -> tuple[Partner, UserSimulator]:
        """The agent with its gallery, and the simulator of that gallery.

        Raises:
            ValueError: one of them cannot be had, or they do not fit each other.
        """
        gallery = load_catalog(self.catalog).split(self.split)
        device = str(find_device(self.device))
        user = make_simulator(self.simulator, gallery, device=device)
        return Partner(self._agent(user, gallery.dimensions, device), gallery, user=user, hearing=self.hearing), user

    def _agent(self, user: UserSimulator, dimensions: int, device: str) -> Agent:
        if Path(self.agent).is_dir() or self.agent in agents.SHIPPED:
            kind = agents.agent_class(self.kind) if self.kind else None
            network = agents.NETWORKS.find(self.network) if self.network else None
            return agents.load(self.agent, device, kind=kind, network=network)
        try:
            spec = agents.AGENTS.parse(self.agent)
            agent = agents.create(
                spec.name,
                dimensions=dimensions,
                vocabulary=user.vocabulary,
                device=device,
                configuration=spec.configuration or "released",
                **spec.settings,
            )
        except ValueError as error:
            raise ValueError(f"{self.agent} is no folder of a trained agent, and as a name: {error}") from error
        if agent.trainable and not getattr(agent, "trained", None):
            raise ValueError(
                f"agent {self.agent} has to be trained first: give `dialog-retrieval agent train {self.agent} --output "
                "FOLDER`, then that folder"
            )
        return agent
