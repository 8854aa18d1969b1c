"""The dialog network and its training agree with the numbers recorded from the released code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dialog_env.agents.base import TrainingData
from dialog_env.agents.guo2018.look_ahead import LookAhead
from dialog_env.agents.guo2018.policy_improvement import PolicyImprovementLearner, PolicyImprovementSettings
from dialog_env.agents.guo2018.supervised import SupervisedLearner, SupervisedSettings, triplet_losses
from dialog_env.agents.training.trainer import Learner
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking
from dialog_env.world.state import DialogState, Observation, Outcome
from tests.golden.traces import FLOOR, RELATIVE, Golden

pytestmark = pytest.mark.usefixtures("threads")


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden()


def close(ours: torch.Tensor, recorded: torch.Tensor) -> None:
    assert_close(ours, recorded, rtol=RELATIVE, atol=FLOOR, check_dtype=False)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_states_and_memory_of_five_turns_agree(golden: Golden, mode: str) -> None:
    network = golden.network().train(mode == "train")
    features, table = golden.tensor("catalog_features"), golden.user.table
    hidden = network.begin(16)
    for turn in range(5):
        candidate = golden.tensor(f"forward_{mode}/candidate")[turn]
        tokens = table[golden.tensor(f"forward_{mode}/feedback_row")[turn]]
        if mode == "eval":
            close(network.text(tokens), golden.tensor("forward_eval/text_encoding")[turn])
        state, hidden = network(features[candidate], tokens, hidden)
        close(state, golden.tensor(f"forward_{mode}/state")[turn])
        close(hidden, golden.tensor(f"forward_{mode}/hidden")[turn])


def test_ranks_and_nearest_images_agree(golden: Golden) -> None:
    with torch.no_grad():
        embeddings = golden.network().image(golden.tensor("catalog_features"))
    close(embeddings[::20], golden.tensor("ranking/embedded_catalog_every_20th"))
    ranking = QueryRanking(golden.tensor("ranking/query"), EmbeddedGallery(embeddings))
    assert torch.equal(ranking.target_rank(golden.tensor("ranking/target")).closer, golden.tensor("ranking/rank"))
    assert torch.equal(ranking.top(4), golden.tensor("ranking/nearest_4"))


def test_triplet_loss_agrees(golden: Golden) -> None:
    anchor, positive, negative = (golden.tensor(f"triplet/{name}") for name in ("anchor", "positive", "negative"))
    losses = triplet_losses(anchor, positive, negative, golden.attribute("triplet", "margin"))
    close(losses, golden.tensor("triplet/loss_each"))
    close(losses.mean(), golden.tensor("triplet/loss"))


def test_three_supervised_updates_agree(golden: Golden) -> None:
    name = "supervised_updates"
    settings = {key: golden.attribute(name, key) for key in ("batch", "turns", "weight_decay", "margin")}
    args = SupervisedSettings(learning_rate=golden.attribute(name, "lr"), **settings)
    training_data = TrainingData(golden.gallery, golden.user, golden.gallery, golden.user)
    learner = SupervisedLearner(golden.network(), training_data, args, "cpu")
    shown = record_shown(learner)
    for number in range(3):
        targets, first, negatives = (
            golden.tensor(f"{name}/{what}")[number] for what in ("target", "first", "negative")
        )
        shown.clear()
        report = learner.learn(targets, first, negatives[:, None], torch.zeros_like(negatives))
        assert torch.equal(torch.stack(shown), golden.tensor(f"{name}/shown")[number])
        ranks = torch.stack([target_rank.closer for target_rank in report.target_ranks])
        assert torch.equal(ranks, golden.tensor(f"{name}/rank")[number])
        close(report.losses["triplet"], golden.tensor(f"{name}/turn_loss")[number])
        close(report.losses["triplet"].mean(), golden.tensor(f"{name}/loss")[number])
    golden.check_parameters(learner.network, name)


def test_two_policy_improvement_updates_agree(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "policy_improvement_updates"
    args = PolicyImprovementSettings(
        batch=golden.attribute(name, "batch"),
        turns=golden.attribute(name, "turns"),
        learning_rate=golden.attribute(name, "lr"),
        nearest=golden.attribute(name, "top_k"),
        negatives=golden.attribute(name, "negatives"),
        tau=golden.attribute(name, "tau"),
    )
    training_data = TrainingData(golden.gallery, golden.user, golden.gallery, golden.user)
    learner = PolicyImprovementLearner(golden.network(), training_data, args, "cpu")
    shown, looked_at = record_shown(learner), record_alternatives(monkeypatch)
    for number in range(2):
        shown.clear()
        looked_at.clear()
        targets, first, negatives = (
            golden.tensor(f"{name}/{what}")[number] for what in ("target", "first", "negative")
        )
        report = learner.learn(targets, first, negatives, torch.zeros(5, 16))
        assert torch.equal(torch.stack(looked_at), golden.tensor(f"{name}/top_k")[number])
        assert torch.equal(torch.stack(shown), golden.tensor(f"{name}/chosen")[number])
        ranks = torch.stack([target_rank.closer for target_rank in report.target_ranks])
        assert torch.equal(ranks, golden.tensor(f"{name}/rank")[number])
        losses = report.losses["choice"] + report.losses["regulariser"]
        close(losses, golden.tensor(f"{name}/turn_loss")[number])
        close(losses.sum(), golden.tensor(f"{name}/loss")[number])
    golden.check_parameters(learner.network, name)


def record_alternatives(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The images (B, K) that are looked ahead for at each turn from now on."""
    seen: list[torch.Tensor] = []
    costs = LookAhead.costs

    def listening(self: LookAhead, state: DialogState, hidden: Tensor, candidates: Tensor, turns: int) -> Tensor:
        seen.append(candidates)
        return costs(self, state, hidden, candidates, turns)

    monkeypatch.setattr(LookAhead, "costs", listening)
    return seen


def record_shown(learner: Learner) -> list[torch.Tensor]:
    """The images (B,) that the learner's world shows at each turn from now on."""
    shown: list[torch.Tensor] = []
    step = learner.world.step

    def listening(ranking: Ranking, candidates: torch.Tensor | None = None) -> tuple[Observation, Outcome]:
        observation, outcome = step(ranking, candidates)
        shown.append(observation.candidate)
        return observation, outcome

    learner.world.step = listening  # type: ignore[method-assign]
    return shown
