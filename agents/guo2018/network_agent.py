"""What the agents with the dialog network share: acting, saving, loading, training."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from dialog_env.agents.base import AGENT_FILE, AgentFacts, TrainingData, generator_for
from dialog_env.agents.guo2018.networks import NETWORKS, DialogNetwork, Network, empty_network, new_network
from dialog_env.agents.settings import settings_from
from dialog_env.agents.training.trainer import Learner, Schedule, Trainee, train
from dialog_env.catalog import Catalog
from dialog_env.catalog.space import other_space
from dialog_env.io import checkpoint
from dialog_env.io.checkpoint import Saved
from dialog_env.io.reading import first_line, one_sentence
from dialog_env.world.dialog import TURNS
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking
from dialog_env.world.state import Observation
from dialog_env.world.vocabulary import Vocabulary

Self = TypeVar("Self", bound="NetworkAgent")


@dataclass(frozen=True)
class NetworkSettings:
    """Settings that every agent with the dialog network has."""

    epochs: int = 15
    """Passes over the targets of the training gallery."""
    batch: int = 128
    """Dialogs in an update; the last, smaller batch of an epoch counts too."""
    turns: int = TURNS
    """Turns of a dialog while training."""
    learning_rate: float = 1e-3
    """Of Adam."""
    drop_after: int = 0
    """Epochs after which the learning rate is a tenth; 0 never."""
    weight_decay: float = 1e-8
    """Of Adam."""
    fusion: str = "sum"
    """How image and text meet: sum (released) or concatenation (paper)."""
    statistics: int = 16
    """Batches of dialogs from which the statistics of BatchNorm are taken after each epoch
    (`dialog_env.agents.training.batchnorm`); 0
    keeps its running averages, as released."""
    targets: str = "once"
    """once: every image is a target once in an epoch, and the first candidate another image. drawn: targets and first
    candidates are drawn independently, with replacement (released), whatever the user would begin with."""
    keep: str = "best"
    """best: the weights of the epoch that was best on validation, the start included. last: those of the last epoch
    (the released code, which saves all of them, leaves the choice open)."""
    initial: str = ""
    """Folder of a saved agent with the same network, whose weights are the first ones; empty for none."""
    network: str = ""
    """Its network, one of `NETWORKS` or module:Class; empty for the `network_class` of the agent."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch", 1), ("turns", 1), ("drop_after", 0), ("statistics", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; give {least} or more")
        for name, known in (("targets", ("once", "drawn")), ("keep", ("best", "last"))):
            if getattr(self, name) not in known:
                raise ValueError(f"no {name} {getattr(self, name)!r}; known are {', '.join(known)}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ValueError(
                f"learning_rate {self.learning_rate} and weight_decay {self.weight_decay} cannot be used; "
                "give a learning_rate above 0 and a weight_decay of 0 or more"
            )


class NetworkAgent(Trainee):
    """Shows the image whose embedding is nearest to the state of the dialog (Guo et al., 2018).

    Args:
        network: as `Network` says.
        vocabulary: the words that it knows.
        settings: its settings.
        dimensions: D of the features that it was made for.
        seed: of its weights and its training.
        device: where it lives.
        trained: how it came to be, for the records.

    Attributes:
        network_class: the class of its network, where the settings name none.

    Raises:
        ValueError: a vocabulary of another size than the network's.
    """

    trainable: ClassVar[bool] = True
    Settings: ClassVar[type[NetworkSettings]] = NetworkSettings
    network_class: ClassVar[type[nn.Module]] = DialogNetwork
    dimensions: int
    network: Network

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        settings: NetworkSettings,
        *,
        dimensions: int,
        seed: int = 0,
        device: str = "cpu",
        trained: dict[str, Any] | None = None,
    ) -> None:
        known = getattr(network, "words", len(vocabulary))
        if isinstance(known, int) and known != len(vocabulary):  # a network may call a layer so
            raise ValueError(
                f"the network knows {known} words and the vocabulary has {len(vocabulary)}; "
                "give the vocabulary that it was made for"
            )
        super().__init__(settings, dimensions=dimensions, vocabulary=vocabulary, seed=seed, device=device)
        self.vocabulary: Vocabulary = vocabulary
        self.network = network.to(device).eval()
        self.trained = trained or {}
        self._gallery: EmbeddedGallery | None = None

    @classmethod
    def create(
        cls: type[Self],
        settings: Any,
        *,
        dimensions: int | None,
        vocabulary: Vocabulary | None,
        seed: int,
        device: str,
        network: type[nn.Module] | None = None,
    ) -> Self:
        """An agent with new weights, `network` before the one of the settings and that before `network_class`.

        Raises:
            ValueError: the sizes of its network are not known, or there is no such network.
        """
        if dimensions is None or vocabulary is None:
            raise ValueError(f"agent {cls.name} needs a gallery or its dimensions, and a vocabulary; give both")
        kind = NETWORKS.find(network or settings.network or cls.network_class)
        made = new_network(dimensions, len(vocabulary), settings.fusion, generator_for(seed, "weights"), kind)
        return cls(made, vocabulary, settings, dimensions=dimensions, seed=seed, device=device)

    @classmethod
    def restore(
        cls: type[Self], saved: Saved, folder: Path, device: str, network: type[nn.Module] | None = None
    ) -> Self:
        """The agent that was saved, or the last weights of a training checkpoint; with `network`, where it is given."""
        words = Vocabulary(tuple(saved.facts["vocabulary"]))
        return cls(
            network_from(saved, network_of(saved, network, cls.network_class)),
            words,
            settings_from(cls.Settings, saved.facts["settings"]),
            dimensions=saved.facts["dimensions"],
            seed=saved.facts["seed"],
            device=device,
            trained=saved.facts["trained"],
        )

    def bind(self, gallery: Catalog) -> None:
        """Embeds the images of a gallery; ValueError where its features have another width."""
        self.check_gallery(gallery)
        self._gallery = self.embed(torch.from_numpy(gallery.features).to(self.device))

    def begin(self, batch: int) -> Tensor:
        """Memory (B, …) of the network."""
        return self.network.begin(batch)

    @torch.no_grad()
    def rank(self, observation: Observation, memory: Tensor) -> tuple[Ranking, Tensor]:
        """Images by the distance of their embedding to the state."""
        if self._gallery is None:
            raise RuntimeError(f"agent {self.name} has no gallery; call bind first")
        state, memory = self.network(observation.features, observation.feedback, memory)
        return QueryRanking(state, self._gallery), memory

    @torch.no_grad()
    def embed(self, features: Tensor) -> EmbeddedGallery:
        """The image embeddings (N, E) of pooled features (N, D), ready to be searched."""
        return EmbeddedGallery(self.network.image(features))

    def facts(self) -> dict[str, Any]:
        """What is saved beside the weights."""
        return {
            "agent": self.saved_as(),
            "settings": asdict(self.settings),
            "seed": self.seed,
            "dimensions": self.dimensions,
            "network": NETWORKS.name_of(type(self.network)),
            "fusion": self.settings.fusion,
            "vocabulary": list(self.vocabulary.words),
            "trained": self.trained,
            "space": self.space,
        }

    def save(self, folder: str | Path) -> None:
        """Writes weights, settings and vocabulary as one file."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        checkpoint.write(Path(folder, AGENT_FILE), tensors, self.facts())

    @abstractmethod
    def learner(self, training_data: TrainingData) -> Learner:
        """What turns the network's weights, one update at a time."""

    def train(self, training_data: TrainingData, folder: Path, *, progress: bool = True) -> dict[str, Any]:
        """Learns; afterwards the agent has the weights that were best on validation.

        Raises:
            ValueError: training data that does not fit the agent, or a checkpoint of another training in `folder`.
        """
        for gallery, user in (
            (training_data.gallery, training_data.simulator),
            (training_data.validation_gallery, training_data.validation_simulator),
        ):
            self.check_gallery(gallery)
            self.check_user(user)
        self.space = self.space or training_data.gallery.space_id
        folder = Path(folder)
        initial = (
            Path(self.settings.initial)
            if self.settings.initial
            else self.pretrained(training_data, folder, progress=progress)
        )
        if initial is not None:
            with one_sentence(initial, "folder of an agent with this network", "give weights of the same network"):
                self.network.load_state_dict(self.fitting(initial))
        schedule = Schedule(
            epochs=self.settings.epochs,
            drop_after=self.settings.drop_after,
            batch=self.settings.batch,
            turns=self.settings.turns,
            statistics=self.settings.statistics,
            targets=self.settings.targets,
            keep=self.settings.keep,
            seed=self.seed,
        )
        self._gallery = None
        return train(self, self.learner(training_data), training_data, folder, schedule, progress=progress)

    def pretrained(self, training_data: TrainingData, folder: Path, *, progress: bool) -> Path | None:
        """Folder of the agent whose weights it begins from where no initial ones are given; None for new weights."""
        return None

    def fitting(self, folder: Path) -> dict[str, Tensor]:
        """The weights of the agent saved in `folder`; ValueError where its network or vocabulary is another."""
        saved = checkpoint.read(folder / AGENT_FILE)
        facts = saved.facts_as(AgentFacts, "agent")
        words = facts.vocabulary
        own = {**self.facts(), "vocabulary": self.vocabulary.fingerprint}
        known = {"network": network_name(saved), **{key: saved.facts.get(key) for key in ("dimensions", "fusion")}}
        known["vocabulary"] = None if words is None else Vocabulary(words).fingerprint
        for key, value in known.items():
            if value != own[key]:
                raise ValueError(
                    f"the initial weights of {folder} have {key} {value!r} and this agent has {own[key]!r}; "
                    "give weights of the same network"
                )
        if other_space(facts.space, self.space):
            raise ValueError(
                f"the initial weights of {folder} know feature space {facts.space} and this agent {self.space}; give "
                "weights that were learned in the same"
            )
        return saved.below("network")


def network_name(saved: Saved) -> str:
    """What a file calls its network; those from before there were several have the first."""
    name: str = saved.facts.get("network", NETWORKS.name_of(DialogNetwork))
    return name


def network_of(saved: Saved, given: type[nn.Module] | None, usual: type[nn.Module]) -> type[nn.Module]:
    """The class of the network in a file, which starts no code: the one that is given, the usual or a registered one.

    Raises:
        ValueError: it is none of these.
    """
    name = network_name(saved)
    kind = given or usual
    if name == NETWORKS.name_of(kind):
        return kind
    if given is None and name in NETWORKS:
        registered: type[nn.Module] = NETWORKS.find(name)
        return registered
    if given is None:
        raise ValueError(
            f"{saved.path} is of network {name!r}, which is not one of {', '.join(sorted(NETWORKS))}; "
            "if you trust it, give its class: dialog_env.agents.load(…, network=…)"
        )
    raise ValueError(
        f"{saved.path} is of network {name!r} and not of {NETWORKS.name_of(given)!r}; give the class of that"
    )


def network_from(saved: Saved, kind: type[nn.Module]) -> Network:
    """The network in a file; ValueError where its weights are not those of one."""
    sizes = saved.facts["dimensions"], len(saved.facts["vocabulary"]), saved.facts["fusion"]
    network: Network = empty_network(*sizes) if kind is DialogNetwork else new_network(*sizes, torch.Generator(), kind)
    try:
        network.load_state_dict(saved.below("network"))
    except RuntimeError as error:
        raise ValueError(
            f"{saved.path} does not hold the weights of a dialog network ({first_line(error)}); train again"
        ) from error
    return network
