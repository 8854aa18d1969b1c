import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import dialog_env.envs
from dialog_env.catalog import Catalog
from tests.toys import ToyUser

BATCH = 5


@pytest.fixture
def gallery(make_tiny):
    return Catalog(make_tiny(size=48)).split("train")


def make_vec(gallery, **keywords):
    return gym.make_vec("DialogRetrieval-v0", BATCH, catalog=gallery, simulator=ToyUser(gallery), **keywords)


def make_sync(gallery, mode, **keywords):
    return gym.make_vec(
        "DialogRetrieval-v0",
        BATCH,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        catalog=gallery,
        simulator=ToyUser(gallery),
        **keywords,
    )


def assert_same(first, second, where=""):
    assert type(first) is type(second), f"{where}: {type(first)} and {type(second)}"
    if isinstance(first, dict):
        assert set(first) == set(second), where
        for key in first:
            assert_same(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, np.ndarray) and first.dtype == object:
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{where}[{number}]")
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype, f"{where}: {first.dtype} and {second.dtype}"
        assert np.array_equal(first, second), where
    else:
        assert first == second, where


KINDS = list(
    itertools.product(
        ("candidate", "query", "score"), ("features", "pixels"), ("percentile", "change", "log_rank", "found")
    )
)


def play_both(gallery, mode, steps=13, **keywords):
    native = make_vec(gallery, autoreset_mode=mode, **keywords)
    sync = make_sync(gallery, mode, **keywords)
    native.action_space.seed(1)
    assert native.single_observation_space == sync.single_observation_space
    assert_same(native.reset(seed=7)[0], sync.reset(seed=7)[0])
    ended = np.zeros(BATCH, dtype=bool)
    for number in range(steps):
        if mode == AutoresetMode.DISABLED and ended.any():
            outcomes = [env.reset(options={"reset_mask": ended.copy()}) for env in (native, sync)]
            for part in range(2):
                assert_same(outcomes[0][part], outcomes[1][part], f"reset before step {number}, part {part}")
        action = native.action_space.sample()
        outcomes = [env.step(action) for env in (native, sync)]
        for part in range(5):
            assert_same(outcomes[0][part], outcomes[1][part], f"step {number}, part {part}")
        ended = outcomes[0][2] | outcomes[0][3]


@pytest.mark.parametrize(("action", "observation", "reward"), KINDS)
def test_the_same_seeds_and_actions_give_what_single_environments_give(gallery, action, observation, reward):
    play_both(
        gallery, AutoresetMode.SAME_STEP, action=action, observation=observation, reward=reward, reveal_target=True
    )


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("reward", ["percentile", "change"])
def test_every_autoreset_mode_agrees_with_gymnasium_where_dialogs_end_apart(gallery, mode, reward):
    small = gallery.take(np.arange(4))
    play_both(small, mode, split="selection", steps=30, reward=reward, stop_when_found=True, reveal_target=True)


def test_time_limits_truncate_as_gymnasium_does(gallery):
    play_both(gallery, AutoresetMode.SAME_STEP, max_episode_steps=3)


def test_seeds_are_given_to_each_dialog(gallery):
    env = make_vec(gallery, reveal_target=True)
    by_first = env.reset(seed=4)[1]["target"]
    by_list = env.reset(seed=[4, 5, 6, 7, 8])[1]["target"]
    assert np.array_equal(by_first, by_list)
    assert len(set(env.reset(seed=[4] * BATCH)[1]["target"])) == 1


def test_tensors_on_request_hold_what_arrays_hold(gallery):
    keywords = {"reveal_target": True, "action": "query", "autoreset_mode": AutoresetMode.SAME_STEP}
    arrays, tensors = make_vec(gallery, **keywords), make_vec(gallery, output="torch", **keywords)
    (seen, _), (felt, _) = arrays.reset(seed=3), tensors.reset(seed=3)
    for number in range(6):
        for key, value in seen.items():
            assert isinstance(felt[key], torch.Tensor)
            assert np.array_equal(felt[key].numpy(), value)
        action = arrays.action_space.sample()
        seen, reward, terminated, _, info = arrays.step(action)
        felt, paid, over, _, told = tensors.step(torch.from_numpy(action))
        assert np.array_equal(paid.numpy(), reward)
        assert np.array_equal(over.numpy(), terminated)
        assert np.array_equal(told["rank"].numpy(), info["rank"])
        assert tensors.sentences(felt) == list(info["sentence"])
        if number == 4:
            assert told["_final_obs"].all()
            assert np.array_equal(told["final_obs"]["image"][2].numpy(), info["final_obs"][2]["image"])


def test_what_a_user_does_to_an_observation_does_not_reach_the_dialog(gallery):
    for output in ("numpy", "torch"):
        env, twin = make_vec(gallery, output=output), make_vec(gallery, output=output)
        observation, _ = env.reset(seed=0)
        twin.reset(seed=0)
        observation["feedback"][:] = 3
        observation["image"][:] = 0
        action = np.arange(BATCH)
        assert (env.step(action)[0]["feedback"] == twin.step(action)[0]["feedback"]).all()
        assert (env.step(action)[0]["image"] == twin.step(action)[0]["image"]).all()


def test_bad_input_is_refused_in_one_sentence(gallery):
    with pytest.raises(ValueError, match="num_envs is 0"):
        dialog_env.envs.DialogRetrievalVectorEnv(0, catalog=gallery, simulator=ToyUser(gallery))
    with pytest.raises(ValueError, match=r"num_envs is 2\.5; give a whole number"):
        dialog_env.envs.DialogRetrievalVectorEnv(2.5, catalog=gallery, simulator=ToyUser(gallery))
    with pytest.raises(ValueError, match="choose one of numpy, torch"):
        make_vec(gallery, output="jax")
    with pytest.raises(ValueError, match="'same' is not known; choose one of NextStep, SameStep, Disabled"):
        make_vec(gallery, autoreset_mode="same")
    with pytest.raises(ValueError, match="max_episode_steps is 0; give a whole number"):
        make_vec(gallery, max_episode_steps=0)
    with pytest.raises(TypeError, match="no keyword simulater; known are autoreset_mode, output, max_episode_steps"):
        make_vec(gallery, simulater="describer")
    with pytest.raises(ValueError, match="simulator_settings is 'seed'; give a dictionary"):
        make_vec(gallery, simulator_settings="seed")
    for seed in (1.5, "12345", np.array(3), 2.0):
        with pytest.raises(ValueError, match="is no seed; give an integer, or one for each dialog"):
            make_vec(gallery).reset(seed=seed)
    with pytest.raises(ValueError, match=r"-1 is no seed; give integers from 0 up"):
        make_vec(gallery).reset(seed=[1, 2, -1, 4, 5])
    env = make_vec(gallery, autoreset_mode=AutoresetMode.DISABLED, turns=1)
    with pytest.raises(RuntimeError, match="call reset first"):
        env.step(np.zeros(BATCH, dtype=int))
    with pytest.raises(ValueError, match="3 seeds were given for 5 dialogs"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="have not begun"):
        env.reset(options={"reset_mask": np.array([True] + [False] * 4)})
    env.reset(seed=0)
    for given in (None, 3, np.array(3), "12345", {"a": 1}):
        with pytest.raises(ValueError, match="was given for 5 dialogs; give an array with an action for each"):
            env.step(given)
    with pytest.raises(ValueError, match="made of numbers"):
        env.step([None] * BATCH)
    with pytest.raises(ValueError, match="4 actions were given for 5 dialogs"):
        env.step(np.zeros(4, dtype=int))
    env.step(np.zeros(BATCH, dtype=int))
    with pytest.raises(RuntimeError, match="dialog 0 has ended"):
        env.step(np.zeros(BATCH, dtype=int))
    with pytest.raises(ValueError, match="5 booleans"):
        env.reset(options={"reset_mask": np.zeros(BATCH, dtype=bool)})


def test_integers_and_arrays_of_numpy_are_seeds_too(gallery):
    seen = [make_vec(gallery).reset(seed=seed)[0] for seed in (3, np.int64(3), np.arange(3, 3 + BATCH))]
    assert_same(seen[0], seen[1])
    assert_same(seen[0], seen[2])
