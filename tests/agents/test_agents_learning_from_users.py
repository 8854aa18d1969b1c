"""Policy improvement and self-critical training: what is asked, what is looked ahead for, what is learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dialog_env import agents
from dialog_env.agents.base import TrainingData
from dialog_env.agents.candidate_selection import sample, spread
from dialog_env.agents.guo2018.look_ahead import LookAhead
from dialog_env.agents.guo2018.network_agent import NetworkAgent
from dialog_env.agents.guo2018.networks import new_network
from dialog_env.agents.guo2018.policy_improvement import PolicyImprovementLearner
from dialog_env.agents.guo2018.scst import ScstLearner
from dialog_env.agents.guo2018.supervised import SupervisedLearner, SupervisedSettings
from dialog_env.agents.training.cached_user import CachedUser
from dialog_env.catalog import Catalog, Contents
from dialog_env.io import checkpoint
from dialog_env.simulators import make_simulator
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from tests.conftest import tiny_contents
from tests.toys import ToyUser

QUICK = SupervisedSettings(epochs=1, batch=32, statistics=2)


def training_data(size: int = 60) -> TrainingData:
    gallery = Catalog(tiny_contents(size=size))
    validation = gallery.split("validation")
    return TrainingData(gallery, ToyUser(gallery), validation, ToyUser(validation))


def make(name: str, data: TrainingData, **settings: Any) -> NetworkAgent:
    settings = {"statistics": 2, "pretraining": QUICK, "epochs": 1, "batch": 20, **settings}
    agent = agents.create(name, gallery=data.gallery, vocabulary=data.simulator.vocabulary, **settings)
    assert isinstance(agent, NetworkAgent)
    return agent


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_question_is_asked_once_until_forgotten() -> None:
    gallery = Catalog(tiny_contents(size=60))
    user = ToyUser(gallery)
    once = CachedUser(user, gallery)
    draw = generator()
    targets, candidates = (torch.randint(60, (300,), generator=draw) for _ in range(2))
    nothing = torch.full_like(targets, -1)
    assert torch.equal(once.feedback(targets, candidates, nothing), user.feedback(targets, candidates, nothing))
    distinct = len(torch.unique(targets * 60 + candidates))
    assert user.asked == [distinct, 300]
    again = torch.randperm(300, generator=draw)
    answers = once.feedback(targets[again], candidates[again], nothing)
    assert torch.equal(answers, user.feedback(targets[again], candidates[again], nothing))
    assert user.asked == [distinct, 300, 300]
    once.forget()
    once.feedback(targets[:1], candidates[:1], nothing[:1])
    assert user.asked[-1] == 1


def test_the_image_before_is_part_of_the_question_unless_the_user_says_otherwise() -> None:
    gallery = Catalog(tiny_contents(size=60))
    relevance = make_simulator("relevance", gallery)
    once = CachedUser(relevance, gallery)
    draw = generator()
    for _ in range(5):
        targets, candidates, previous = (torch.randint(60, (200,), generator=draw) for _ in range(3))
        expected = relevance.feedback(targets, candidates, previous)
        assert torch.equal(once.feedback(targets, candidates, previous), expected)
    user = ToyUser(gallery)
    user.uses_previous = False  # type: ignore[attr-defined]
    indifferent = CachedUser(user, gallery)
    for before in (-1, 3):
        indifferent.feedback(torch.tensor([1]), torch.tensor([2]), torch.tensor([before]))
    assert user.asked == [1]


def test_looking_ahead_is_what_would_happen_one_dialog_at_a_time() -> None:
    data = training_data()
    network = new_network(8, 9, "sum", generator()).eval()
    with torch.no_grad():
        gallery = EmbeddedGallery(network.image(torch.from_numpy(data.gallery.features)))
    world = Dialog(data.gallery, data.simulator, turns=5)
    targets, candidates = world.draw(generator(1), 7)
    observation = world.reset(targets, candidates)
    with torch.no_grad():
        state, hidden = network(observation.features, observation.feedback, network.begin(7))
        alternatives = QueryRanking(state, gallery).top(3)
        ahead = LookAhead(network, gallery, Dialog(data.gallery, data.simulator, turns=10))
        costs = ahead.costs(world.state, hidden, alternatives, 3)
        for dialog in range(7):
            for place in range(3):
                alone = Dialog(data.gallery, data.simulator, turns=10)
                now = alone.reset(targets[dialog, None], alternatives[dialog, place, None])
                memory, total = hidden[dialog, None], 0.0
                for _ in range(3):
                    query, memory = network(now.features, now.feedback, memory)
                    now, outcome = alone.step(QueryRanking(query, gallery))
                    total += outcome.target_rank.rank().item()
                assert costs[dialog, place].item() == total
        assert not ahead.costs(world.state, hidden, alternatives, 0).any()


def test_all_look_aheads_of_a_turn_are_asked_for_together() -> None:
    data = training_data()
    learner = make("policy_improvement", data).learner(data)
    data.simulator.asked.clear()  # type: ignore[attr-defined]
    learner.update(torch.arange(20), generator())
    calls = data.simulator.asked  # type: ignore[attr-defined]
    assert len(calls) <= 1 + sum(5 - turn for turn in range(5)) + 4
    assert sum(calls) < 20 * (5 + 4 * 15) / 2


@pytest.mark.parametrize("configuration", ["released", "paper"])
def test_policy_improvement_teaches_the_choice_it_looked_ahead_for(configuration: str) -> None:
    data = training_data()
    agent = agents.create(
        "policy_improvement",
        gallery=data.gallery,
        vocabulary=data.simulator.vocabulary,
        configuration=configuration,
        show="chosen",
        weight=0.0,
    )
    assert isinstance(agent, NetworkAgent)
    learner = agent.learner(data)
    assert isinstance(learner, PolicyImprovementLearner)
    before = checkpoint.fingerprint(learner.looking.state_dict())
    image = learner.network.image.weight.clone()
    reports = [learner.update(torch.arange(60), generator()) for _ in range(6)]
    assert reports[-1].losses["choice"].sum() < reports[0].losses["choice"].sum()
    assert checkpoint.fingerprint(learner.looking.state_dict()) == before
    assert torch.equal(learner.network.image.weight, image) == (configuration == "released")


def test_the_looking_network_takes_over_what_was_learned_when_it_is_due() -> None:
    data = training_data()
    learner = make("policy_improvement", data, renewal=2).learner(data)
    learner.update(torch.arange(20), generator())
    assert isinstance(learner, PolicyImprovementLearner)
    for epoch, renewed in ((1, False), (2, False), (3, True)):
        learner.begin_epoch(epoch)
        assert torch.equal(learner.looking.head.weight, learner.network.head.weight) == renewed


def test_without_a_contrast_nothing_is_looked_ahead_for_and_the_regulariser_learns() -> None:
    data = training_data()
    learner = make("policy_improvement", data, contrast="none", regulariser="triplet").learner(data)
    data.simulator.asked.clear()  # type: ignore[attr-defined]
    before = learner.modules["network"].state_dict()["head.weight"].clone()
    report = learner.update(torch.arange(20), generator())
    assert sum(data.simulator.asked) <= 20 * 5  # type: ignore[attr-defined]
    assert not report.losses["choice"].any()
    assert not report.losses["gain"].any()
    assert not torch.equal(learner.modules["network"].state_dict()["head.weight"], before)


class BanditUser(ToyUser):
    """Answers tell all of the target where image 0 or 1 is shown, and nothing otherwise."""

    def feedback(self, targets: torch.Tensor, candidates: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        return super().feedback(targets, candidates, previous) * (candidates < 2)[:, None]


def test_self_critical_training_reinforces_what_beat_the_greedy_dialog() -> None:
    data = training_data()
    learner = make("scst", data, learning_rate=1e-6).learner(data)
    assert isinstance(learner, ScstLearner)
    targets, first = torch.arange(20), torch.arange(20, 40)
    uniforms = torch.rand(5, 20, generator=generator())
    learner.network.train()
    with torch.no_grad():
        gallery = EmbeddedGallery(learner.network.image(learner.world.features))
        greedy, _, _ = learner.converse(gallery, targets, first, None)
        sampled, before, _ = learner.converse(gallery, targets, first, uniforms)
    reward = learner.returns(sampled) - learner.returns(greedy)
    assert reward.abs().sum() > 0
    shown = follow(learner, gallery, targets, first, uniforms)
    learner.learn(targets, first, uniforms)
    learner.network.train()
    with torch.no_grad():
        after = log_probability_of(learner, shown, targets, first)
    assert ((after - before) * reward).mean() > 0


def test_self_critical_training_with_the_supervised_loss_is_drawn_to_the_target() -> None:
    data = training_data()
    triplets = {}
    for weight in (0.0, 300.0):
        learner = make("scst", data, weight=weight, negatives=3).learner(data)
        for seed in range(30):
            metrics = learner.update(torch.arange(40), generator(seed))
        assert ("triplet" in metrics.losses) == bool(weight)
        gallery = EmbeddedGallery(learner.network.image(learner.world.features).detach())
        targets, first = torch.arange(40), torch.arange(1, 41)
        far = (torch.arange(120) % 60).reshape(1, 3, 40).expand(5, 3, 40)
        _, _, states = learner.converse(gallery, targets, first, None)
        triplets[weight] = float(learner.triplet(states, targets, far).sum())
    assert triplets[300.0] < 0.5 * triplets[0.0]


def follow(
    learner: ScstLearner,
    gallery: EmbeddedGallery,
    targets: torch.Tensor,
    first: torch.Tensor,
    uniforms: torch.Tensor,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The nearest images (B, K) and the one sampled (B,) at each turn that counts."""
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    step = learner.world.step

    def listening(ranking: Any, shown: Any = None) -> Any:
        kept.append((ranking.top(learner.settings.nearest), shown))
        return step(ranking, shown)

    learner.world.step = listening  # type: ignore[method-assign]
    with torch.no_grad():
        learner.converse(gallery, targets, first, uniforms)
    learner.world.step = step  # type: ignore[method-assign]
    return kept


def log_probability_of(
    learner: ScstLearner,
    kept: list[tuple[torch.Tensor, torch.Tensor]],
    targets: torch.Tensor,
    first: torch.Tensor,
) -> torch.Tensor:
    """(B,) log-probability that the network now gives to the same images among the same alternatives."""
    world, network = learner.world, learner.network
    observation, hidden = world.reset(targets, first), network.begin(len(targets))
    total = torch.zeros(len(targets))
    for nearest, shown in kept[:-1]:
        state, hidden = network(observation.features, observation.feedback, hidden)
        images = network.image(world.features[nearest])
        logits = -(state[:, None] - images).square().sum(dim=2) / learner.settings.tau
        place = (nearest == shown[:, None]).float().argmax(dim=1)
        total += logits.log_softmax(dim=1).gather(1, place[:, None])[:, 0]
        observation = world.show(shown)
    return total


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(20_000, 3)
    drawn = sample(logits, torch.rand(20_000, generator=generator()))
    shares = torch.bincount(drawn, minlength=3) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0)
    assert sample(logits[:1], torch.tensor([0.99999999])).item() == 2


def test_the_spread_grows_with_the_square_of_the_features() -> None:
    draw = generator()
    state, images = torch.randn(5, 8, generator=draw), torch.randn(5, 4, 8, generator=draw)
    torch.testing.assert_close(spread(3 * state, 3 * images), 9 * spread(state, images))


@pytest.mark.parametrize("name", ["policy_improvement", "scst"])
def test_training_begins_from_supervised_weights_trained_once_for_all(name: str, tmp_path: Path) -> None:
    data = replace(training_data(), pretrained=tmp_path / "pretrained")
    first = make(name, data)
    first.train(data, tmp_path / "first", progress=False)
    (pretrained,) = (tmp_path / "pretrained").iterdir()
    assert pretrained.name.startswith("supervised-")
    written = (pretrained / "checkpoint.safetensors").stat().st_mtime_ns
    nothing_learned = make(name, data, epochs=0)
    nothing_learned.train(data, tmp_path / "second", progress=False)
    assert [folder.name for folder in (tmp_path / "pretrained").iterdir()] == [pretrained.name]
    assert (pretrained / "checkpoint.safetensors").stat().st_mtime_ns == written
    supervised = agents.load(pretrained)
    assert isinstance(supervised, NetworkAgent)
    weights = [checkpoint.fingerprint(agent.network.state_dict()) for agent in (supervised, nothing_learned, first)]
    assert weights[0] == weights[1] != weights[2]
    make(name, data, seed=1, epochs=0).train(data, tmp_path / "third", progress=False)
    assert len(list((tmp_path / "pretrained").iterdir())) == 2


@pytest.mark.parametrize("name", ["policy_improvement", "scst"])
@pytest.mark.parametrize("configuration", ["released", "paper"])
def test_an_interrupted_training_ends_in_the_same_numbers(name: str, configuration: str, tmp_path: Path) -> None:
    data = training_data(size=40)
    last = []
    for folder, ends in (("whole", (3,)), ("parts", (1, 3))):
        for epochs in ends:
            agent = make(name, data, epochs=epochs, configuration=configuration)
            agent.train(data, tmp_path / folder, progress=False)
        saved = checkpoint.read(tmp_path / folder / "checkpoint.safetensors")
        last.append(checkpoint.fingerprint(saved.tensors))
    assert last[0] == last[1]


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    data = training_data()
    for name in ("policy_improvement", "scst"):
        with pytest.raises(ValueError, match=r"nearest is 61 and .* has 60 images"):
            make(name, data, nearest=61).learner(data)
        for tau in (0.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="tau is"):
                make(name, data, tau=tau)
    with pytest.raises(ValueError, match="nearest is 1"):
        make("scst", data, nearest=1)
    with pytest.raises(ValueError, match="no contrast 'all'"):
        make("policy_improvement", data, contrast="all")
    data.simulator.deterministic = False  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="toy-1 may answer the same question in two ways"):
        make("policy_improvement", data).learner(data)
    make("scst", data).learner(data)


def test_the_triplet_loss_is_averaged_over_the_negatives() -> None:
    data = training_data()
    targets, first = torch.arange(20), torch.arange(20, 40)
    places = torch.zeros(5, 20, dtype=torch.int64)
    negatives = torch.randint(60, (5, 3, 20), generator=generator())
    losses = []
    for chosen in (negatives, *(negatives[:, [number]] for number in range(3))):
        agent = agents.create("supervised", gallery=data.gallery, vocabulary=data.simulator.vocabulary, negatives=3)
        assert isinstance(agent, NetworkAgent)
        learner = agent.learner(data)
        assert isinstance(learner, SupervisedLearner)
        losses.append(learner.learn(targets, first, chosen, places).losses["triplet"])
    torch.testing.assert_close(losses[0], torch.stack(losses[1:]).mean(dim=0))
    with pytest.raises(ValueError, match="negatives is 0"):
        agents.create("supervised", gallery=data.gallery, vocabulary=data.simulator.vocabulary, negatives=0)


def test_looking_ahead_finds_the_images_that_make_people_talk() -> None:
    contents = tiny_contents(size=60)
    gallery = Catalog(Contents("talk", contents.ids, np.asarray(contents.features)))
    user = BanditUser(gallery)
    data = TrainingData(gallery, user, gallery, user)
    learner = make("policy_improvement", data, nearest=60, horizon=1, epochs=1).learner(data)
    assert isinstance(learner, PolicyImprovementLearner)
    for _ in range(40):
        supervised_step(learner, data)
    learner.looking.load_state_dict(learner.network.state_dict())
    costs = choice_costs(learner, torch.arange(60))
    telling = costs[:, :2].mean()
    assert telling < costs[:, 2:].mean()


def supervised_step(learner: PolicyImprovementLearner, data: TrainingData) -> None:
    """Teaches the network to use what is said when image 0 or 1 is shown."""
    network, features = learner.network.train(), learner.world.features
    targets, first = torch.arange(60), torch.arange(60) % 2
    words = data.simulator.feedback(targets, first, first)
    state, _ = network(features[first], words, network.begin(60))
    logits = -(state[:, None] - network.image(features)[None].detach()).square().sum(dim=2)
    learner.descend(10 * torch.nn.functional.cross_entropy(logits, targets))


def choice_costs(learner: PolicyImprovementLearner, targets: torch.Tensor) -> torch.Tensor:
    """(B, N) what it costs to show each image of the gallery next, after a first one that says nothing."""
    with torch.no_grad():
        gallery = EmbeddedGallery(learner.looking.image(learner.world.features))
    learner.world.reset(targets, torch.full_like(targets, 5))
    ahead = LookAhead(learner.looking, gallery, learner.ahead)
    everything = torch.arange(len(learner.world.gallery)).expand(len(targets), -1)
    return ahead.costs(learner.world.state, learner.looking.begin(len(targets)), everything, 1)
