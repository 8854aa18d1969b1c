"""Actions and observations for libraries as they come: what they mean, one by one and joined by a preset."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FlattenObservation, FrameStackObservation
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

import dialog_env
from dialog_env.agents.sb3.vec_env import DialogVecEnv
from dialog_env.catalog import Catalog
from dialog_env.world.directions import Directions
from tests.envs.test_vector_environment import assert_same, play_both
from tests.toys import ToyUser

PRESETS = ("vector", "discrete")
IDS = ("DialogRetrieval-vector-v0", "DialogRetrieval-discrete-v0")


@pytest.fixture
def catalog(make_tiny):
    """As catalogues are built: features use little of [-1, 1], and a step of 16 deviations stays in it."""
    contents = make_tiny(size=48)
    contents.features *= 0.04
    return Catalog(contents)


@pytest.fixture
def gallery(catalog):
    return catalog.split("train")


def make(gallery, name="DialogRetrieval-v0", **keywords):
    return gym.make(name, catalog=gallery, simulator=ToyUser(gallery), **keywords)


def test_a_preset_joins_what_a_library_takes_as_it_comes(gallery):
    for preset, space in (("vector", spaces.Box(-1, 1, (8,))), ("discrete", spaces.Discrete(16))):
        env = make(gallery, preset=preset)
        assert env.action_space == space
        assert {key: part.shape for key, part in env.observation_space.items()} == {
            "image": (8,),
            "feedback": (9,),
            "turn": (6,),
        }
        assert all(isinstance(part, spaces.Box) and part.dtype == np.float32 for part in env.observation_space.values())


def test_what_is_asked_for_by_itself_takes_the_place_of_what_the_preset_says(gallery):
    env = make(gallery, preset="vector", action="candidate", observation=("features", "words"))
    assert env.action_space == spaces.Discrete(24)
    assert env.observation_space["turn"] == spaces.Discrete(6)
    assert env.observation_space["feedback"].shape == (9,)
    assert make(gallery, preset="discrete", action="direction:directions=3").action_space.shape == (3,)


def test_vectors_tell_what_the_plain_parts_tell(gallery):
    plain, vectors = make(gallery, action="query"), make(gallery, preset="vector", action="query")
    (told, _), (seen, _) = plain.reset(seed=3), vectors.reset(seed=3)
    features = torch.from_numpy(gallery.features).double()
    deviations = (features - features.mean(0)) @ torch.linalg.svd(features - features.mean(0))[2].T
    for turn in range(6):
        assert sorted(np.flatnonzero(seen["feedback"]) + 1) == sorted(set(told["feedback"].tolist()) - {0})
        assert np.flatnonzero(seen["turn"]).tolist() == [turn] == [told["turn"]]
        shown = vectors.unwrapped.state.candidate[0]
        expected = (deviations / deviations.std(0))[shown].abs()  # the sign of an axis is arbitrary
        np.testing.assert_allclose(np.abs(seen["image"]), expected, rtol=1e-4)
        if turn < 5:
            action = plain.action_space.sample()
            told, seen = plain.step(action)[0], vectors.step(action)[0]


def test_a_direction_leads_from_the_image_shown_to_where_images_have_more_of_it(gallery):
    env = make(gallery, preset="vector")
    for axis in range(3):
        for sign in (-1, 1):
            observation, info = env.reset(seed=axis)
            stay, *_, stayed = env.step(np.zeros(8, np.float32))
            assert stayed["candidate"] == info["candidate"]
            assert np.array_equal(stay["image"], observation["image"])
            moved = env.step((sign * np.eye(8)[axis]).astype(np.float32))[0]
            coordinates = env.unwrapped.dialogs.parts[0].coordinates[:, axis]
            assert (sign * coordinates > sign * moved["image"][axis]).sum() <= 2


def test_a_step_is_the_query_of_where_it_leads(gallery):
    steps, queries = make(gallery, action="direction:reach=2.5"), make(gallery, action="query")
    directions = Directions.of(torch.from_numpy(gallery.features), 8)
    scale = queries.unwrapped.dialogs.world.feature_bound
    observation, _ = steps.reset(seed=1)
    queries.reset(seed=1)
    for _ in range(5):
        step = steps.action_space.sample()
        query = observation["image"] + (2.5 * step * directions.spread.numpy()) @ directions.axes.numpy()
        (observation, paid, *_), (other, reward, *_) = steps.step(step), queries.step((query / scale).clip(-1, 1))
        assert_same(observation, other)
        assert paid == reward


def test_moves_are_single_steps_back_and_forth(gallery):
    moves, steps = make(gallery, action="move:directions=3"), make(gallery, action="direction:directions=3")
    assert moves.action_space == spaces.Discrete(6)
    for move in range(6):
        assert_same(moves.reset(seed=move)[0], steps.reset(seed=move)[0])
        step = np.zeros(3, np.float32)
        step[move // 2] = 1 if move % 2 else -1
        (one, reward, *_), (other, paid, *_) = moves.step(move), steps.step(step)
        assert_same(one, other)
        assert reward == paid


def test_what_is_learned_in_one_split_means_the_same_in_another(catalog):
    train, test = (make(catalog.split(split), preset="vector") for split in ("train", "test"))
    assert train.observation_space == test.observation_space
    assert train.action_space == test.action_space
    ours, theirs = train.unwrapped.dialogs.world.directions, test.unwrapped.dialogs.world.directions
    assert torch.equal(ours.axes, theirs.axes)
    own = test.unwrapped.dialogs.world.features
    assert torch.allclose(test.unwrapped.dialogs.parts[0].coordinates, ours.coordinates(own))


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("flatten", [False, True])
def test_many_dialogs_give_what_single_ones_give(gallery, mode, preset, flatten):
    small = gallery.take(np.arange(6))
    keywords = {"stop_when_found": True, "split": "selection"}
    play_both(small, mode, preset=preset, flatten=flatten, reveal_target=True, **keywords)


@pytest.mark.parametrize("preset", PRESETS)
def test_one_vector_is_what_gymnasium_makes_of_the_parts(gallery, preset):
    ours, theirs = make(gallery, preset=preset, flatten=True), FlattenObservation(make(gallery, preset=preset))
    assert ours.observation_space == theirs.observation_space
    assert_same(ours.reset(seed=4)[0], theirs.reset(seed=4)[0])
    for _ in range(5):
        action = ours.action_space.sample()
        assert_same(ours.step(action)[0], theirs.step(action)[0])
    tensors = gym.make_vec(
        "DialogRetrieval-v0",
        3,
        catalog=gallery,
        simulator=ToyUser(gallery),
        preset=preset,
        flatten=True,
        output="torch",
    )
    assert torch.equal(tensors.reset(seed=4)[0][0], torch.from_numpy(ours.reset(seed=4)[0]))


@pytest.mark.parametrize("name", IDS)
def test_an_id_is_enough_for_scripts_in_which_nothing_else_can_be_changed(gallery, name):
    env = make(gallery, name)
    assert isinstance(env.observation_space, spaces.Box)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_for_sb3(env.unwrapped, skip_render_check=True)
    many = gym.make_vec(f"dialog_env:{name}", 3, catalog=gallery, simulator=ToyUser(gallery))
    assert many.reset(seed=0)[0].shape == (3, *env.observation_space.shape)
    assert name in dialog_env.ENVIRONMENTS
    assert gym.make(env.spec, catalog=gallery, simulator=ToyUser(gallery)).action_space == env.action_space


@pytest.mark.parametrize("preset", PRESETS)
def test_frames_are_stacked(gallery, preset):
    stacked = FrameStackObservation(make(gallery, preset=preset, flatten=True), 3)
    plain = make(gallery, preset=preset, flatten=True)
    frames = [plain.reset(seed=2)[0]]
    assert np.array_equal(stacked.reset(seed=2)[0][-1], frames[0])
    for _ in range(3):
        action = plain.action_space.sample()
        frames.append(plain.step(action)[0])
        seen = stacked.step(action)[0]
    assert np.array_equal(seen, np.stack(frames[-3:]))
    assert seen in stacked.observation_space


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_stable_baselines_stacks_frames_and_trains_on_them(gallery, flatten, native):
    keywords = {"catalog": gallery, "simulator": ToyUser(gallery), "preset": "vector", "flatten": flatten}
    if native:
        envs = DialogVecEnv(gym.make_vec("DialogRetrieval-v0", 2, autoreset_mode="SameStep", **keywords))
    else:
        envs = DummyVecEnv([lambda: gym.make("DialogRetrieval-v0", **keywords)] * 2)
    stacked = VecFrameStack(envs, 3)
    first = stacked.reset()
    parts = {"": first} if flatten else first
    assert all(not part[:, : 2 * part.shape[1] // 3].any() and part.any() for part in parts.values())
    model = PPO("MlpPolicy" if flatten else "MultiInputPolicy", stacked, n_steps=8, batch_size=16, seed=0, device="cpu")
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(16)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.policy.parameters(), strict=True))


def test_libraries_of_discrete_actions_train_on_moves(gallery):
    model = DQN("MultiInputPolicy", make(gallery, preset="discrete"), learning_starts=8, seed=0, device="cpu")
    before = [parameter.clone() for parameter in model.q_net.parameters()]
    model.learn(24)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.q_net.parameters(), strict=True))


def test_what_cannot_be_is_refused_in_one_sentence(gallery):
    with pytest.raises(ValueError, match="preset='flat' is not known; choose one of dialog, vector, discrete"):
        make(gallery, preset="flat")
    with pytest.raises(ValueError, match=r"flatten=True makes one vector .* 'turn' is Discrete\(6\).*preset='vector'"):
        make(gallery, flatten=True)
    for given, message in {
        "reach=0": "reach is 0; give a number above 0",
        "reach=true": "reach is True; give a number",
        "directions=0": "directions is 0; give a whole number from 1",
        "directions=1.5": "directions is 1.5; give a whole number",
    }.items():
        with pytest.raises(ValueError, match=message):
            make(gallery, action=f"direction:{given}")
    with pytest.raises(ValueError, match="directions is 0"):
        make(gallery, observation="coordinates:directions=0")
    many = gym.make_vec("DialogRetrieval-v0", 2, catalog=gallery, simulator=ToyUser(gallery), preset="vector")
    with pytest.raises(ValueError, match=r"hold no tokens; read info\['sentence'\]"):
        many.sentences(many.reset(seed=0)[0])
