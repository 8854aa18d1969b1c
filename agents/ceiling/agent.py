"""The ceiling: an agent that knows the user, and so what each sentence rules out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dialog_env.agents.base import Agent, Decision, generator_for
from dialog_env.agents.ceiling.answers import AnswerTable
from dialog_env.agents.ceiling.beliefs import Belief, Consistent, Likely
from dialog_env.agents.ceiling.information import expected_information
from dialog_env.catalog import Catalog
from dialog_env.io.lasting import lasting
from dialog_env.world.ranking import ScoreRanking
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator

COMPARISONS_AT_ONCE = 1 << 23
"""So many pairs of answers are compared in one piece."""


@dataclass(frozen=True)
class CeilingSettings:
    """Settings of the ceiling."""

    asks: bool = False
    """Shows the image whose answer would tell most, instead of one of the likeliest."""
    targets: int = 64
    """M, at most so many of the likeliest images are weighed as targets."""
    candidates: int = 32
    """K, at most so many of the likeliest images not shown yet are weighed as candidates."""
    outside: bool = False
    """Whether images that are no longer believed in may be candidates, after all that are."""
    table_bytes: int = 256 << 20
    """Memory for answers of the user."""

    def __post_init__(self) -> None:
        for name in ("targets", "candidates", "table_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")


@dataclass(frozen=True)
class Known:
    """What the ceiling knows of B dialogs.

    Args:
        belief: (B, N), see `dialog_env.agents.ceiling.beliefs`.
        shown: (B, S) int64 positions shown.
    """

    belief: Tensor
    shown: Tensor


class Ceiling(Agent):
    """Keeps the exact belief over the gallery given the user, and shows one of the likeliest images, none twice.

    For a deterministic user the belief is every image of which it would have said just what it said, all of them
    equally likely; for another it is the likelihood of what was said, by the user's own
    `log_likelihood(tokens, targets, candidates)`, (B,) log-probabilities in nats. No agent can rank the images better
    by the same sentences. (Of a user's choice of the images to begin with, it makes nothing.) Which image is shown next
    is decided for the next turn alone, in two ways:

    * `ceiling`: one of the likeliest, which finds the target at this turn as often as can be;
    * `ceiling@asks`: the one whose answer would tell most about which of them it is (`expected_information`). It looks
      at the M = 64 likeliest targets and the K = 32 likeliest candidates only (settings `targets`, `candidates`). Where
      two tell as much the likelier one is shown, and when one image is left that one. Candidates are images still
      believed in, for they may be the target; with `outside=True` others are weighed as well, which narrows the
      belief sooner and shows the target later.

    Images that are equally likely stand level in the ranking, those shown already after those that were not, and are
    chosen by an order of the gallery that is drawn once from the seed: the same for every dialog, so that no choice
    depends on the batch. Once all that is believed in was shown, the target was among it, and others follow.

    Answers are kept in a table of bounded size, one row a candidate (`AnswerTable`); they are asked for every image
    at the first turn and then only for those still believed in.
    """

    name = "ceiling"
    knows_user: ClassVar[bool] = True
    Settings = CeilingSettings
    configurations: ClassVar[dict[str, dict[str, Any]]] = {"released": {}, "asks": {"asks": True}}

    def __init__(self, settings: Any = None, **made_with: Any) -> None:
        super().__init__(settings, **made_with)
        self._gallery: Catalog | None = None
        self._simulator: UserSimulator | None = None
        self._belief: Belief | None = None

    @property
    def remark(self) -> str:
        """For tables: how far asking looks."""
        asked = self.settings
        return f"weighs {asked.targets} targets and {asked.candidates} candidates" if asked.asks else ""

    def bind(self, gallery: Catalog) -> None:
        """Draws the order in which images of this gallery are chosen among equals."""
        self._gallery = gallery
        self._belief = None
        order = torch.randperm(len(gallery), generator=generator_for(self.seed, "ceiling"))
        self._order = order.to(self.device)
        self._place = order.argsort().to(self.device)

    def bind_user(self, simulator: UserSimulator) -> None:
        """Gets to know the user.

        Raises:
            ValueError: one who may answer in two ways and does not say how likely an answer is, or for whom the image
                shown before matters then; or asking such a one, whose answers do not divide the images.
        """
        if not getattr(simulator, "deterministic", True):
            self._check_uncertain(simulator)
        self._simulator = simulator
        self._belief = None

    def _check_uncertain(self, simulator: UserSimulator) -> None:
        if not hasattr(simulator, "log_likelihood"):
            raise ValueError(
                f"user {simulator.id} may answer the same question in two ways and does not say how likely an answer "
                "is; give it log_likelihood(tokens, targets, candidates), or take a deterministic user"
            )
        if getattr(simulator, "uses_previous", True):
            raise ValueError(
                f"user {simulator.id} is not deterministic and its answers depend on the image shown before, of which "
                "log_likelihood hears nothing; take a deterministic user, or one with uses_previous=False"
            )
        if self.settings.asks:
            raise ValueError(
                f"user {simulator.id} may answer the same question in two ways, and what an answer would tell is "
                "known for deterministic users only; use the agent ceiling with asks=false"
            )

    @lasting
    def _bound(self) -> Belief:
        if self._belief is None:
            if self._gallery is None or self._simulator is None:
                raise RuntimeError("agent ceiling needs a gallery and its user; call bind and bind_user first")
            gallery, simulator, device = self._gallery, self._simulator, torch.device(self.device)
            if simulator.gallery_fingerprint != gallery.fingerprint:
                raise ValueError(
                    f"user {simulator.id} was built for gallery {simulator.gallery_fingerprint} and agent ceiling is "
                    f"bound to {gallery.fingerprint} ({gallery!r}); bind both to the same"
                )
            if getattr(simulator, "deterministic", True):
                answers = AnswerTable(simulator, len(gallery), self.settings.table_bytes, device)
                self._belief = Consistent(answers)
            else:
                self._belief = Likely(simulator, len(gallery), device)
        return self._belief

    def begin(self, batch: int) -> Known:
        """Every image as likely as any other, none shown."""
        belief = self._bound().begin(batch)
        return Known(belief, torch.zeros(batch, 0, dtype=torch.int64, device=belief.device))

    def rank(self, observation: Observation, memory: Known) -> tuple[ScoreRanking, Known]:
        """Images by what is believed of them after the latest answer."""
        shown, candidate = memory.shown, observation.candidate
        previous = shown[:, -1] if shown.shape[1] else torch.full_like(candidate, -1)
        belief = self._bound().hear(memory.belief, observation, previous)
        shown = torch.cat([shown, candidate[:, None]], dim=1)
        return ScoreRanking(self._bound().scores(belief, _marked(shown, belief))), Known(belief, shown)

    def log_belief(self, memory: Known) -> Tensor:
        """(B, N) float64 log-probabilities that each image is the target, in nats."""
        belief = memory.belief
        if belief.dtype == torch.bool:
            belief = torch.zeros_like(belief, dtype=torch.float64).masked_fill(~belief, -torch.inf)
        return belief.log_softmax(dim=1)

    def act(self, observation: Observation, memory: Known) -> Decision:
        """Shows a likeliest image, or the one that tells most; once all images have been shown, any of them again."""
        ranking, memory = self.rank(observation, memory)
        fresh = ~_marked(memory.shown, memory.belief)
        fresh |= ~fresh.any(dim=1, keepdim=True)
        uniforms = ranking.scores.masked_fill(~fresh, -torch.inf)
        likeliest = uniforms == uniforms.amax(dim=1, keepdim=True)
        candidates = torch.where(likeliest, self._place, len(self._place)).argmin(dim=1)
        if self.settings.asks:
            candidates = self._ask(memory.belief, fresh, observation.candidate, candidates)
        return Decision(ranking, candidates, memory)

    def _ask(self, belief: Tensor, fresh: Tensor, current: Tensor, likeliest: Tensor) -> Tensor:
        """(B,) the most telling images, or the likeliest (B,) where there is nothing to choose or to find out."""
        images = len(self._place)
        choices = fresh if self.settings.outside else fresh & belief
        chosen = likeliest.clone()
        rows = ((belief.sum(dim=1) > 1) & (choices.sum(dim=1) > 1)).nonzero()[:, 0]
        at_once = max(1, COMPARISONS_AT_ONCE // (self.settings.candidates * self.settings.targets**2))
        for some in rows.split(at_once) if len(rows) else ():
            places = self._place + images * ~belief[some]  # believed in first, (b, N)
            targets = self._first(places, belief[some], self.settings.targets)
            candidates = self._first(places, choices[some], self.settings.candidates)
            told = self._information(targets, candidates, current[some])
            chosen[some] = candidates.gather(1, told.argmax(dim=1, keepdim=True))[:, 0]
        return chosen

    def _first(self, places: Tensor, allowed: Tensor, count: int) -> Tensor:
        """(b, up to count) the allowed positions with the lowest places (b, N), -1 where there are no more."""
        count = min(count, int(allowed.sum(dim=1).max()))
        last = 2 * places.shape[1]
        lowest = torch.where(allowed, places, last).topk(count, dim=1, largest=False).values
        return torch.where(lowest < last, self._order[lowest % places.shape[1]], -1)

    def _information(self, targets: Tensor, candidates: Tensor, current: Tensor) -> Tensor:
        """(b, K) bits that candidates (b, K), shown after `current` (b,), tell of targets (b, M); -1 for no image."""
        assert isinstance(self._belief, Consistent)
        table = self._belief.answers
        asked = (candidates[:, :, None] >= 0) & (targets[:, None] >= 0)
        dialog, candidate, target = asked.nonzero(as_tuple=True)
        answers = targets.new_zeros(*asked.shape, table.width)
        answers[asked] = table.ask(targets[dialog, target], candidates[dialog, candidate], current[dialog])
        return expected_information(answers, targets >= 0).masked_fill(candidates < 0, -1)


def _marked(positions: Tensor, like: Tensor) -> Tensor:
    """(B, N) bool of the shape of `like`, True at positions (B, S)."""
    return torch.zeros_like(like, dtype=torch.bool).scatter_(1, positions, True)
