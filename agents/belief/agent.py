"""The belief: how likely every image is the target, from all that was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from dialog_env.agents.base import AGENT_FILE, AgentFacts, Decision, TrainingData, generator_for, initial_weights
from dialog_env.agents.belief.asking import ExpectedFinding
from dialog_env.agents.belief.asking_learner import learn_to_ask
from dialog_env.agents.belief.calibration import fitted_temperatures
from dialog_env.agents.belief.features import ImageFeatures
from dialog_env.agents.belief.learned_asking import AskingNetwork, likeliest
from dialog_env.agents.belief.learner import BeliefLearner
from dialog_env.agents.belief.memory import Heard
from dialog_env.agents.belief.network import BeliefNetwork
from dialog_env.agents.belief.settings import BeliefSettings
from dialog_env.agents.candidate_selection import first_unseen
from dialog_env.agents.settings import settings_from
from dialog_env.agents.training.trainer import Schedule, Trainee, train
from dialog_env.catalog import Catalog
from dialog_env.catalog.space import other_space
from dialog_env.io import checkpoint
from dialog_env.io.checkpoint import Saved
from dialog_env.io.reading import first_line, one_sentence
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import Vocabulary

SHIPPED = Path(__file__).parent / "weights" / "synthetic"
"""The trained belief that comes along; its card lies beside it."""


class Belief(Trainee):
    """Adds up what every sentence tells of every image, and shows the likeliest one that it has not shown.

    score(x) = sum_k q_k · v(x), with q_k the evidence (E) of the sentence of turn k about the candidate of turn k, and
    v(x) the embedding (E) of an image from its pooled and region features. The score is a log-belief: its softmax says
    how likely each image is the target (`log_belief`). A turn costs one product of the query with the gallery, however
    many turns there were.

    Words that it does not know are passed over; a sentence of nothing else changes nothing. Needs no attributes and no
    user, unless it asks (`ask=expected`). `belief@shipped` is the trained one that comes along, as it is.

    Args:
        network: what learns.
        images: what the network sees of an image.
        vocabulary: the words that it knows.
        settings: its settings.
        seed: of its weights and its training.
        device: where it lives.
        trained: how it came to be, for the records.
        learned_from: the images that it has learned from, in words.
        temperatures: by which the scores are divided where it says how sure it is, one for each number of sentences
            heard, the last for all that follow.
    """

    name = "belief"
    trainable: ClassVar[bool] = True
    Settings = BeliefSettings
    configurations: ClassVar[dict[str, dict[str, Any]]] = {
        "released": {},
        "shipped": {"initial": "shipped", "epochs": 0},
    }
    settings: BeliefSettings
    dimensions: int
    network: BeliefNetwork

    def __init__(
        self,
        network: BeliefNetwork,
        images: ImageFeatures,
        vocabulary: Vocabulary,
        settings: BeliefSettings,
        *,
        seed: int = 0,
        device: str = "cpu",
        trained: dict[str, Any] | None = None,
        learned_from: str = "",
        temperatures: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__(settings, dimensions=images.dimensions, vocabulary=vocabulary, seed=seed, device=device)
        self.vocabulary: Vocabulary = vocabulary
        self.network = network.to(device).eval()
        self.images = images.to(device)
        self.trained = trained or {}
        self.learned_from = learned_from
        self.temperatures = tuple(temperatures)
        self.remark = ""
        self._taken_space = ""
        self.ask = settings.ask
        self.knows_user = self.ask == "expected"  # type: ignore[misc]
        self.asking: AskingNetwork | None = None
        self._asking: ExpectedFinding | None = None
        self._bound: tuple[Tensor, Tensor, EmbeddedGallery] | None = None

    @classmethod
    def create(
        cls, settings: Any, *, dimensions: int | None, vocabulary: Vocabulary | None, seed: int, device: str
    ) -> Belief:
        """A belief with new weights, or with those of its setting `initial`; ValueError where sizes are missing."""
        if dimensions is None or vocabulary is None:
            raise ValueError(f"agent {cls.name} needs a gallery or its dimensions, and a vocabulary; give both")
        images = ImageFeatures(dimensions, settings.regions, None)
        network = new_network(images.size, len(vocabulary), settings, generator_for(seed, "weights"))
        agent = cls(network, images, vocabulary, settings, seed=seed, device=device)
        if settings.initial:
            agent.take_over(SHIPPED if settings.initial == "shipped" else Path(settings.initial))
        return agent

    @classmethod
    def restore(cls, saved: Saved, folder: Path, device: str) -> Belief:
        """The belief that was saved, or the last weights of a training checkpoint."""
        facts = saved.facts
        settings = settings_from(cls.Settings, facts["settings"])
        shape = facts["regions"] and tuple(facts["regions"])
        images = ImageFeatures(facts["dimensions"], settings.regions, shape)
        vocabulary = Vocabulary(tuple(facts["vocabulary"]))
        network = new_network(images.size, len(vocabulary), settings, torch.Generator())
        asking = new_asking(torch.Generator()) if saved.below("asking") else None
        try:
            images.load_state_dict(saved.below("images"))
            network.load_state_dict(saved.below("network"))
            if asking is not None:
                asking.load_state_dict(saved.below("asking"))
        except RuntimeError as error:
            raise ValueError(
                f"{saved.path} does not hold the weights of a belief ({first_line(error)}); train again"
            ) from error
        made = {name: facts[name] for name in ("seed", "trained", "learned_from")}
        made["temperatures"] = facts.get("temperatures", (1.0,))  # of before they were fitted
        agent = cls(network, images, vocabulary, settings, device=device, **made)
        agent.asking = asking and asking.to(device).eval()
        return agent

    def take_over(self, folder: Path) -> None:
        """Weights and reduction of the belief saved in a folder; ValueError where it is of other sizes or words."""
        saved = checkpoint.read(folder / AGENT_FILE)
        with one_sentence(saved.path, "belief with these settings", "give the folder of one with the same sizes"):
            other = Belief.restore(saved, folder, self.device)
        theirs = (other.images.size, other.dimensions, other.settings.evidence, other.vocabulary.fingerprint)
        ours = (self.images.size, self.dimensions, self.settings.evidence, self.vocabulary.fingerprint)
        if theirs != ours:
            raise ValueError(
                f"the belief in {folder} was made for image features, pooled features, evidence and words of {theirs} "
                f"and this one has {ours}; give one of the same sizes and words"
            )
        self.network, self.images, self.asking = other.network, other.images, other.asking
        self.trained, self.learned_from, self.temperatures = other.trained, other.learned_from, other.temperatures
        self._taken_space = saved.facts_as(AgentFacts, "agent").space
        self.remark = f"trained beforehand on {other.learned_from}"

    def bind(self, gallery: Catalog) -> None:
        """Embeds the images of a gallery; ValueError where its features have other sizes."""
        self.check_gallery(gallery)
        with torch.no_grad():
            embeddings, candidates = self.network.images(self.images.of(gallery))
            # Of images equally long the nearest to a query is the one with the largest product with it.
            squares = embeddings.double().square().sum(dim=1)
            missing = (squares.max() - squares).sqrt().float()
            self._asking = None
            self._bound = embeddings, candidates, EmbeddedGallery(torch.cat([embeddings, missing[:, None]], dim=1))

    def bind_user(self, simulator: UserSimulator) -> None:
        """Gets to know the user of the bound gallery, where it asks what it would say."""
        embeddings = self.embeddings()
        self._asking = ExpectedFinding(
            simulator,
            len(embeddings),
            candidates=self.settings.candidates,
            targets=self.settings.targets,
            discount=self.settings.discount,
            device=embeddings.device,
        )

    def check_gallery(self, gallery: Catalog) -> None:
        """Refuses also galleries with other regions, and of another feature space than that of its first weights."""
        super().check_gallery(gallery)
        self.images.check(gallery)
        if other_space(self._taken_space, gallery.space_id):
            raise ValueError(
                f"the initial weights of agent {self.name} know feature space {self._taken_space} and {gallery!r} lies "
                f"in {gallery.space}; give weights that were learned in the same"
            )

    def _gallery(self) -> tuple[Tensor, Tensor, EmbeddedGallery]:
        if self._bound is None:
            raise RuntimeError(f"agent {self.name} has no gallery; call bind first")
        return self._bound

    def embeddings(self) -> Tensor:
        """(N, E) of the images of the bound gallery."""
        return self._gallery()[0]

    def begin(self, batch: int) -> Heard:
        """Nothing heard, nothing shown."""
        return Heard(
            torch.zeros(batch, self.settings.evidence, device=self.device),
            torch.zeros(batch, 0, dtype=torch.int64, device=self.device),
        )

    @torch.no_grad()
    def hear(self, observation: Observation, memory: Heard) -> Heard:
        """What is remembered after a turn."""
        _, candidates, _ = self._gallery()
        told = self.network.evidence(observation.feedback, candidates[observation.candidate])
        query = self.network.heard(memory.query, told)
        return Heard(query, torch.cat([memory.shown, observation.candidate[:, None]], dim=1))

    @torch.no_grad()
    def log_belief(self, memory: Heard) -> Tensor:
        """(B, N) log-probability that each image is the target, by all that was said; one that was shown may be it."""
        heard = min(memory.shown.shape[1], len(self.temperatures))
        temperature = self.temperatures[heard - 1] if heard else 1.0
        return (memory.query @ self.embeddings().T / temperature).log_softmax(dim=1)

    def rank(self, observation: Observation, memory: Heard) -> tuple[QueryRanking, Heard]:
        """Images by what is believed of them."""
        memory = self.hear(observation, memory)
        return QueryRanking(torch.nn.functional.pad(memory.query, (0, 1)), self._gallery()[2]), memory

    def act(self, observation: Observation, memory: Heard) -> Decision:
        """Shows an image that the dialog has not shown; once all have been, simply the likeliest."""
        ranking, memory = self.rank(observation, memory)
        shown = memory.shown[:, :0] if self.settings.repeats else memory.shown
        candidates = first_unseen(ranking, shown)
        rows = (observation.turn < self.settings.turns - 1).nonzero()[:, 0]  # later than that no answer helps
        if self.ask != "likely" and len(rows) and shown.shape[1] < ranking.images:
            candidates = candidates.index_put((rows,), self._asked(observation, memory, shown, rows))
        return Decision(ranking, candidates, memory)

    def _asked(self, observation: Observation, memory: Heard, shown: Tensor, rows: Tensor) -> Tensor:
        """(R,) the images to show in the dialogs of some rows (R,), by what their answers are worth."""
        if self.ask == "expected":
            if self._asking is None:
                raise RuntimeError(f"agent {self.name} needs its user to ask; call bind_user first")
            return self._asking.choose(self.log_belief(memory)[rows], shown[rows], observation.candidate[rows])
        if self.asking is None:
            raise RuntimeError(
                f"agent {self.name} has not learned to ask; train it with ask=learned and asking_updates, say 100"
            )
        scores, options = self.scored(memory.rows(rows), shown[rows], observation.turn[rows], self.asking)
        return options.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]

    def scored(self, memory: Heard, shown: Tensor, turn: Tensor, network: AskingNetwork) -> tuple[Tensor, Tensor]:
        """Scores (B, K) as what to show at a turn (B,), and positions (B, K), of the likeliest images not shown."""
        nats, listed = likeliest(self.log_belief(memory), shown, max(self.settings.candidates, self.settings.targets))
        candidates = min(self.settings.candidates, listed.shape[1])
        left = (self.settings.turns - 1 - turn).to(nats.dtype)
        return network(nats, self.embeddings()[listed], candidates, left), listed[:, :candidates]

    def facts(self) -> dict[str, Any]:
        """What is saved beside the weights."""
        return {
            "agent": self.saved_as(),
            "settings": asdict(self.settings),
            "seed": self.seed,
            "dimensions": self.dimensions,
            "regions": self.images.region_shape,
            "vocabulary": list(self.vocabulary.words),
            "trained": self.trained,
            "learned_from": self.learned_from,
            "temperatures": list(self.temperatures),
            "space": self.space,
        }

    def save(self, folder: str | Path) -> None:
        """Writes weights, reduction, settings and vocabulary as one file."""
        parts = {"network": self.network, "images": self.images, **({"asking": self.asking} if self.asking else {})}
        tensors = {f"{name}.{key}": each for name, part in parts.items() for key, each in part.state_dict().items()}
        checkpoint.write(Path(folder, AGENT_FILE), tensors, self.facts())

    def learner(self, training_data: TrainingData) -> BeliefLearner:
        """What turns the weights."""
        return BeliefLearner(self.network, self.images, training_data, self.settings, self.device)

    def train(self, training_data: TrainingData, folder: Path, *, progress: bool = True) -> dict[str, Any]:
        """Learns; afterwards the agent has the weights that were best on validation.

        Raises:
            ValueError: training data that does not fit the agent, or a checkpoint of another training in `folder`.
        """
        gallery = training_data.gallery
        for user in (training_data.simulator, training_data.validation_simulator):
            self.check_user(user)
        if not self.settings.initial:
            self.images = ImageFeatures.fit(gallery, self.settings.regions, generator_for(self.seed, "components")).to(
                self.device
            )
        for each in (gallery, training_data.validation_gallery):
            self.check_gallery(each)
        self.space = self.space or gallery.space_id
        if self.settings.epochs:
            self.learned_from = f"{len(gallery):,} images of {gallery.name} ({gallery.split_name})"
        schedule = Schedule(
            epochs=self.settings.epochs,
            drop_after=0,
            batch=self.settings.batch,
            turns=self.settings.turns,
            statistics=0,
            targets="once",
            keep="best",
            seed=self.seed,
        )
        self.ask = "likely"  # what is learned does not depend on it, and asking takes long
        summary = train(self, self.learner(training_data), training_data, Path(folder), schedule, progress=progress)
        self.images.load_state_dict(checkpoint.read(Path(folder, AGENT_FILE)).below("images"))
        learns_to_ask = self.settings.ask == "learned" and self.settings.asking_updates > 0
        if self.settings.epochs or learns_to_ask:  # what is only taken over stays as it is
            self.temperatures = fitted_temperatures(self, training_data)
        if learns_to_ask:
            self.asking = new_asking(generator_for(self.seed, "asking weights")).to(self.device)
            summary["asking"] = learn_to_ask(self, self.asking, training_data, progress=progress)
        self.ask = self.settings.ask
        self.save(folder)
        return summary


def new_network(features: int, words: int, settings: BeliefSettings, generator: torch.Generator) -> BeliefNetwork:
    """A network whose weights the generator draws, and nothing else."""
    with initial_weights(generator):
        recurrent = settings.memory == "recurrent"
        return BeliefNetwork(features, words, settings.evidence, settings.dropout, recurrent=recurrent)


def new_asking(generator: torch.Generator) -> AskingNetwork:
    """A network to ask by, whose weights the generator draws, and nothing else."""
    with initial_weights(generator):
        return AskingNetwork()
