"""What would come of showing an image: the dialog goes on greedily, many alternatives as one batch."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.agents.guo2018.networks import Network
from dialog_env.agents.training.cached_user import CachedUser
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from dialog_env.world.state import DialogState


class LookAhead:
    """Judges candidates by the target's ranks in the dialogs that would follow (Guo et al., 2018).

    Args:
        network: leads the dialogs, in evaluation mode; the nearest image is always shown.
        gallery: the image embeddings of the world's gallery by that network.
        world: a world of its own, with enough turns.
        ties: how ranks count level images.
    """

    def __init__(self, network: Network, gallery: EmbeddedGallery, world: Dialog, ties: str = "half") -> None:
        self.network = network
        self.gallery = gallery
        self.world = world
        self.ties = ties

    @torch.no_grad()
    def costs(self, state: DialogState, hidden: Tensor, candidates: Tensor, turns: int) -> Tensor:
        """(B, K) the target's 0-based ranks, summed over the turns that follow when a candidate is shown.

        Args:
            state: of B dialogs.
            hidden: (B, …) memory of the network after the feedback in `state`.
            candidates: (B, K) int64, the alternatives.
            turns: how many turns follow; with 0 all alternatives cost nothing.
        """
        batch, alternatives = candidates.shape
        total = torch.zeros(batch * alternatives, device=candidates.device)
        if not turns:
            return total.view(batch, alternatives)
        rows = torch.arange(batch, device=candidates.device).repeat_interleave(alternatives)
        self.world.restore(state.rows(rows))
        targets, hidden, shown = state.target[rows], hidden[rows], candidates.flatten()  # (B, K) -> (B K,)
        for turn in range(turns):
            observation = self.world.show(shown)
            query, hidden = self.network(observation.features, observation.feedback, hidden)
            ranking = QueryRanking(query, self.gallery)
            total += ranking.target_rank(targets).rank(self.ties)
            if turn + 1 < turns:
                shown = ranking.top(1)[:, 0]
        return total.view(batch, alternatives)


def cached_user(world: Dialog) -> CachedUser:
    """The user of a world of a learner, who is an `CachedUser`."""
    assert isinstance(world.simulator, CachedUser)
    return world.simulator
