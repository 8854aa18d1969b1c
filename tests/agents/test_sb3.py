"""Agents of Stable-Baselines3: learning, files, refusals."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.agents.base import AGENT_FILE
from dialog_env.agents.sb3.agent import MODEL_DIGEST, MODEL_FILE
from dialog_env.agents.sb3.archive import read_weights
from dialog_env.agents.sb3.training import TRAINING_FILE, identity
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import protocol
from dialog_env.io import checkpoint
from dialog_env.io.atomic import signed
from dialog_env.simulators import make_simulator
from dialog_env.world.directions import Directions
from tests.conftest import tiny_contents
from tests.damage import flipped, refusal
from tests.toys import ToyUser

NAMES = sorted(name for name in agents.AGENTS if name.startswith("sb3-"))
SMALL = {"n_envs": 32, "hidden": 32, "directions": 4, "batch_size": 64}
QUICK: dict[str, dict[str, object]] = {
    "sb3-ppo": {"total_timesteps": 24_000},
    "sb3-ppo-candidate": {"total_timesteps": 24_000},
    "sb3-recurrent-ppo": {"total_timesteps": 24_000, "lstm_hidden_size": 32, "batch_size": 160},
    "sb3-a2c": {"total_timesteps": 32_000, "learning_rate": 0.003},
    "sb3-dqn": {"total_timesteps": 16_000, "learning_starts": 2_000},
    "sb3-sac": {"total_timesteps": 10_000, "learning_starts": 2_000, "gradient_steps": 8},
    "sb3-td3": {"total_timesteps": 12_000, "learning_starts": 2_000},
}
"""Settings with which the toy is learned in a few seconds."""


@pytest.fixture(scope="module")
def training_data() -> TrainingData:
    galleries = [Catalog(tiny_contents(size=size, dimensions=4, seed=seed)) for size, seed in ((300, 0), (120, 1))]
    users = [ToyUser(gallery) for gallery in galleries]
    return TrainingData(galleries[0], users[0], galleries[1], users[1])


def make(name: str, training_data: TrainingData, seed: int = 0, **settings: object) -> agents.Agent:
    known = set(agents.agent_class(name).Settings.__dataclass_fields__)
    chosen = {key: value for key, value in {**SMALL, **settings}.items() if key in known}
    return agents.create(
        name, gallery=training_data.gallery, vocabulary=training_data.simulator.vocabulary, seed=seed, **chosen
    )


def percentile(agent: agents.Agent, gallery: Catalog, user: ToyUser) -> float:
    record = protocol.run(agent, gallery, user, seed=0)
    return float(100 * (1 - record.rank / record.images).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_agent_learns_what_is_of_use_in_another_gallery(
    name: str, training_data: TrainingData, tmp_path: Path
) -> None:
    unseen = Catalog(tiny_contents(size=200, dimensions=4, seed=2))
    agent = make(name, training_data, **QUICK[name])
    before = percentile(agent, unseen, ToyUser(unseen))
    agent.train(training_data, tmp_path, progress=False)
    after = percentile(agent, unseen, ToyUser(unseen))
    assert after > 60
    assert after > before + 8


@pytest.mark.slow
def test_ppo_beats_chance_by_ten_points_on_drawn_shoes_in_a_fraction_of_its_training(tmp_path: Path) -> None:
    galleries = [load_catalog("synthetic").split(name) for name in ("train", "validation", "test")]
    users = [make_simulator("describer", gallery) for gallery in galleries]
    shoes = TrainingData(galleries[0], users[0], galleries[1], users[1])
    agent = agents.create(
        "sb3-ppo", gallery=galleries[0], vocabulary=users[0].vocabulary, total_timesteps=30_000, evaluations=2
    )
    agent.train(shoes, tmp_path, progress=False)
    record = protocol.run(agent, galleries[2], users[2], seed=0)
    assert 100 * (1 - record.rank / record.images).mean() > 60


@pytest.mark.parametrize("name", NAMES)
def test_training_leaves_files_that_act_as_the_agent_does(
    name: str, training_data: TrainingData, tmp_path: Path
) -> None:
    agent = make(name, training_data, total_timesteps=700, learning_starts=64, evaluations=2)
    summary = agent.train(training_data, tmp_path, progress=False)
    assert summary["steps"] >= 700
    assert summary["best_validation_percentile"] == max(row["validation"] for row in summary["history"])
    again = agents.load(tmp_path)
    first, second = (
        protocol.run(each, training_data.validation_gallery, training_data.validation_simulator, seed=0)
        for each in (agent, again)
    )
    assert np.array_equal(first.shown, second.shown)
    assert np.array_equal(first.closer, second.closer)
    assert abs(100 * (1 - first.rank / 120).mean() - summary["best_validation_percentile"]) < 1e-9


@pytest.mark.parametrize("name", ["sb3-ppo", "sb3-dqn"])
def test_the_dialog_so_far_can_be_observed(name: str, training_data: TrainingData, tmp_path: Path) -> None:
    agent = make(name, training_data, total_timesteps=700, learning_starts=64, history=True)
    agent.train(training_data, tmp_path, progress=False)
    long = protocol.run(agent, training_data.validation_gallery, training_data.validation_simulator, seed=0, turns=8)
    again = protocol.run(
        agents.load(tmp_path), training_data.validation_gallery, training_data.validation_simulator, seed=0, turns=8
    )
    assert np.array_equal(long.shown, again.shown)


@pytest.mark.parametrize("name", ["sb3-ppo", "sb3-a2c", "sb3-sac"])
def test_seeds_decide_what_is_learned_and_global_generators_stay_as_they_are(
    name: str, training_data: TrainingData, tmp_path: Path
) -> None:
    states = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        agent = make(name, training_data, seed=seed, total_timesteps=700, learning_starts=64)
        agent.train(training_data, tmp_path / str(number), progress=False)
        weights.append(
            torch.cat([tensor.flatten() for tensor in read_weights(tmp_path / str(number) / MODEL_FILE).values()])
        )
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert states[0] == random.getstate()
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(states[2], torch.random.get_rng_state())


def test_a_finished_training_is_not_done_again_and_another_is_refused(
    training_data: TrainingData, tmp_path: Path
) -> None:
    first = make("sb3-ppo", training_data, total_timesteps=700)
    summary = first.train(training_data, tmp_path, progress=False)
    again = make("sb3-ppo", training_data, total_timesteps=700)
    assert again.train(training_data, tmp_path, progress=False) == json.loads(json.dumps(summary))
    assert percentile(first, training_data.gallery, training_data.simulator) == percentile(
        again, training_data.gallery, training_data.simulator
    )
    with pytest.raises(ValueError, match=rf"{TRAINING_FILE} is of a training with seed 0 and this one has 1"):
        make("sb3-ppo", training_data, seed=1, total_timesteps=700).train(training_data, tmp_path, progress=False)


def test_a_damaged_record_of_a_finished_training_is_refused(training_data: TrainingData, tmp_path: Path) -> None:
    agent = make("sb3-ppo", training_data)
    path = tmp_path / TRAINING_FILE
    whole = json.dumps(
        signed({"identity": identity(agent, training_data), "summary": {"epochs": 1}}), indent=1
    ).encode()
    for content in [
        *flipped(whole, seed=1, count=60),
        b"",
        b"[]",
        b"[" * 10**5,
        b'{"identity": []}',
        b'{"summary": 3}',
    ]:
        path.write_bytes(content)
        sentence = refusal(agent.train, training_data, tmp_path)
        assert sentence.startswith(f"{path} is ") or path.read_bytes().split() == whole.split()
        assert "\n" not in sentence


def test_stable_baselines_reads_the_file_as_its_own(training_data: TrainingData, tmp_path: Path) -> None:
    agent = make("sb3-ppo-candidate", training_data, total_timesteps=700, history=False)
    agent.train(training_data, tmp_path, progress=False)
    model = PPO.load(tmp_path / MODEL_FILE, device="cpu")
    agent.bind(training_data.gallery)
    world = protocol.Dialog(training_data.gallery, training_data.simulator)
    observation = world.reset(torch.arange(50), torch.arange(50) + 100)
    seen = {"image": observation.features, "feedback": observation.feedback, "turn": observation.turn}
    chosen, _ = model.predict({name: part.numpy() for name, part in seen.items()}, deterministic=True)
    assert np.array_equal(chosen, agent.act(observation, agent.begin(50)).candidates.numpy())


def test_nothing_is_unpickled(training_data: TrainingData, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    agent = make("sb3-ppo", training_data)
    agent.save(tmp_path)
    path = tmp_path / MODEL_FILE
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def rewrite(**changed: bytes) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**parts, **changed}.items():
                archive.writestr(name, content)

    trap, named = tmp_path / "trap.pth", "it refers to __builtin__.getattr, do not trust it"
    torch.save({"weight": Trap()}, trap)
    rewrite(**{"policy.pth": trap.read_bytes()})
    with pytest.raises(ValueError, match=rf"model.zip is truncated or no Stable-Baselines3 model \({named}"):
        read_weights(path)
    rewrite(data=pickle.dumps(Trap()), **{"pytorch_variables.pth": trap.read_bytes()})
    with pytest.raises(ValueError, match=r"model.zip is damaged or of another agent"):
        agents.load(tmp_path)
    facts = checkpoint.read(tmp_path / AGENT_FILE).facts
    checkpoint.write(tmp_path / AGENT_FILE, {}, {name: facts[name] for name in facts if name != MODEL_DIGEST})
    agents.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_every_flipped_bit_of_a_model_is_noticed(training_data: TrainingData, tmp_path: Path) -> None:
    make("sb3-ppo", training_data, hidden=4).save(tmp_path)
    path = tmp_path / MODEL_FILE
    for content in flipped(path.read_bytes(), seed=2, count=60):
        path.write_bytes(content)
        sentence = refusal(agents.load, tmp_path)
        assert sentence.startswith(str(path))
        assert "\n" not in sentence


def test_damaged_files_are_refused(training_data: TrainingData, tmp_path: Path) -> None:
    agent = make("sb3-ppo", training_data)
    agent.save(tmp_path)
    path = tmp_path / MODEL_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model.zip is truncated"):
        agents.load(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no Stable-Baselines3 model at .*model.zip"):
        agents.load(tmp_path)
    make("sb3-ppo", training_data, hidden=16).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / MODEL_FILE, path)
    with pytest.raises(ValueError, match=r"model.zip is damaged or of another agent"):
        agents.load(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch"):
        agent.load_weights(read_weights(path))
    with torch.no_grad():
        next(agent.policy.parameters()).fill_(torch.nan)
    agent.save(tmp_path)
    with pytest.raises(ValueError, match="NaN or infinite"):
        agents.load(tmp_path)


def test_settings_and_galleries_that_do_not_fit_are_refused(training_data: TrainingData) -> None:
    with pytest.raises(ValueError, match="n_envs is 0"):
        make("sb3-ppo", training_data, n_envs=0)
    with pytest.raises(ValueError, match=r"n_envs is 1000000000000; give 16777216 or less"):
        make("sb3-ppo", training_data, n_envs=10**12)
    with pytest.raises(ValueError, match=r"seed is 4294967296; agent sb3-ppo takes seeds from 0 to 4294967295"):
        make("sb3-ppo", training_data, seed=1 << 32)
    with pytest.raises(ValueError, match=r"gamma 1.5"):
        make("sb3-ppo", training_data, gamma=1.5)
    with pytest.raises(ValueError, match="needs a gallery or its dimensions"):
        agents.create("sb3-ppo", vocabulary=training_data.simulator.vocabulary)
    with pytest.raises(ValueError, match=r"features of 4 dimensions and .* has 7"):
        make("sb3-ppo", training_data).bind(Catalog(tiny_contents(dimensions=7)))


def test_main_directions_are_those_in_which_images_differ_most() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([3.0, 0.1, 1.0, 0.01])
    features = torch.randn(4000, 4, generator=generator) * spread + torch.tensor([0.0, 5.0, 0.0, 0.0])
    found = Directions.of(features, 2)
    torch.testing.assert_close(found.spread, torch.tensor([3.0, 1.0]), rtol=0.05, atol=0)
    assert found.axes[0].abs().argmax() == 0
    assert found.axes[1].abs().argmax() == 2
    whitened = found.coordinates(features)
    torch.testing.assert_close(whitened.std(dim=0), torch.ones(2))
    steps = torch.tensor([[0.5, 0.0], [0.0, -1.0]])
    moved = found.coordinates(found.query(features[:2], steps, 3.0, 1e3)) - whitened[:2]
    torch.testing.assert_close(moved, 3 * steps, rtol=1e-3, atol=1e-4)
    assert Directions.of(features[:2], 4).axes.shape == (4, 4)
