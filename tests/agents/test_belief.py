"""The belief: evidence that adds up, what it sees of images, what it learns, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dialog_env import agents
from dialog_env.agents import Agent, TrainingData
from dialog_env.agents.base import generator_for
from dialog_env.agents.belief import Belief, asking_learner, features
from dialog_env.agents.belief.agent import new_asking
from dialog_env.agents.belief.asking_learner import learn_to_ask, tried
from dialog_env.agents.belief.calibration import fitted_temperature
from dialog_env.agents.belief.features import ImageFeatures, main_components
from dialog_env.agents.belief.learner import BeliefLearner, drawn_gallery
from dialog_env.agents.belief.network import known_words
from dialog_env.agents.training.trainer import UpdateMetrics
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import metrics, protocol
from dialog_env.io import checkpoint
from dialog_env.simulators import make_simulator
from dialog_env.training.epochs import CHECKPOINT_FILE
from dialog_env.world.dialog import Dialog
from dialog_env.world.state import Observation
from tests.conftest import tiny_contents
from tests.toys import ToyUser


@pytest.fixture(scope="module")
def data() -> TrainingData:
    gallery = Catalog(tiny_contents(size=80))
    validation = gallery.split("validation")
    return TrainingData(gallery, ToyUser(gallery), validation, ToyUser(validation))


def make(data: TrainingData, **settings: Any) -> Belief:
    sizes = {"regions": 6, "evidence": 32, "batch": 16}
    agent = agents.create("belief", gallery=data.gallery, vocabulary=data.simulator.vocabulary, **{**sizes, **settings})
    assert isinstance(agent, Belief)
    return agent


def observe(agent: Belief, gallery: Catalog, candidates: list[int], sentences: list[str]) -> Observation:
    shown = torch.tensor(candidates)
    said = torch.from_numpy(agent.vocabulary.encode(sentences))
    return Observation(shown, torch.from_numpy(gallery.features)[shown], said, torch.zeros_like(shown))


def sentences(agent: Belief, count: int) -> list[str]:
    return [" ".join(agent.vocabulary.words[each : each + 2]) for each in range(count)]


def test_evidence_adds_up_and_the_belief_is_its_softmax(data: TrainingData) -> None:
    agent = make(data)
    agent.bind(data.gallery)
    one, two = (observe(agent, data.gallery, shown, sentences(agent, 2)) for shown in ([3, 4], [7, 9]))
    ranking, after_one = agent.rank(one, agent.begin(2))
    alone = agent.hear(two, agent.begin(2))
    _, both = agent.rank(two, after_one)
    torch.testing.assert_close(both.query, after_one.query + alone.query)
    embeddings, _ = agent.network.images(agent.images.of(data.gallery))
    scores = after_one.query @ embeddings.T
    torch.testing.assert_close(agent.log_belief(after_one), scores.log_softmax(dim=1))
    assert torch.equal(ranking.top(80), scores.double().argsort(dim=1, descending=True))
    assert both.shown.tolist() == [[3, 7], [4, 9]]


def test_no_image_is_shown_twice(data: TrainingData) -> None:
    record = protocol.run(make(data), data.gallery, data.simulator, seed=0, turns=12)
    assert all(len(set(shown)) == 13 for shown in record.shown.tolist())


def test_words_that_it_does_not_know_are_passed_over(data: TrainingData) -> None:
    agent = make(data)
    agent.bind(data.gallery)
    words = agent.vocabulary.words
    plain, strange = f"{words[0]} {words[1]}", f"zzz {words[0]} zzz zzz {words[1]} zzz"
    told = observe(agent, data.gallery, [3, 3], [plain, strange])
    heard = agent.hear(told, agent.begin(2)).query
    assert torch.equal(heard[0], heard[1])
    assert bool(heard.any())
    nothing = observe(agent, data.gallery, [3, 3], ["zzz yyy", ""])
    assert not bool(agent.hear(nothing, agent.begin(2)).query.any())


def test_what_follows_the_end_of_a_sentence_is_not_read() -> None:
    tokens = torch.tensor([[4, 9, 2, 0, 3], [9, 9, 0, 0, 0], [0, 1, 1, 1, 1], [1, 2, 3, 4, 5]])
    assert known_words(tokens, 9).tolist() == [[4, 2, 0, 0, 0], [0] * 5, [0] * 5, [1, 2, 3, 4, 5]]


def test_the_gallery_of_an_update_holds_the_targets_first_and_no_image_twice() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.tensor([5, 11, 2])
    for size, expected in ((7, 7), (20, 20), (100, 20), (2, 3)):
        gallery = drawn_gallery(targets, 20, size, generator)
        assert gallery[:3].tolist() == [5, 11, 2]
        assert len(gallery) == len(set(gallery.tolist())) == expected
    rest = torch.cat([drawn_gallery(targets, 20, 7, generator)[3:] for _ in range(2000)])
    assert rest.bincount(minlength=20)[targets].tolist() == [0, 0, 0]
    assert rest.bincount(minlength=20).sort().values[3] > 350  # of 8,000 over 17 images


def test_main_components_are_those_of_an_exact_decomposition() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 12, generator=generator) * torch.tensor([9.0, 5.0, 3.0] + [0.1] * 9)
    found = main_components(rows, 3, generator)
    exact = torch.linalg.svd(rows, full_matrices=False).Vh[:3].T
    torch.testing.assert_close((found * exact).sum(dim=0).abs(), torch.ones(3))


@pytest.mark.parametrize("channels", [64, 3])
def test_region_features_are_reduced_and_standardised(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "CHANNELS", channels)
    gallery = Catalog(tiny_contents(size=600))  # more than are read at a time
    fitted = ImageFeatures.fit(gallery, 5, torch.Generator().manual_seed(0))
    seen = fitted.of(gallery)
    assert seen.shape == (600, 8 + 5)
    torch.testing.assert_close(seen.mean(dim=0), torch.zeros(13), atol=0.02, rtol=0)
    deviations = seen.std(dim=0)
    torch.testing.assert_close(deviations[:9], torch.ones(9), atol=0.02, rtol=0)  # the pooled and the main component
    assert torch.equal(deviations[8:].sort(descending=True).values, deviations[8:])
    assert torch.equal(fitted.of(gallery.take(np.array([7, 3, 7]))), seen[[7, 3, 7]])
    moved = replace(tiny_contents(size=600), regions=np.roll(tiny_contents(size=600).regions, 1, axis=1))  # type: ignore[arg-type]
    assert not torch.allclose(fitted.of(Catalog(moved)), seen)  # a component knows the place that it looks at


def test_a_gallery_without_regions_is_seen_by_its_pooled_features() -> None:
    gallery = Catalog(tiny_contents(size=80, regions=None))
    data = TrainingData(gallery, ToyUser(gallery), gallery, ToyUser(gallery))
    agent = make(data)
    agent.bind(gallery)
    assert not bool(agent.images.of(gallery)[:, 8:].any())
    record = protocol.run(agent, gallery, data.simulator, seed=0)
    assert record.shown.shape == (80, 6)


def test_asking_shows_the_image_by_which_the_target_is_found_soonest(data: TrainingData) -> None:
    agent = make(data, ask="expected", candidates=5, targets=7, discount=0.7)
    protocol.introduce(agent, data.gallery, data.simulator)
    told = observe(agent, data.gallery, [3, 4, 9], sentences(agent, 3))
    decision = agent.act(told, agent.begin(3))
    for row, belief in enumerate(agent.log_belief(decision.memory).exp()):
        order = [image for image in belief.argsort(descending=True).tolist() if image != int(told.candidate[row])]
        likely = (belief[order[:7]].double() / belief[order[:7]].double().sum()).tolist()
        found = []
        for place, candidate in enumerate(order[:5]):
            asked = torch.tensor(order[:7]), torch.full((7,), candidate), told.candidate[row].expand(7)
            next_turn: dict[tuple[int, ...], float] = {}
            for other, answer in enumerate(data.simulator.feedback(*asked).tolist()):
                if other != place:
                    next_turn[tuple(answer)] = max(next_turn.get(tuple(answer), 0.0), likely[other])
            found.append(likely[place] + 0.7 * sum(next_turn.values()))
        assert found[order.index(int(decision.candidates[row]))] == pytest.approx(max(found))
        assert max(found) - min(found) > 1e-3
    assert protocol.declared(agent) == "knows the user"


def test_asking_shows_no_image_twice_and_at_the_last_turn_the_likeliest(data: TrainingData) -> None:
    asking, likely = make(data, ask="expected"), make(data)
    record = protocol.run(asking, data.gallery, data.simulator, seed=0, turns=79)
    assert all(sorted(shown) == list(range(80)) for shown in record.shown.tolist())
    protocol.introduce(asking, data.gallery, data.simulator)
    likely.bind(data.gallery)
    told = observe(asking, data.gallery, list(range(40)), sentences(asking, 8) * 5)
    last = replace(told, turn=torch.full((40,), asking.settings.turns - 1))
    ours, theirs, before = (
        each.act(said, each.begin(40)).candidates for each, said in ((asking, last), (likely, last), (asking, told))
    )
    assert torch.equal(ours, theirs)
    assert not torch.equal(before, theirs)


def test_a_user_who_may_answer_in_two_ways_cannot_be_asked(data: TrainingData) -> None:
    user = ToyUser(data.gallery)
    user.deterministic = False  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="user toy-1 may answer the same question in two ways"):
        protocol.run(make(data, ask="expected"), data.gallery, user, seed=0)
    agent = make(data, ask="expected")
    agent.bind(data.gallery)
    with pytest.raises(RuntimeError, match="call bind_user first"):
        agent.act(observe(agent, data.gallery, [1], ["more0"]), agent.begin(1))


def test_a_new_asking_network_shows_the_likeliest(data: TrainingData) -> None:
    agent, likely = make(data, ask="learned"), make(data)
    agent.asking = new_asking(torch.Generator())
    records = [protocol.run(each, data.gallery, data.simulator, seed=0) for each in (agent, likely)]
    assert np.array_equal(records[0].shown, records[1].shown)
    assert protocol.declared(agent) == protocol.declared(likely)  # it knows no user


def test_what_asking_learns_from_is_what_the_user_answers(data: TrainingData) -> None:
    agent = make(data, discount=0.5)
    agent.bind(data.gallery)
    world = Dialog(data.gallery, data.simulator, turns=5)
    targets = torch.tensor([5, 61, 17, 40])
    observation = world.reset(targets, torch.tensor([3, 4, 9, 1]))
    memory = agent.hear(observation, agent.begin(4))
    options = agent.log_belief(memory).argsort(dim=1, descending=True)[:, :7]
    options[0, 2] = targets[0]
    rewards = tried(agent, world, memory, options)
    assert torch.equal(world.observation().candidate, observation.candidate)  # nothing was shown in the dialogs
    for row, target in enumerate(targets.tolist()):
        for place, option in enumerate(options[row].tolist()):
            other = Dialog(data.gallery, data.simulator, turns=5)
            here = agent.hear(other.reset(targets[row : row + 1], observation.candidate[row : row + 1]), agent.begin(1))
            later = int(agent.act(other.show(torch.tensor([option])), here).candidates)
            assert rewards[row, place] == (1.0 if option == target else 0.5 if later == target else 0.0)
    assert rewards[0, 2] == 1


def test_asking_is_learned_kept_and_needs_no_user(data: TrainingData, tmp_path: Path) -> None:
    agent = make(data, epochs=3, learning_rate=3e-3, ask="learned", asking_updates=4, candidates=4, targets=8)
    summary = agent.train(data, tmp_path / "first", progress=False)
    assert len(summary["asking"]) == 4
    assert agent.asking is not None
    weights = checkpoint.fingerprint(agent.asking.state_dict())
    assert weights != checkpoint.fingerprint(new_asking(generator_for(0, "asking weights")).state_dict())
    again: Any = agents.load(tmp_path / "first")
    taken = make(data, epochs=0, initial=str(tmp_path / "first"), ask="learned", candidates=4)
    for other in (again, taken):
        assert checkpoint.fingerprint(other.asking.state_dict()) == weights
        assert not other.knows_user
    records = [protocol.run(each, data.gallery, data.simulator, seed=0) for each in (agent, again)]
    assert np.array_equal(records[0].shown, records[1].shown)
    unlearned = make(data, ask="learned")
    with pytest.raises(RuntimeError, match="has not learned to ask; train it with ask=learned and asking_updates"):
        protocol.run(unlearned, data.gallery, data.simulator, seed=0)


def test_a_choice_that_pays_is_learned(data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last of the likeliest alone is paid for, the network learns to show that."""
    agent = make(data, epochs=3, learning_rate=3e-3)
    agent.train(data, tmp_path, progress=False)
    agent = make(data, initial=str(tmp_path), ask="learned", asking_updates=40, candidates=4, targets=8)
    paid = torch.tensor([0.0, 0.0, 0.0, 1.0])
    monkeypatch.setattr(asking_learner, "tried", lambda agent, world, memory, options: paid.expand(options.shape))
    monkeypatch.setattr(asking_learner, "LEARNING_RATE", 0.03)
    agent.asking = new_asking(torch.Generator())
    gains = learn_to_ask(agent, agent.asking, data, progress=False)
    assert gains[-1]["gain"] > 0.9 * 4  # of 4 turns that are decided
    agent.bind(data.gallery)
    decision = agent.act(observe(agent, data.gallery, [3, 4], sentences(agent, 2)), agent.begin(2))
    fresh = agent.log_belief(decision.memory).scatter(1, decision.memory.shown, -torch.inf)
    assert torch.equal(decision.candidates, fresh.topk(4).indices[:, 3])


def test_temperatures_make_the_targets_likeliest_and_change_no_order(data: TrainingData, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings, queries = torch.randn(50, 8, generator=generator), torch.randn(4000, 8, generator=generator)
    chances = (queries @ embeddings.T / 1.7).softmax(dim=1)
    targets = torch.multinomial(chances, 1, generator=generator)[:, 0]
    assert fitted_temperature(queries, embeddings, targets) == pytest.approx(1.7, rel=0.05)
    agent = make(data, epochs=2)
    agent.train(data, tmp_path, progress=False)
    assert len(agent.temperatures) == 5
    again: Any = agents.load(tmp_path)
    assert again.temperatures == agent.temperatures
    agent.bind(data.gallery)
    ranking, memory = agent.rank(observe(agent, data.gallery, [3, 4], sentences(agent, 2)), agent.begin(2))
    scores = memory.query @ agent.embeddings().T
    torch.testing.assert_close(agent.log_belief(memory), (scores / agent.temperatures[0]).log_softmax(dim=1))
    assert torch.equal(agent.log_belief(memory).argsort(dim=1, descending=True), ranking.top(80))
    assert agent.log_belief(agent.begin(1)).exp().allclose(torch.tensor(1 / 80))


def test_it_learns_what_the_user_says(data: TrainingData, tmp_path: Path) -> None:
    agent = make(data, epochs=8, learning_rate=3e-3)
    summary = agent.train(data, tmp_path, progress=False)
    assert summary["history"][-1]["belief"] < summary["history"][0]["belief"] - 1
    record = protocol.run(agent, data.gallery, data.simulator, seed=1)
    assert metrics.percentile(record)[:, -1].mean() > 90
    assert agents.load(tmp_path).learned_from == "80 images of tiny (all)"  # type: ignore[attr-defined]


@pytest.mark.parametrize("settings", [{"memory": "recurrent"}, {"loss": "triplet"}, {"regions": 0}, {"repeats": True}])
def test_what_it_is_made_of_can_be_taken_out(data: TrainingData, settings: dict[str, Any], tmp_path: Path) -> None:
    agent = make(data, epochs=6, learning_rate=3e-3, **settings)
    agent.train(data, tmp_path, progress=False)
    again = agents.load(tmp_path)
    records = [protocol.run(each, data.gallery, data.simulator, seed=1) for each in (agent, again)]
    assert np.array_equal(records[0].shown, records[1].shown)
    assert metrics.percentile(records[0])[:, -1].mean() > 75
    repeated = any(len(set(shown)) < 6 for shown in records[0].shown.tolist())
    assert repeated == bool(settings.get("repeats"))


def test_a_training_taken_up_again_ends_in_the_same_numbers(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(data, epochs=2).train(data, tmp_path / "whole", progress=False)
    update, made = BeliefLearner.update, []

    def stopping(self: BeliefLearner, targets: torch.Tensor, generator: torch.Generator) -> UpdateMetrics:
        made.append(targets)
        if len(made) > 7:  # in the second epoch
            raise KeyboardInterrupt
        return update(self, targets, generator)

    with monkeypatch.context() as patched:
        patched.setattr(BeliefLearner, "update", stopping)
        with pytest.raises(KeyboardInterrupt):
            make(data, epochs=2).train(data, tmp_path / "parts", progress=False)
    make(data, epochs=2).train(data, tmp_path / "parts", progress=False)
    whole, parts = (checkpoint.read(tmp_path / name / CHECKPOINT_FILE) for name in ("whole", "parts"))
    assert checkpoint.fingerprint(whole.tensors) == checkpoint.fingerprint(parts.tensors)


def test_training_can_begin_from_a_saved_belief(data: TrainingData, tmp_path: Path) -> None:
    first = make(data, epochs=1)
    first.train(data, tmp_path / "first", progress=False)
    second = make(data, epochs=0, initial=str(tmp_path / "first"), seed=5)
    assert second.remark == "trained beforehand on 80 images of tiny (all)"
    second.train(data, tmp_path / "second", progress=False)
    assert second.temperatures == first.temperatures != (1.0,)  # what is only taken over stays as it is
    before, after = (
        protocol.run(each, data.gallery, data.simulator, seed=0) for each in (first, agents.load(tmp_path / "second"))
    )
    assert np.array_equal(before.shown, after.shown)
    with pytest.raises(ValueError, match=r"evidence and words of \(14, 8, 32.* \(14, 8, 16"):
        make(data, initial=str(tmp_path / "first"), evidence=16)


def test_weights_from_another_feature_space_are_refused(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalog, "space_id", "there")
    make(data, epochs=0).train(data, tmp_path, progress=False)
    monkeypatch.setattr(Catalog, "space_id", "here")
    with pytest.raises(ValueError, match="weights of agent belief know feature space there and"):
        make(data, epochs=0, initial=str(tmp_path)).bind(data.gallery)
    with pytest.raises(ValueError, match="agent belief knows feature space there and"):
        agents.load(tmp_path).bind(data.gallery)


def test_what_does_not_fit_is_refused_in_one_sentence(data: TrainingData, tmp_path: Path) -> None:
    agent = make(data, epochs=1)
    agent.train(data, tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"regions of \(4, 6\) and .* has 8 with \(9, 6\); train one"):
        agent.bind(Catalog(tiny_contents(size=20, regions=(9, 6))))
    with pytest.raises(ValueError, match=r"of 8 dimensions and .* has 5"):
        agent.bind(Catalog(tiny_contents(size=20, dimensions=5)))
    for settings in ({"images": 1}, {"learning_rate": 0.0}, {"dropout": 1.0}, {"evidence": 0}, {"discount": 2.0}):
        with pytest.raises(ValueError, match="give"):
            make(data, **settings)


def found_by_turn_five(agent: Agent, gallery: Catalog, targets: int | None) -> float:
    record = protocol.run(agent, gallery, make_simulator("captioner", gallery), seed=0, targets=targets)
    return float((record.shown[:, 1:] == record.target[:, None]).any(axis=1).mean())


def test_the_shipped_belief_plays_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = load_catalog("synthetic").split("test")
    agent = agents.load("belief")
    assert found_by_turn_five(agent, gallery, 100) > 0.85
    shipped = agents.create("belief", gallery=gallery, vocabulary=agent.vocabulary, configuration="shipped")
    assert protocol.declared(shipped) == "trained beforehand on 10,000 images of synthetic:10000:2 (all)"
    shipped.bind(gallery)
    assert set(shipped.network.state_dict()) == set(agent.network.state_dict())  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    Path("belief").mkdir()
    with pytest.raises(FileNotFoundError):
        agents.load("belief")  # a folder of that name is what is meant where there is one


@pytest.mark.slow
def test_the_shipped_belief_finds_drawn_shoes_of_a_seed_that_nobody_trained_on() -> None:
    assert found_by_turn_five(agents.load("belief"), load_catalog("synthetic:1000:7").split("all"), None) > 0.85
