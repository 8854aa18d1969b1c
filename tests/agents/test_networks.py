"""The network of an agent can be anybody's: made, trained, saved and loaded by its contract, with nobody's names."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dialog_env import agents
from dialog_env.agents.__main__ import main
from dialog_env.agents.base import AGENT_FILE, TrainingData
from dialog_env.agents.guo2018.network_agent import NetworkAgent
from dialog_env.agents.guo2018.networks import NETWORKS, new_network
from dialog_env.agents.guo2018.policy_improvement import image_weights
from dialog_env.agents.guo2018.supervised import Supervised
from dialog_env.agents.training.batchnorm import recalibrate_batchnorm
from dialog_env.benchmarks.__main__ import main as benchmark
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.io import checkpoint
from dialog_env.world.dialog import Dialog
from tests.conftest import tiny_contents
from tests.damage import refusal
from tests.toys import ToyUser

STRANGER = '''
import torch
from torch import nn


class Bag(nn.Module):
    """Sums up what was said and shown; images pass two layers, one of them normalised."""

    def __init__(self, dimensions, words):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dimensions, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 6))
        self.said = nn.EmbeddingBag(words + 1, 6, padding_idx=0)
        self.scale = nn.Parameter(torch.ones(6))

    def image(self, features):
        return self.encoder(features.flatten(0, -2)).view(*features.shape[:-1], 6)

    def begin(self, batch):
        return self.scale.new_zeros(batch, 6)

    def forward(self, features, feedback, memory):
        memory = memory + self.image(features) + self.said(feedback)
        return self.scale * memory, memory
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A file outside the repository with a network in it."""
    (tmp_path / "strange_networks.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "strange_networks", raising=False)
    return import_module("strange_networks")


@pytest.fixture
def data() -> TrainingData:
    gallery = Catalog(tiny_contents(size=24))
    validation = gallery.split("validation")
    return TrainingData(gallery, ToyUser(gallery), validation, ToyUser(validation))


def make(name: Any, data: TrainingData, **settings: Any) -> NetworkAgent:
    agent = agents.create(name, gallery=data.gallery, vocabulary=data.simulator.vocabulary, **settings)
    assert isinstance(agent, NetworkAgent)
    return agent


def shown(agent: agents.Agent, data: TrainingData) -> np.ndarray:
    return protocol.run(agent, data.validation_gallery, data.validation_simulator, seed=0).shown


SMALL = {"epochs": 1, "batch": 8, "statistics": 2}
LEARNERS = ["supervised", "continued", "scst", "policy_improvement", "scst@paper", "policy_improvement@paper"]


@pytest.mark.parametrize("name", LEARNERS)
def test_every_agent_trains_saves_and_loads_a_network_of_somebody_else(
    name: str, stranger: ModuleType, data: TrainingData, tmp_path: Path
) -> None:
    name, _, configuration = name.partition("@")
    settings = {**SMALL, "configuration": configuration or "released"}
    if name != "supervised":
        settings["pretraining"] = SMALL
    agent = make(name, data, network="strange_networks:Bag", **settings)
    start = {key: value.clone() for key, value in agent.network.state_dict().items()}
    agent.train(data, tmp_path / "agent", progress=False)
    assert any(not torch.equal(start[key], value) for key, value in agent.network.state_dict().items())
    loaded = [
        agents.load(tmp_path / "agent", network=stranger.Bag),
        agents.load(tmp_path / "agent", last=True, network=stranger.Bag),
    ]
    assert isinstance(loaded[0].network, stranger.Bag)
    assert np.array_equal(shown(agent, data), shown(loaded[0], data))
    again = make(name, data, network="strange_networks:Bag", **settings)
    again.train(data, tmp_path / "agent", progress=False)
    assert np.array_equal(shown(agent, data), shown(again, data))


def test_an_agent_of_ones_own_may_name_its_network_class(
    stranger: ModuleType, data: TrainingData, tmp_path: Path
) -> None:
    class Mine(Supervised):
        network_class = stranger.Bag

    agent = make(Mine, data, **SMALL)
    agent.train(data, tmp_path, progress=False)
    loaded = agents.load(tmp_path, kind=Mine)
    assert isinstance(loaded, Mine)
    assert np.array_equal(shown(agent, data), shown(loaded, data))
    assert "which is not one of" in refusal(agents.load, tmp_path)


def test_a_network_calls_its_layers_what_it_likes(stranger: ModuleType, data: TrainingData) -> None:
    class Named(stranger.Bag):  # type: ignore[name-defined, misc]
        def __init__(self, dimensions: int, words: int) -> None:
            super().__init__(dimensions, words)
            self.words = self.dimensions = self.fusion = nn.Identity()

    assert isinstance(make("supervised", data, network=Named).network, Named)


def test_a_network_may_be_given_as_a_class(stranger: ModuleType, data: TrainingData, tmp_path: Path) -> None:
    agents_made = [make("supervised", data, network=network) for network in (stranger.Bag, "strange_networks:Bag")]
    prints = [checkpoint.fingerprint(agent.network.state_dict()) for agent in agents_made]
    assert (
        prints[0]
        == prints[1]
        != checkpoint.fingerprint(make("supervised", data, network=stranger.Bag, seed=1).network.state_dict())
    )
    with pytest.raises(ValueError, match="agent greedy has no network that can be given"):
        agents.create("greedy", gallery=data.gallery, network=stranger.Bag)
    unseen = agents.create(
        "unseen",
        gallery=data.gallery,
        vocabulary=data.simulator.vocabulary,
        settings={"network": "strange_networks:Bag"},
    )
    unseen.save(tmp_path)
    assert np.array_equal(shown(unseen, data), shown(agents.load(tmp_path, network=stranger.Bag), data))


@pytest.mark.parametrize("name", ["supervised", "policy_improvement", "scst"])
def test_the_command_line_takes_a_network_as_module_and_class(
    name: str, stranger: ModuleType, tiny_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "trained"
    options = ["--catalog", str(tiny_file), "--simulator", "describer", "--device", "cpu"]
    more = [] if name == "supervised" else ["--pretraining.epochs", "1"]
    main(["train", f"{name}:network=strange_networks:Bag,epochs=1,batch=4", "--output", str(folder), *options, *more])
    assert isinstance(agents.load(folder, network=stranger.Bag), NetworkAgent)
    film = ["--agent", str(folder), "--network", "strange_networks:Bag", "--output", str(tmp_path / "film")]
    if name == "supervised":
        benchmark(["film", *film, *options, "--dialogs", "1"])
        assert list((tmp_path / "film").iterdir())


def test_a_benchmark_runs_an_agent_with_a_network_of_somebody_else(
    stranger: ModuleType, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = "supervised:network=strange_networks:Bag,epochs=1,batch=4"
    command = ["run", "--catalog", str(tiny_file), "--simulator", "describer", "--device", "cpu", "--agents", "random"]
    command += [agent, "--output", str(tmp_path / "runs")]
    benchmark(command)
    benchmark(command)
    assert "already there" in capsys.readouterr().out


def test_a_file_names_registered_networks_only(
    stranger: ModuleType, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("supervised", data, network=stranger.Bag).save(tmp_path)
    sentence = refusal(agents.load, tmp_path)
    assert "is of network 'strange_networks:Bag', which is not one of guo2018" in sentence
    assert "agents.load(…, network=…)" in sentence

    class Other(stranger.Bag):  # type: ignore[name-defined,misc]
        pass

    assert "'strange_networks:Bag' and not of" in refusal(lambda: agents.load(tmp_path, network=Other))
    monkeypatch.setattr(NETWORKS, "_known", {**NETWORKS._known, "bag": stranger.Bag})
    make("supervised", data, network="bag").save(tmp_path)
    assert checkpoint.read(tmp_path / AGENT_FILE).facts["network"] == "bag"
    assert isinstance(agents.load(tmp_path).network, stranger.Bag)


def test_files_from_before_networks_had_names_act_as_they_did(data: TrainingData, tmp_path: Path) -> None:
    agent = make("supervised", data, configuration="paper")
    agent.save(tmp_path)
    saved = checkpoint.read(tmp_path / AGENT_FILE)
    facts = {key: value for key, value in saved.facts.items() if key != "network"}
    del facts["settings"]["network"]
    assert facts["fusion"] == "concatenation"
    checkpoint.write(tmp_path / AGENT_FILE, saved.tensors, facts)
    assert np.array_equal(shown(agent, data), shown(agents.load(tmp_path), data))
    make("supervised", data, configuration="paper", epochs=0, initial=str(tmp_path)).train(
        data, tmp_path / "on", progress=False
    )


def test_initial_weights_of_another_network_are_refused(
    stranger: ModuleType, data: TrainingData, tmp_path: Path
) -> None:
    make("supervised", data).save(tmp_path / "first")
    agent = make("supervised", data, network=stranger.Bag, initial=str(tmp_path / "first"))
    with pytest.raises(ValueError, match="have network 'guo2018' and this agent has 'strange_networks:Bag'"):
        agent.train(data, tmp_path / "second", progress=False)


class Bare(nn.Module):
    def __init__(self, dimensions: int, words: int) -> None:
        super().__init__()
        self.image = nn.Linear(dimensions, 3)

    def begin(self, batch: int) -> torch.Tensor:
        return torch.zeros(batch, 3)


class NoMemory(Bare):
    def forward(self, features, feedback, memory):
        return None


class Narrow(Bare):
    def forward(self, features, feedback, memory):
        return memory[:, :2], memory


class NoImage(nn.Module):
    def __init__(self, dimensions, words):
        super().__init__()

    begin = Bare.begin
    forward = Narrow.forward


class OtherSizes(Narrow):
    def __init__(self, width):
        super().__init__(width, 1)


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        (Bare, "it has no forward"),
        (NoMemory, "a turn of two dialogs fails"),
        (Narrow, r"of shapes \(2, 3\), \(2, 2\) and \(2, 3\)"),
        (NoImage, "it has no image"),
        (OtherSizes, "cannot be made .* let its constructor take dimensions and words"),
        (nn.Linear, "it has no begin"),
        ("tests.agents.test_networks:Absent", "no network"),
        ("other", "known are guo2018"),
    ],
)
def test_what_is_no_network_is_refused_in_a_sentence(network: Any, complaint: str, data: TrainingData) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        make("supervised", data, network=network)
    assert "\n" not in str(caught.value)


def test_the_weights_of_the_image_embedding_are_found_without_their_names(stranger: ModuleType) -> None:
    features = torch.randn(2, 8)
    generator = torch.Generator().manual_seed(0)
    assert image_weights(new_network(8, 9, "sum", generator), features) == {"image.weight", "image.bias"}
    names = image_weights(new_network(8, 9, "sum", generator, stranger.Bag), features)
    assert {name.partition(".")[0] for name in names} == {"encoder"}
    assert len(names) == 6


def test_statistics_are_taken_for_every_batchnorm_layer(stranger: ModuleType, data: TrainingData) -> None:
    network = new_network(8, 9, "sum", torch.Generator().manual_seed(0), stranger.Bag)
    layer = network.encoder[1]
    world = Dialog(data.gallery, data.simulator, turns=3)
    recalibrate_batchnorm(network, world, torch.Generator(), 2, 8)
    assert layer.num_batches_tracked == 1 + 2 * 3
    assert layer.momentum == 0.1
    before = layer.running_mean.clone()
    recalibrate_batchnorm(network, world, torch.Generator(), 0, 8)
    assert torch.equal(before, layer.running_mean)
    assert not network.training
