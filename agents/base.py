"""What an agent is: from an observation to a ranking of the gallery, for a batch of dialogs."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from dialog_env.agents.settings import settings_from
from dialog_env.catalog import Catalog
from dialog_env.catalog.space import other_space
from dialog_env.io import checkpoint
from dialog_env.io.checkpoint import Saved
from dialog_env.world.ranking import Ranking
from dialog_env.world.state import Observation
from dialog_env.world.user import UserFacts, UserSimulator
from dialog_env.world.vocabulary import Vocabulary

Memory = Any
"""What an agent carries from turn to turn: a tensor of B rows, or None."""

AGENT_FILE = "agent.safetensors"
MOST_DIMENSIONS = 1 << 16
"""Of features that a file may speak of: more would fill the memory before the weights are found missing."""


@dataclass(frozen=True)
class Decision:
    """What an agent answers with.

    Args:
        ranking: its order of the gallery, judged by the protocol.
        candidates: (B,) int64, the images to show.
        memory: what it wants back at the next turn.
    """

    ranking: Ranking
    candidates: Tensor
    memory: Memory


@dataclass(frozen=True)
class TrainingData:
    """What an agent trains on: galleries with their users, to learn from and to choose the best epoch by.

    Args:
        gallery, simulator: to learn from.
        validation_gallery, validation_simulator: to choose the best epoch by.
        pretrained: folder of supervised agents from which others begin, shared by all who do; None: each keeps them
            beside its own folder.
    """

    gallery: Catalog
    simulator: UserSimulator
    validation_gallery: Catalog
    validation_simulator: UserSimulator
    pretrained: Path | None = None


@dataclass(frozen=True)
class NoSettings:
    """Settings of an agent that has none."""


@dataclass(frozen=True)
class AgentFacts:
    """What the file of any agent says of it; those that keep more read that themselves.

    Args:
        agent: `Agent.saved_as` of its class.
        settings: fields of its `Settings`.
        seed: of all that it draws.
        dimensions: D of its galleries, where it knows it.
        vocabulary: the words that it reads, if any.
        trained: how it came to be.
        space: id of the feature space that it learned in, "" where that is unknown.
    """

    agent: str
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    dimensions: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)] | None = None
    vocabulary: tuple[str, ...] | None = None
    trained: dict[str, Any] = field(default_factory=dict)
    space: str = ""


class Agent(ABC):
    """From an observation to scores over the gallery, batched.

    Use: `bind` a gallery, `begin` a batch of dialogs, then `act` once a turn with the memory of the turn before.
    Nothing of the target reaches an agent outside `train`. A new agent needs `bind` and `rank`; one that learns also
    `train`, and `learned`, so that it can be saved. One that believes something may say so: `log_belief(memory)` gives
    the log-probability of each image (B, N), for people who talk to it.

    Attributes:
        name: as in `dialog_env.agents.AGENTS`, or as it shall be called.
        trainable: whether `train` does anything.
        reads_attributes: whether it needs the attributes of galleries, which are withheld otherwise; tables say so.
        knows_user: whether it needs the user that it is evaluated with in person (`bind_user`); tables say so.
        Settings: the dataclass of its settings.
        configurations: name to the settings that differ from the defaults; the defaults are "released"
            (docs/released.md says what that is).
        space: id of the feature space of its galleries, "" where that is unknown; kept with what it learned.
    """

    name: ClassVar[str]
    trainable: ClassVar[bool] = False
    reads_attributes: ClassVar[bool] = False
    knows_user: ClassVar[bool] = False
    Settings: ClassVar[type[Any]] = NoSettings
    configurations: ClassVar[dict[str, dict[str, Any]]] = {"released": {}}
    space: str = ""

    def __init__(
        self,
        settings: Any = None,
        *,
        dimensions: int | None = None,
        vocabulary: Vocabulary | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        """Keeps what the agent was made with.

        Args:
            settings: an instance of `Settings`; its defaults where None.
            dimensions: D of the galleries, where the agent needs to know it.
            vocabulary: of the user simulator, where the agent reads feedback.
            seed: of all that it draws.
            device: where it lives.
        """
        self.settings = self.Settings() if settings is None else settings
        self.dimensions = dimensions
        self.vocabulary = vocabulary
        self.seed = seed
        self.device = device

    @classmethod
    def create(
        cls, settings: Any, *, dimensions: int | None, vocabulary: Vocabulary | None, seed: int, device: str
    ) -> Agent:
        """A new agent; `dialog_env.agents.create` is the comfortable way."""
        return cls(settings, dimensions=dimensions, vocabulary=vocabulary, seed=seed, device=device)

    @classmethod
    def restore(cls, saved: Saved, folder: Path, device: str) -> Agent:
        """The agent that `save` wrote into `folder`; `dialog_env.agents.load` is the comfortable way."""
        facts = saved.facts
        words = facts.get("vocabulary")
        agent = cls.create(
            settings_from(cls.Settings, facts.get("settings", {})),
            dimensions=facts.get("dimensions"),
            vocabulary=None if words is None else Vocabulary(tuple(words)),
            seed=facts.get("seed", 0),
            device=device,
        )
        agent.load_learned({name: tensor.to(device) for name, tensor in saved.below("learned").items()})
        return agent

    def learned(self) -> dict[str, Tensor]:
        """What training has changed, by name; nothing for an agent that does not learn."""
        return {}

    def load_learned(self, learned: dict[str, Tensor]) -> None:
        """Takes up what `learned` gave; each becomes the attribute of its name."""
        for name, tensor in learned.items():
            if hasattr(type(self), name):
                raise ValueError(f"{name!r} is no tensor that agent {self.name} could have learned")
            setattr(self, name, tensor)

    @classmethod
    def saved_as(cls) -> str:
        """What its files call it: its name, or the class where that is not one of this project's."""
        ours = cls.__module__.startswith("dialog_env.")
        return cls.name if ours else f"{cls.__module__}.{cls.__qualname__}"

    @abstractmethod
    def bind(self, gallery: Catalog) -> None:
        """Prepares for a gallery; ValueError where the agent does not fit it."""

    @abstractmethod
    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """The order of the bound gallery for each of B dialogs, and what to remember."""

    def begin(self, batch: int) -> Memory:
        """Memory of B dialogs that have not begun."""
        return None

    def act(self, observation: Observation, memory: Memory) -> Decision:
        """Ranks the gallery and chooses the first image of it to be shown."""
        ranking, memory = self.rank(observation, memory)
        return Decision(ranking, ranking.top(1)[:, 0], memory)

    def begins_from(self, training_data: TrainingData) -> Path | None:
        """Folder of the trained agent that this one begins from, and maybe others do, whether it is there or not yet.

        None where it begins by itself, or nobody shares what it begins from (`training_data.pretrained` is None).
        """
        return None

    def pretrain(  # noqa: B027, most begin by themselves
        self, training_data: TrainingData, *, progress: bool = True
    ) -> None:
        """Trains the agent in the folder of `begins_from`, unless it is there; `train` would do so by itself."""

    def train(self, training_data: TrainingData, folder: Path, *, progress: bool = True) -> dict[str, Any]:
        """Learns, with checkpoints in `folder`, going on from one that lies there; gives a summary for the records."""
        return {}

    def save(self, folder: str | Path) -> None:
        """Writes what `dialog_env.agents.load` needs, atomically: what was learned, and what it was made with."""
        tensors = {f"learned.{name}": tensor for name, tensor in self.learned().items()}
        facts = {
            "agent": self.saved_as(),
            "settings": asdict(self.settings),
            "seed": self.seed,
            "dimensions": self.dimensions,
            "vocabulary": None if self.vocabulary is None else list(self.vocabulary.words),
            "space": self.space,
        }
        checkpoint.write(Path(folder, AGENT_FILE), tensors, facts)

    def check_gallery(self, gallery: Catalog) -> None:
        """Refuses, with a ValueError, a gallery whose features are not such as the agent knows.

        An agent that has learned from features calls this in `bind`.
        """
        if self.dimensions is not None and gallery.dimensions != self.dimensions:
            raise ValueError(
                f"agent {self.name} was made for features of {self.dimensions} dimensions and {gallery!r} "
                f"has {gallery.dimensions}; create it for this catalogue"
            )
        if other_space(self.space, gallery.space_id):
            raise ValueError(
                f"agent {self.name} knows feature space {self.space} and {gallery!r} lies in {gallery.space}; build "
                "that catalogue with --like the one that the agent learned from, or train an agent for it"
            )

    def check_user(self, user: UserFacts | UserSimulator) -> None:
        """Refuses, with a ValueError, a user whose words the agent does not know."""
        if self.vocabulary is not None and self.vocabulary.fingerprint != user.vocabulary.fingerprint:
            raise ValueError(
                f"agent {self.name} reads a vocabulary of {len(self.vocabulary)} words "
                f"({self.vocabulary.fingerprint}) and user {user.id} speaks another of "
                f"{len(user.vocabulary)} ({user.vocabulary.fingerprint}); use the user it was trained with"
            )

    def bind_user(self, simulator: UserSimulator) -> None:  # noqa: B027, most know no user
        """Takes the user of the bound gallery, where the agent declares `knows_user`."""


@contextmanager
def initial_weights(generator: torch.Generator) -> Iterator[None]:
    """Lets modules that are made in the block draw their weights by the seed of a generator, and nothing else.

    Modules know no other than PyTorch's global generator on the CPU; that is afterwards as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """A generator on the CPU whose stream differs from those of other seeds and other purposes."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
