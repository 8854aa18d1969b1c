"""Agents: making them, acting, saving and loading, and what they refuse."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.agents.base import AGENT_FILE, Agent
from dialog_env.agents.baselines.unseen import Unseen
from dialog_env.agents.guo2018.networks import DialogNetwork, new_network
from dialog_env.agents.guo2018.released import agent_from_released, network_from_released, read_released, to_released
from dialog_env.catalog import Catalog
from dialog_env.evaluate import metrics, protocol
from dialog_env.io import checkpoint
from dialog_env.simulators import make_simulator
from dialog_env.world.ranking import ScoreRanking
from dialog_env.world.state import Observation
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import Vocabulary
from tests.conftest import tiny_contents
from tests.toys import ToyUser


@pytest.fixture(scope="module")
def gallery() -> Catalog:
    return Catalog(tiny_contents(size=60))


@pytest.fixture(scope="module")
def user(gallery: Catalog) -> ToyUser:
    return ToyUser(gallery)


def user_for(name: str, gallery: Catalog, user: ToyUser) -> UserSimulator:
    """A user that the agent understands."""
    return make_simulator("relevance", gallery) if name == "rocchio" else user


def make(name: str, gallery: Catalog, user: UserSimulator, **settings: object) -> Agent:
    return agents.create(name, gallery=gallery, vocabulary=user.vocabulary, **settings)


@pytest.mark.parametrize("name", sorted(agents.AGENTS))
def test_a_loaded_agent_acts_as_the_saved_one(name: str, gallery: Catalog, user: ToyUser, tmp_path: Path) -> None:
    user = user_for(name, gallery, user)
    agent = make(name, gallery, user, seed=3)
    agent.save(tmp_path)
    before = protocol.run(agent, gallery, user, seed=0)
    after = protocol.run(agents.load(tmp_path), gallery, user, seed=0)
    assert np.array_equal(before.shown, after.shown)
    assert np.array_equal(before.closer, after.closer)


@pytest.mark.parametrize("name", sorted(agents.AGENTS))
def test_a_single_dialog_is_a_batch_of_one(name: str, gallery: Catalog, user: ToyUser) -> None:
    user = user_for(name, gallery, user)
    record = protocol.run(make(name, gallery, user), gallery, user, seed=0, batch=1)
    assert record.shown.shape == (60, 6)
    if name != "random":
        together = protocol.run(make(name, gallery, user), gallery, user, seed=0)
        assert np.array_equal(record.shown, together.shown)


def test_seeds_decide_what_an_agent_is(gallery: Catalog, user: ToyUser) -> None:
    for name in ("random", "supervised"):
        first, again, other = (
            protocol.run(make(name, gallery, user, seed=seed), gallery, user, seed=0).closer for seed in (1, 1, 2)
        )
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


def test_random_draws_the_same_whatever_the_batch(gallery: Catalog, user: ToyUser) -> None:
    whole, parts, singly = (
        protocol.run(make("random", gallery, user, seed=3), gallery, user, seed=0, batch=batch).closer
        for batch in (60, 7, 1)
    )
    assert np.array_equal(whole, parts)
    assert np.array_equal(whole, singly)
    assert len(np.unique(whole)) > 30


def test_random_stands_at_fifty(gallery: Catalog, user: ToyUser) -> None:
    record = protocol.run(make("random", gallery, user), gallery, user, seed=0, turns=50)
    assert abs(100 * (1 - record.rank.mean() / 60) - 50) < 2


def test_greedy_walks_to_the_nearest_image_not_shown_whatever_is_said(gallery: Catalog, user: ToyUser) -> None:
    record = protocol.run(make("greedy", gallery, user), gallery, user, seed=0, turns=3)
    apart = ((gallery.features[:, None] - gallery.features[None]) ** 2).sum(axis=2)
    for dialog in range(60):
        shown = list(record.shown[dialog])
        for turn in range(3):
            order = [int(image) for image in apart[shown[turn]].argsort() if image not in shown[: turn + 1]]
            assert shown[turn + 1] == order[0]


def test_rocchio_moves_towards_what_was_closer(gallery: Catalog) -> None:
    user = make_simulator("relevance", gallery)
    agent = make("rocchio", gallery, user)
    agent.bind(gallery)
    words = user.vocabulary
    first, second = torch.tensor([3, 3, 3]), torch.tensor([7, 7, 7])
    features = torch.from_numpy(gallery.features)

    def observe(candidates: torch.Tensor, said: list[str]) -> Observation:
        feedback = torch.from_numpy(words.encode(said))
        return Observation(candidates, features[candidates], feedback, torch.zeros_like(candidates))

    _, memory = agent.rank(observe(first, ["first"] * 3), agent.begin(3))
    _, moved = agent.rank(observe(second, ["closer", "farther", "same"]), memory)
    towards = (features[3] + 0.75 * features[7] - 0.25 * features[3]) / 1.5
    away = (features[3] + 0.75 * features[3] - 0.25 * features[7]) / 1.5
    torch.testing.assert_close(moved.query, torch.stack([towards, away, features[3]]))


def test_rocchio_beats_chance_with_one_word_a_turn(gallery: Catalog) -> None:
    user = make_simulator("relevance", gallery)
    record = protocol.run(make("rocchio", gallery, user), gallery, user, seed=0, turns=20)
    assert metrics.percentile(record)[:, -1].mean() > 60


def test_rocchio_needs_a_user_who_says_closer(gallery: Catalog, user: ToyUser) -> None:
    with pytest.raises(ValueError, match="needs a user who says 'closer'"):
        make("rocchio", gallery, user)
    with pytest.raises(ValueError, match="give a smaller away"):
        make("rocchio", gallery, make_simulator("relevance", gallery), away=2.0)


@pytest.mark.parametrize("inner", ["supervised", "random"])
def test_unseen_shows_nothing_twice_and_ranks_as_the_agent_within(inner: str, gallery: Catalog, user: ToyUser) -> None:
    agent = make(inner, gallery, user, seed=1)
    record = protocol.run(Unseen(agent), gallery, user, seed=0, turns=12)
    assert not metrics.repeat_rate(record).any()
    alone = protocol.run(agent, gallery, user, seed=0, turns=12)
    assert np.array_equal(record.closer[:, 1], alone.closer[:, 1])
    made = make("unseen", gallery, user, seed=1, inner=inner)
    assert np.array_equal(protocol.run(made, gallery, user, seed=0, turns=12).shown, record.shown)


def test_unseen_shows_the_best_again_once_all_were_shown(user: ToyUser) -> None:
    few = Catalog(tiny_contents(size=4))
    record = protocol.run(Unseen(make("random", few, user)), few, ToyUser(few), seed=0, turns=6)
    assert (np.sort(record.shown[:, :4]) == np.arange(4)).all()


def test_making_a_network_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    new_network(8, 9, "concatenation", torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("batch", [1, 5, 40])
def test_the_text_encoder_is_a_convolution_over_word_pairs(batch: int) -> None:
    network = new_network(8, 60, "sum", torch.Generator().manual_seed(0)).eval()
    tokens = torch.randint(61, (batch, 16), generator=torch.Generator().manual_seed(1))
    text = network.text
    words = text.embedding(tokens).permute(0, 2, 1)
    expected = text.output(text.normalisation(text.convolution(words).amax(dim=2)))
    torch.testing.assert_close(text(tokens), expected, rtol=1e-4, atol=1e-5)


def test_one_dialog_trains_by_the_running_statistics() -> None:
    network = new_network(8, 9, "sum", torch.Generator().manual_seed(0)).train()
    network.text(torch.ones(4, 16, dtype=torch.int64))
    statistics = network.text.normalisation.running_mean.clone()
    tokens = torch.tensor([[3, 5] + [0] * 14])
    alone = network.text(tokens)
    alone.sum().backward()
    assert torch.equal(statistics, network.text.normalisation.running_mean)
    assert torch.equal(alone, network.eval().text(tokens))
    assert network.text.embedding.weight.grad is not None


def test_fusions_differ_in_their_joint_layer_only() -> None:
    shapes = [
        {name: tensor.shape for name, tensor in DialogNetwork(8, 9, fusion).state_dict().items()}
        for fusion in ("sum", "concatenation")
    ]
    assert {name for name in shapes[0] if shapes[0][name] != shapes[1][name]} == {"fusion.joint.weight"}


def test_released_names_lead_there_and_back(tmp_path: Path) -> None:
    network = new_network(8, 9, "concatenation", torch.Generator().manual_seed(0)).eval()
    path = tmp_path / "released.pt"
    torch.save(to_released(network), path)
    again = network_from_released(read_released(path), words=9).eval()
    arguments = torch.randn(2, 8, generator=torch.Generator().manual_seed(1)), torch.ones(2, 16, dtype=torch.int64)
    assert torch.equal(network(*arguments, network.begin(2))[0], again(*arguments, again.begin(2))[0])


def test_an_agent_of_released_weights_remembers_their_file(tmp_path: Path, gallery: Catalog, user: ToyUser) -> None:
    network = new_network(8, 9, "concatenation", torch.Generator().manual_seed(0))
    path = tmp_path / "released.pt"
    torch.save(to_released(network), path)
    agent = agent_from_released(path, user.vocabulary)
    agent.save(tmp_path / "agent")
    loaded = agents.load(tmp_path / "agent")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.trained == {"released": {"file": "released.pt", "sha256": digest}}
    records = [protocol.run(each, gallery, user, seed=0) for each in (agent, loaded)]
    assert np.array_equal(records[0].shown, records[1].shown)
    torch.save({**to_released(network), "emb_txt.weight": torch.ones(9)}, path)
    with pytest.raises(
        ValueError, match=r"released\.pt is no released dialog model \(released weight 'emb_txt\.weight'"
    ):
        agent_from_released(path, user.vocabulary)


def test_released_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    weights = to_released(new_network(8, 9, "sum", torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="know 9 words and the vocabulary has 12"):
        network_from_released(weights, words=12)
    with pytest.raises(ValueError, match=r"lack 'head.weight'"):
        network_from_released({name: tensor for name, tensor in weights.items() if name != "head.weight"})
    with pytest.raises(ValueError, match=r"'head.weight' has shape \(3, 3\)"):
        network_from_released({**weights, "head.weight": torch.zeros(3, 3)})
    with pytest.raises(ValueError, match="NaN"):
        network_from_released({**weights, "head.weight": weights["head.weight"] * torch.nan})
    with pytest.raises(ValueError, match="'more'"):
        network_from_released({**weights, "more": torch.zeros(1)})
    path = tmp_path / "pickle.pt"
    torch.save({"model": Path}, path)
    with pytest.raises(ValueError, match=r"pickle.pt is truncated or no state dict .*it refers to pathlib\.Path"):
        read_released(path)
    with pytest.raises(FileNotFoundError, match=r"absent.pt"):
        read_released(tmp_path / "absent.pt")


def test_what_cannot_be_made_is_refused(gallery: Catalog, user: ToyUser) -> None:
    with pytest.raises(ValueError, match=r"no agent 'clever'.*known are"):
        make("clever", gallery, user)
    with pytest.raises(ValueError, match="no setting 'depth'; known are"):
        make("supervised", gallery, user, depth=3)
    with pytest.raises(ValueError, match="no configuration 'best'"):
        make("supervised", gallery, user, configuration="best")
    with pytest.raises(ValueError, match="batch is 0"):
        make("supervised", gallery, user, batch=0)
    with pytest.raises(ValueError, match="learning_rate 0"):
        make("supervised", gallery, user, learning_rate=0)
    with pytest.raises(ValueError, match="no fusion 'product'"):
        make("supervised", gallery, user, fusion="product")
    with pytest.raises(ValueError, match="needs a gallery or its dimensions"):
        agents.create("supervised", vocabulary=user.vocabulary)


def test_galleries_and_users_that_do_not_fit_are_refused(gallery: Catalog, user: ToyUser) -> None:
    agent = make("supervised", gallery, user)
    with pytest.raises(ValueError, match=r"8 dimensions and .* has 7"):
        agent.bind(Catalog(tiny_contents(dimensions=7)))
    stranger = ToyUser(gallery)
    stranger.vocabulary = Vocabulary(("other", "words", "UNK"))
    with pytest.raises(ValueError, match="vocabulary of 9 words"):
        agent.check_user(stranger)


def test_damaged_checkpoints_are_refused(gallery: Catalog, user: ToyUser, tmp_path: Path) -> None:
    make("supervised", gallery, user).save(tmp_path)
    path = tmp_path / AGENT_FILE
    whole = path.read_bytes()
    with pytest.raises(FileNotFoundError, match="train an agent there first"):
        agents.load(tmp_path / "elsewhere")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"agent.safetensors is truncated"):
        agents.load(tmp_path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no checkpoint of this project"):
        agents.load(tmp_path)
    path.write_bytes(whole)
    saved, tensors = checkpoint.read(path), load_file(path)
    checkpoint.write(path, {**tensors, "network.head.weight": tensors["network.head.weight"] / 0}, saved.facts)
    with pytest.raises(ValueError, match=r"NaN or infinite numbers in 'network.head.weight'"):
        agents.load(tmp_path)
    checkpoint.write(path, {name: tensors[name] for name in tensors if name != "network.head.weight"}, saved.facts)
    with pytest.raises(ValueError, match="does not hold the weights of a dialog network"):
        agents.load(tmp_path)
    save_file(tensors, path, metadata={"format": checkpoint.FORMAT, "version": "99", "facts": "{}"})
    with pytest.raises(ValueError, match="version '99'"):
        agents.load(tmp_path)


class Mean(agents.Agent):
    """An agent of somebody else: ranks by distance to what it learned, the mean image."""

    name = "mean image"
    trainable = True

    def train(self, training_data, folder, *, progress=True):
        self.mean = torch.from_numpy(training_data.gallery.features).mean(dim=0)
        return {}

    def learned(self):
        return {"mean": self.mean}

    def bind(self, gallery):
        self.features = torch.from_numpy(gallery.features)

    def rank(self, observation, memory):
        distance = (self.features - self.mean).square().sum(dim=1)
        return ScoreRanking(-distance.expand(len(observation), -1)), None


def test_an_agent_of_ones_own_needs_two_methods_and_is_made_and_loaded_by_module_and_class(tiny_catalog, tmp_path):
    user = ToyUser(tiny_catalog)
    made = agents.create("tests.agents.test_agents.Mean", gallery=tiny_catalog, vocabulary=user.vocabulary, seed=4)
    made.train(TrainingData(tiny_catalog, user, tiny_catalog, user), tmp_path)
    made.save(tmp_path)
    with pytest.raises(
        ValueError, match=r"agent 'tests\.agents\.test_agents\.Mean', which is not one of .*; if you trust it"
    ):
        agents.load(tmp_path)
    with pytest.raises(ValueError, match=r"agent 'tests\.agents\.test_agents\.Mean' and not of 'random'"):
        agents.load(tmp_path, kind=agents.agent_class("random"))
    loaded = agents.load(tmp_path, kind=Mean)
    assert (loaded.seed, loaded.dimensions, loaded.vocabulary) == (4, 8, user.vocabulary)
    records = [protocol.run(agent, tiny_catalog, user, seed=0) for agent in (made, loaded)]
    assert (records[0].shown == records[1].shown).all()
    with pytest.raises(ValueError, match=r"no agent 'tests\.nowhere:Agent'.*give module:Class"):
        agents.create("tests.nowhere.Agent")


def test_sentences_are_encoded_alike_with_and_without_gradients() -> None:
    network = new_network(8, 40, "sum", torch.Generator().manual_seed(0)).eval()
    tokens = torch.randint(41, (50, 16), generator=torch.Generator().manual_seed(1))
    tokens[:, 9:] = 0
    with torch.no_grad():
        without = network.text(tokens)
    assert torch.equal(network.text(tokens), without)


def test_the_agent_that_shows_no_image_twice_wraps_any_configuration(gallery: Catalog, user: ToyUser) -> None:
    agent = make("unseen", gallery, user, inner="supervised@paper", settings={"epochs": 3})
    assert isinstance(agent, Unseen)
    assert (agent.inner.settings.fusion, agent.inner.settings.epochs) == ("concatenation", 3)
    with pytest.raises(ValueError, match="no configuration 'mine'"):
        make("unseen", gallery, user, inner="supervised@mine")
