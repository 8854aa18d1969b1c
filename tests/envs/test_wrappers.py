"""The dialog so far as an observation."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from dialog_env.catalog import Catalog
from dialog_env.envs.wrappers import DialogHistory, DialogHistoryVector, History, TensorEpisodeStatistics
from tests.envs.test_vector_environment import assert_same
from tests.toys import ToyUser

BATCH = 4


@pytest.fixture
def gallery(make_tiny):
    contents = make_tiny(size=48)
    contents.images.size = (48, 40)
    return Catalog(contents).split("train")


def make(gallery, **keywords):
    return gym.make("DialogRetrieval-v0", catalog=gallery, simulator=ToyUser(gallery), **keywords)


def make_vec(gallery, **keywords):
    return gym.make_vec("DialogRetrieval-v0", BATCH, catalog=gallery, simulator=ToyUser(gallery), **keywords)


@pytest.mark.parametrize("observation", ["features", "pixels"])
@pytest.mark.parametrize("flat", [False, True])
def test_checkers_pass_without_a_warning(gallery, observation, flat):
    env = DialogHistory(make(gallery, observation=observation, turns=3).unwrapped, flat=flat)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        check_env(env, skip_render_check=True)
        if flat:
            check_env_for_sb3(env, skip_render_check=True)


@pytest.mark.parametrize("observation", ["features", "pixels"])
def test_each_turn_stands_in_its_slot_and_the_rest_is_empty(gallery, observation):
    env, plain = DialogHistory(make(gallery, observation=observation)), make(gallery, observation=observation)
    whole, told = env.reset(seed=3)[0], plain.reset(seed=3)[0]
    for turn, action in enumerate((2, 7, 7, 0, 5)):
        assert np.array_equal(whole["image"][turn], told["image"])
        assert np.array_equal(whole["feedback"][turn], told["feedback"])
        assert whole["mask"].tolist() == [1] * (turn + 1) + [0] * (5 - turn)
        assert whole["turn"] == turn
        assert not whole["image"][turn + 1 :].any()
        assert not whole["feedback"][turn + 1 :].any()
        before = whole
        whole, told = env.step(action)[0], plain.step(action)[0]
        assert np.array_equal(whole["image"][: turn + 1], before["image"][: turn + 1])
    assert env.reset()[0]["mask"].sum() == 1


def test_what_a_user_does_to_a_history_does_not_reach_the_next(gallery):
    for env in (DialogHistory(make(gallery)), DialogHistoryVector(make_vec(gallery))):
        observation, _ = env.reset(seed=0)
        kept = observation["image"].copy()
        observation["image"][:] = 9
        following = env.step(env.action_space.sample())[0]["image"]
        assert np.array_equal(following[..., 0, :], kept[..., 0, :])


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("flat", [False, True])
def test_many_dialogs_remember_what_single_ones_do(gallery, mode, flat):
    small = gallery.take(np.arange(4))
    keywords = {"split": "selection", "stop_when_found": True}
    native = DialogHistoryVector(make_vec(small, autoreset_mode=mode, **keywords), flat=flat)
    singles = gym.vector.SyncVectorEnv(
        [lambda: DialogHistory(make(small, **keywords), flat=flat)] * BATCH, autoreset_mode=mode
    )
    assert native.single_observation_space == singles.single_observation_space
    assert native.observation_space == singles.observation_space
    native.action_space.seed(1)
    assert_same(native.reset(seed=7)[0], singles.reset(seed=7)[0])
    ended = np.zeros(BATCH, dtype=bool)
    some_ended = 0
    for number in range(25):
        if mode == AutoresetMode.DISABLED and ended.any():
            options = [{"reset_mask": ended.copy()} for _ in range(2)]
            seen = [env.reset(options=option)[0] for env, option in zip((native, singles), options, strict=True)]
            for name in seen[0]:
                assert np.array_equal(seen[0][name][ended], seen[1][name][ended])
        action = native.action_space.sample()
        outcomes = [env.step(action) for env in (native, singles)]
        for part in range(4):
            assert_same(outcomes[0][part], outcomes[1][part], f"step {number}, part {part}")
        ended = outcomes[0][2] | outcomes[0][3]
        some_ended += int(0 < ended.sum() < BATCH)
        if mode == AutoresetMode.SAME_STEP and ended.any():
            assert_same(outcomes[0][4]["final_obs"], outcomes[1][4]["final_obs"])
    assert some_ended


def test_tensors_hold_what_arrays_hold(gallery):
    arrays, tensors = (
        DialogHistoryVector(make_vec(gallery, output=output, autoreset_mode="SameStep"))
        for output in ("numpy", "torch")
    )
    seen, felt = arrays.reset(seed=3)[0], tensors.reset(seed=3)[0]
    for _ in range(7):
        for name, value in seen.items():
            assert isinstance(felt[name], torch.Tensor)
            assert felt[name].numpy().dtype == value.dtype
            assert np.array_equal(felt[name].numpy(), value)
        assert seen in arrays.observation_space
        action = arrays.action_space.sample()
        (seen, *_, info), (felt, *_, told) = arrays.step(action), tensors.step(torch.from_numpy(action))
        if "final_obs" in info:
            assert np.array_equal(told["final_obs"]["mask"][2].numpy(), info["final_obs"][2]["mask"])
            assert told["final_obs"]["mask"].all()


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("limit", [None, 2])
def test_statistics_of_tensors_are_those_that_gymnasium_records_of_arrays(gallery, mode, limit):
    small = gallery.take(np.arange(4))
    keywords = {"split": "selection", "stop_when_found": True, "autoreset_mode": mode, "max_episode_steps": limit}
    arrays = RecordEpisodeStatistics(make_vec(small, **keywords))
    tensors = TensorEpisodeStatistics(make_vec(small, output="torch", **keywords))
    arrays.action_space.seed(1)
    arrays.reset(seed=7)
    tensors.reset(seed=7)
    ended, some_ended = np.zeros(BATCH, dtype=bool), 0
    for number in range(25):
        if number == 11:
            for env in (arrays, tensors):
                env.reset()
        elif mode == AutoresetMode.DISABLED and ended.any():
            arrays.reset(options={"reset_mask": ended.copy()})
            tensors.reset(options={"reset_mask": torch.from_numpy(ended)})
        action = arrays.action_space.sample()
        told, recorded = arrays.step(action)[4], tensors.step(torch.from_numpy(action))[4]
        ended = np.array(told.get("_episode", np.zeros(BATCH, dtype=bool)))
        assert recorded["_episode"].tolist() == ended.tolist()
        for key in ("r", "l"):
            expected = told["episode"][key] if ended.any() else np.zeros(BATCH)
            np.testing.assert_allclose(recorded["episode"][key].numpy(), expected, rtol=1e-6)
        some_ended += int(0 < ended.sum() < BATCH)
    assert some_ended


def test_a_longer_dialog_than_there_are_slots_forgets_its_first_turns():
    history = History.empty({"image": torch.zeros(1, 2), "feedback": torch.zeros(1, 3, dtype=torch.int64)}, 3)
    for turn in range(5):
        parts = {"image": torch.full((1, 2), float(turn)), "feedback": torch.full((1, 3), turn)}
        history = history.then(parts, torch.tensor([turn]))
    assert history.parts["image"][0, :, 0].tolist() == [2, 3, 4]
    assert history.mask.tolist() == [[1, 1, 1]]


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match=r"wrap DialogRetrieval-v0"):
        DialogHistory(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match=r"a turn that is a number, .*preset='dialog'"):
        DialogHistory(gym.make("DialogRetrieval-v0", preset="vector", simulator="describer"))
    with pytest.raises(ValueError, match=r"observations with a turn"):
        DialogHistoryVector(gym.make_vec("CartPole-v1", 2))
    with pytest.raises(ValueError, match="gives no tensors; make it with output='torch'"):
        TensorEpisodeStatistics(gym.make_vec("CartPole-v1", 2))
