"""What the agents of Stable-Baselines3 share: acting, saving, loading, training."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecMonitor
from torch import Tensor

from dialog_env.agents.base import AGENT_FILE, Memory, TrainingData
from dialog_env.agents.sb3.archive import read_weights
from dialog_env.agents.sb3.dialogs import dialogs_for, spaces_for
from dialog_env.agents.sb3.extractor import DialogExtractor
from dialog_env.agents.sb3.former_names import FORMER_NAMES
from dialog_env.agents.sb3.seeding import restored_global_generators
from dialog_env.agents.sb3.training import Trainee, learn
from dialog_env.agents.settings import settings_from
from dialog_env.catalog import Catalog
from dialog_env.envs.observations import FeaturePart, FeedbackPart, TurnPart
from dialog_env.envs.wrappers import History
from dialog_env.io import checkpoint
from dialog_env.io.atomic import file_digest, replacing
from dialog_env.io.checkpoint import Saved
from dialog_env.io.reading import first_line
from dialog_env.world.dialog import TURNS
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking, ScoreRanking
from dialog_env.world.state import Observation
from dialog_env.world.vocabulary import Vocabulary

MODEL_FILE = "model.zip"
MODEL_DIGEST = "model sha256"
"""Among the facts of an agent; agents of before it was kept have none."""
MOST = 1 << 24
"""Dialogs, turns, directions or units: more would fill the memory before anybody said why."""
MOST_SEED = (1 << 32) - 1
"""What Stable-Baselines3 takes."""
NO_GALLERY = 2
"""Images of the stand-in for a gallery that is not known yet."""

Self = TypeVar("Self", bound="SB3Agent")


@dataclass(frozen=True)
class SB3Settings:
    """Settings that every agent of Stable-Baselines3 has."""

    former_names: ClassVar[dict[str, str]] = FORMER_NAMES

    total_timesteps: int = 400_000
    """Turns to train for, counted over all dialogs."""
    n_envs: int = 128
    """Dialogs held at once."""
    turns: int = TURNS
    """Turns of a dialog while training."""
    learning_rate: float = 1e-3
    """Of Adam; it falls to a tenth by the end of the training."""
    gamma: float = 0.0
    """What a turn's reward counts a turn earlier. With 0, the default, every action is judged by the reward of its own
    turn alone: these agents learn to rank at once, not to ask now for what is of use later."""
    reward: str = "percentile"
    """Keyword `reward` of the environment."""
    directions: int = 16
    """Main directions of the gallery along which images are seen and queries move."""
    reach: float = 8.0
    """Standard deviations along a direction that the longest step of a query goes."""
    hidden: int = 256
    """Units of the one hidden layer of policies and critics."""
    history: bool = False
    """Whether the whole dialog so far is observed, rather than its latest turn."""
    evaluations: int = 10
    """How often validation chooses between the weights while training, evenly spread."""

    def __post_init__(self) -> None:
        for name in ("total_timesteps", "n_envs", "turns", "directions", "hidden", "evaluations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")
        for name in ("n_envs", "turns", "directions", "hidden"):
            if getattr(self, name) > MOST:
                raise ValueError(f"{name} is {getattr(self, name)}; give {MOST} or less")
        if not self.learning_rate > 0 or not self.reach > 0 or not 0 <= self.gamma <= 1:
            raise ValueError(
                f"learning_rate {self.learning_rate}, reach {self.reach} and gamma {self.gamma} cannot be used; "
                "give a learning_rate and a reach above 0 and a gamma from 0 to 1"
            )


@dataclass(frozen=True)
class Falling:
    """A learning rate that falls linearly to a tenth."""

    first: float

    def __call__(self, remaining: float) -> float:
        """The rate when a share of the training remains, from 1 to 0."""
        return self.first * (0.1 + 0.9 * remaining)


class SB3Agent(Trainee):
    """An algorithm of Stable-Baselines3 behind the common interface.

    Its actions while training are steps along the main directions of the gallery (`DirectionAction`), or images of it
    (`CandidateActorCritic`, `CandidateDQN`); what it has learned works in any gallery of the same features.

    Args:
        settings: its settings.
        dimensions: D of the galleries.
        vocabulary: the words that it reads.
        seed: of its weights and its training.
        device: where it lives.
        trained: how it came to be, for the records.

    Attributes:
        action: "direction" or "candidate".
    """

    trainable: ClassVar[bool] = True
    Settings: ClassVar[type[SB3Settings]] = SB3Settings
    action: ClassVar[str] = "direction"
    policy_class: ClassVar[type[BasePolicy]]

    def __init__(
        self,
        settings: SB3Settings,
        dimensions: int,
        vocabulary: Vocabulary,
        *,
        seed: int = 0,
        device: str = "cpu",
        trained: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(settings, dimensions=dimensions, vocabulary=vocabulary, seed=seed, device=device)
        self.dimensions: int = dimensions
        self.vocabulary: Vocabulary = vocabulary
        self.trained = trained or {}
        self._gallery: EmbeddedGallery | None = None
        self._coordinates = torch.empty(0)
        self._bound = 1.0
        with restored_global_generators(device):
            self.model = self._untrained()

    @classmethod
    def create(
        cls: type[Self],
        settings: Any,
        *,
        dimensions: int | None,
        vocabulary: Vocabulary | None,
        seed: int,
        device: str,
    ) -> Self:
        """An agent with new weights; ValueError where the sizes of its network are not known, or for a larger seed."""
        if dimensions is None or vocabulary is None:
            raise ValueError(f"agent {cls.name} needs a gallery or its dimensions, and a vocabulary; give both")
        if seed > MOST_SEED:
            raise ValueError(f"seed is {seed}; agent {cls.name} takes seeds from 0 to {MOST_SEED}")
        return cls(settings, dimensions, vocabulary, seed=seed, device=device)

    @classmethod
    def restore(cls: type[Self], saved: Saved, folder: Path, device: str) -> Self:
        """The agent that was saved; its weights come from the Stable-Baselines3 file beside it."""
        facts = saved.facts
        words = Vocabulary(tuple(facts["vocabulary"]))
        agent = cls(
            settings_from(cls.Settings, facts["settings"]),
            facts["dimensions"],
            words,
            seed=facts["seed"],
            device=device,
            trained=facts["trained"],
        )
        path = Path(folder, MODEL_FILE)
        try:
            agent.load_weights(read_weights(path, facts.get(MODEL_DIGEST)))
        except RuntimeError as error:
            raise ValueError(
                f"{path} does not hold the weights of agent {cls.name} ({first_line(error)}); train again"
            ) from error
        return agent

    @property
    def policy(self) -> BasePolicy:
        """The networks."""
        return self.model.policy

    @abstractmethod
    def algorithm(self, settings: Any) -> tuple[type[BaseAlgorithm], dict[str, Any]]:
        """The class of Stable-Baselines3, and its keywords; those that all share are added to them."""

    def policy_settings(self, settings: Any) -> dict[str, Any]:
        """Keywords of the policy beside the features extractor."""
        return {"net_arch": [settings.hidden]}

    def weights(self) -> dict[str, Tensor]:
        """All that was learned, without the gallery that it was learned in."""
        return {name: tensor for name, tensor in self.policy.state_dict().items() if not name.endswith(".gallery")}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Takes weights of an agent like this; RuntimeError where they do not fit."""
        galleries = {name: own for name, own in self.policy.state_dict().items() if name.endswith(".gallery")}
        self.policy.load_state_dict({**weights, **galleries})

    def bind(self, gallery: Catalog) -> None:
        """Prepares the features of a gallery; ValueError where they have another width."""
        self.check_gallery(gallery)
        features = torch.from_numpy(gallery.features).to(self.device)
        self._gallery = EmbeddedGallery(features)
        self._coordinates = self.extractors()[0].directions.coordinates(features)
        self._bound = max(1.0, float(features.abs().max()))

    def begin(self, batch: int) -> Memory:
        """No turns yet."""
        return None

    @torch.no_grad()
    def rank(self, observation: Observation, memory: Memory) -> tuple[Ranking, Memory]:
        """Images by distance to the query, or by the scores of the candidates."""
        if self._gallery is None:
            raise RuntimeError(f"agent {self.name} has no gallery; call bind first")
        observed, memory = self.observe(observation, memory)
        self.policy.set_training_mode(False)
        if self.action == "candidate":
            scores = self.policy.scores(observed, self._coordinates)  # type: ignore[operator]
            return ScoreRanking(scores), memory
        steps, memory = self.steps(observed, memory)
        directions, reach = self.extractors()[0].directions, self.settings.reach
        query = directions.query(observation.features, steps.clamp(-1, 1), reach, self._bound)
        return QueryRanking(query, self._gallery), memory

    def observe(self, observation: Observation, memory: Memory) -> tuple[dict[str, Tensor], Memory]:
        """The observation as in training, and the memory with it; turns beyond those of training look like the last."""
        turn = observation.turn.clamp(max=self.settings.turns)
        parts = {FeaturePart.key: observation.features, FeedbackPart.key: observation.feedback}
        if not self.settings.history:
            return {**parts, TurnPart.key: turn}, None
        history = (memory or History.empty(parts, self.settings.turns + 1)).then(parts, observation.turn)
        return history.observation(turn), history

    def steps(self, observed: dict[str, Tensor], memory: Memory) -> tuple[Tensor, Memory]:
        """(B, K) the policy's best guess, without exploration."""
        return self.policy._predict(observed, deterministic=True), memory

    def facts(self) -> dict[str, Any]:
        """What is saved beside the weights."""
        return {
            "agent": self.name,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "dimensions": self.dimensions,
            "vocabulary": list(self.vocabulary.words),
            "trained": self.trained,
            "space": self.space,
        }

    def save(self, folder: str | Path) -> None:
        """Writes Stable-Baselines3's own file, and the settings and vocabulary beside it."""
        unused = ["_last_obs", "_last_original_obs", "_last_episode_starts", "_last_lstm_states"]
        with replacing(Path(folder, MODEL_FILE)) as temporary:
            with temporary.open("wb") as file:
                self.model.save(file, exclude=unused)
            digest = file_digest(temporary)
        checkpoint.write(Path(folder, AGENT_FILE), {}, {**self.facts(), MODEL_DIGEST: digest})

    def train(self, training_data: TrainingData, folder: Path, *, progress: bool = True) -> dict[str, Any]:
        """Learns; afterwards the agent has the weights that were best on validation.

        A training that was finished in `folder` is not done again; one that was cut short begins anew.

        Raises:
            ValueError: training data that does not fit the agent, or another training in `folder`.
        """
        for gallery, user in (
            (training_data.gallery, training_data.simulator),
            (training_data.validation_gallery, training_data.validation_simulator),
        ):
            self.check_gallery(gallery)
            self.check_user(user)
        self.space = self.space or training_data.gallery.space_id
        return learn(self, training_data, Path(folder), progress=progress)

    def prepare_training(self, training_data: TrainingData) -> None:
        """Puts a model in place that learns from training data, with the present weights."""
        dialogs = dialogs_for(self, self.action, training_data)
        world = dialogs.env.unwrapped.dialogs.world  # type: ignore[attr-defined]
        directions = world.directions.first(len(self.extractors()[0].directions.spread))
        weights = self.weights()
        self.model = self._model(VecMonitor(dialogs))
        self.load_weights(weights)
        for extractor in self.extractors():
            extractor.set_directions(directions)
        for module in self.policy.modules():
            if hasattr(module, "gallery"):
                module.get_buffer("gallery").copy_(directions.coordinates(world.features))

    def extractors(self) -> list[DialogExtractor]:
        """All features extractors of the policy."""
        return [module for module in self.policy.modules() if isinstance(module, DialogExtractor)]

    def _model(self, env: Any, **keywords: Any) -> BaseAlgorithm:
        kind, settings = self.algorithm(self.settings)
        extractor = {"words": len(self.vocabulary), "directions": self.settings.directions}
        policy = {
            "features_extractor_class": DialogExtractor,
            "features_extractor_kwargs": extractor,
            **self.policy_settings(self.settings),
        }
        rate = Falling(self.settings.learning_rate)
        shared: dict[str, Any] = {"learning_rate": rate, "gamma": self.settings.gamma, "policy_kwargs": policy}
        return kind(self.policy_class, env, **shared, **settings, seed=self.seed, device=self.device, **keywords)

    def _untrained(self) -> BaseAlgorithm:
        """A model without an environment, made in the way in which Stable-Baselines3 loads one."""
        model = self._model(None, _init_setup_model=False)
        count = min(self.settings.directions, self.dimensions)
        model.observation_space = spaces_for(
            self.dimensions, len(self.vocabulary), self.settings.turns, self.settings.history
        )
        model.action_space = (
            spaces.Discrete(NO_GALLERY) if self.action == "candidate" else spaces.Box(-1.0, 1.0, (count,))
        )
        model.n_envs = self.settings.n_envs
        model._setup_model()
        return model
