"""How the belief learns: dialogs held by its own draws, and the cross-entropy of the target at every turn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dialog_env.agents.base import TrainingData
from dialog_env.agents.belief.features import ImageFeatures
from dialog_env.agents.belief.network import BeliefNetwork
from dialog_env.agents.belief.settings import BeliefSettings
from dialog_env.agents.candidate_selection import sample
from dialog_env.agents.training.trainer import Learner, UpdateMetrics
from dialog_env.agents.training.unknown import draw_unknown, with_unknown
from dialog_env.world.dialog import Dialog, first_candidates
from dialog_env.world.ranking import ScoreRanking
from dialog_env.world.vocabulary import MAX_WORDS

LAST_RATE = 0.02
"""Share of the learning rate that is left at the end of its half cosine."""
LARGEST_GRADIENT = 1.0
MARGIN = 1.0
"""Nats by which the target has to lead the other image of a triplet."""


class BeliefLearner(Learner):
    """Holds dialogs in which the image shown is drawn from the belief, and raises what was believed of the target.

    Args:
        network: learns.
        images: what the network sees of an image; fitted, and left as it is.
        training_data: what it learns from.
        settings: of the agent.
        device: where it lives.
    """

    def __init__(
        self,
        network: BeliefNetwork,
        images: ImageFeatures,
        training_data: TrainingData,
        settings: BeliefSettings,
        device: str,
    ) -> None:
        self.network, self.images, self.settings = network, images, settings
        self.world = Dialog(training_data.gallery, training_data.simulator, turns=settings.turns, device=device)
        self.modules: dict[str, nn.Module] = {"network": network, "images": images}
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.updates = -(-len(self.world.gallery) // settings.batch)
        self._made = 0
        self._features: Tensor | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Knows how many updates came before."""
        self._made = (epoch - 1) * self.updates

    def update(self, targets: Tensor, generator: torch.Generator) -> UpdateMetrics:
        """Draws a gallery for the update, first candidates and what is shown; then learns."""
        total = self.settings.epochs * self.updates
        rate = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * self._made / total)) / 2
        self._made += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        gallery, first = self._begin(targets, generator)
        others = first_candidates(torch.arange(len(targets)), len(gallery), generator)
        uniforms = torch.rand(self.settings.turns, len(targets), generator=generator)
        device = self.world.device
        drawn = [each.to(device) for each in (gallery, first, others, uniforms)]
        if self.settings.unknown:
            drawn.append(draw_unknown(self.settings.turns, len(targets), MAX_WORDS, generator).to(device))
        return self.learn(*drawn)

    def _begin(self, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A gallery (M,) and the first candidates (B,), as places in it; those that the user chooses are part of it."""
        images, size = len(self.world.gallery), self.settings.images
        if getattr(self.world.simulator, "first_candidates", None) is None:
            gallery = drawn_gallery(targets, images, size, generator)
            return gallery, first_candidates(torch.arange(len(targets)), len(gallery), generator)
        first = self.world.first_candidates(targets, first_candidates(targets, images, generator))
        known = torch.cat([targets, first[~torch.isin(first, targets)].unique()])
        gallery, places = drawn_gallery(known, images, size, generator), torch.empty(images, dtype=torch.int64)
        places[gallery] = torch.arange(len(gallery))
        return gallery, places[first]

    def learn(
        self, gallery: Tensor, first: Tensor, others: Tensor, uniforms: Tensor, lost: Tensor | None = None
    ) -> UpdateMetrics:
        """One update on a gallery whose first B images are the targets.

        Args:
            gallery: (M,) int64 positions in the whole gallery.
            first: (B,) int64 positions in that gallery, the first candidates.
            others: (B,) int64 positions in that gallery of other images than the targets, for `loss=triplet`.
            uniforms: (T, B) in [0, 1), by which the images shown are drawn.
            lost: (T, B, 2, L) in [0, 1), by which words become unknown; none do where None.
        """
        if self._features is None:
            self._features = self.images.of(self.world.gallery)
        network, targets = self.network.train(), torch.arange(first.shape[0], device=first.device)
        embeddings, candidates = network.images(self._features[gallery])  # (M, F) -> (M, E), (M, G)
        observation = self.world.reset(gallery[targets], gallery[first])
        query = embeddings.new_zeros(len(first), embeddings.shape[1])
        shown = torch.zeros(len(first), len(gallery), dtype=torch.bool, device=first.device)
        losses, ranks, shown_now = [], [], first
        for turn, turn_uniforms in enumerate(uniforms):  # (B,)
            shown[targets, shown_now] = True
            heard = observation.feedback
            if lost is not None:
                heard = with_unknown(heard, lost[turn], self.settings.unknown, network.words)
            query = network.heard(query, network.evidence(heard, candidates[shown_now]))
            scores = query @ embeddings.T  # (B, M)
            losses.append(self._loss(scores, targets, others))
            ranks.append(ScoreRanking(scores).target_rank(targets))
            left = scores.detach() if self.settings.repeats else scores.detach().masked_fill(shown, -torch.inf)
            shown_now = sample(left, turn_uniforms)
            observation = self.world.show(gallery[shown_now])
        loss = torch.stack(losses)
        self.descend(loss.mean())
        return UpdateMetrics({"belief": loss.detach()}, ranks)

    def _loss(self, scores: Tensor, targets: Tensor, others: Tensor) -> Tensor:
        """Mean over the dialogs, from scores (B, M)."""
        if self.settings.loss == "gallery":
            return functional.cross_entropy(scores, targets)
        target, other = (scores.gather(1, each[:, None])[:, 0] for each in (targets, others))
        return (other - target + MARGIN).clamp(min=0).mean()

    def descend(self, loss: Tensor) -> None:
        """One step of the optimiser; a gradient longer than 1 is shortened, since one odd sentence can make it so."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()


def drawn_gallery(present: Tensor, images: int, size: int, generator: torch.Generator) -> Tensor:
    """(M,) positions of the targets and of others, drawn: all images where there are no more than `size`.

    Targets that are drawn uniformly make this a uniform draw of M images with B of them as targets: to the dialogs it
    is their whole gallery, and the cross-entropy over it needs no correction for what was left out. Where first
    candidates that the user chose stand among them, they are met more often than others.

    Args:
        present: (P,) distinct positions that come first: the targets, and what else has to be there.
        images: N, of the whole gallery.
        size: M, unless P is more.
        generator: draws the others.
    """
    others = torch.ones(images, dtype=torch.bool)
    others[present] = False
    rest = others.nonzero()[:, 0]
    order = torch.randperm(len(rest), generator=generator)[: max(0, size - len(present))]
    return torch.cat([present, rest[order]])
