import copy
import itertools
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

import dialog_env.envs
from dialog_env.catalog import Catalog
from tests.toys import ToyUser

EVERY_KIND = list(
    itertools.product(
        ("candidate", "query", "score"),
        ("features", "pixels"),
        ("percentile", "change", "log_rank", "found"),
    )
)


@pytest.fixture
def gallery(make_tiny):
    contents = make_tiny(size=48)
    return Catalog(contents).split("train")


def make(gallery, **keywords):
    return gym.make("DialogRetrieval-v0", catalog=gallery, simulator=ToyUser(gallery), **keywords)


@pytest.mark.parametrize(("action", "observation", "reward"), EVERY_KIND)
def test_both_checkers_pass_without_a_warning(make_tiny, action, observation, reward):
    contents = make_tiny(size=48)
    contents.images.size = (48, 40)
    env = make(Catalog(contents).split("train"), action=action, observation=observation, reward=reward)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        check_env_for_sb3(env.unwrapped, skip_render_check=True)


def test_the_same_seed_and_actions_give_the_same_dialog(gallery):
    def play(seed):
        env = make(gallery, reveal_target=True)
        told = [env.reset(seed=seed)]
        told += [env.step(action)[::4] + env.step(action)[1:2] for action in (3, 7)]
        return told

    assert str(play(5)) == str(play(5))
    assert str(play(5)) != str(play(6))


def test_the_first_image_of_any_ranking_is_shown_and_pays_its_percentile(gallery):
    for action, given in (
        ("candidate", 7),
        ("query", gallery.features[7] / max(1, np.abs(gallery.features).max())),
        ("score", np.eye(len(gallery), dtype=np.float32)[7]),
    ):
        env = make(gallery, action=action)
        env.reset(seed=0, options={"target": 7, "candidate": 1})
        observation, reward, terminated, truncated, info = env.step(given)
        assert info["candidate"] == 7
        assert info["id"] == gallery.ids[7]
        assert np.array_equal(observation["image"], gallery.features[7])
        assert reward == 1.0
        assert not terminated
        assert not truncated


def test_info_tells_the_sentence_and_the_target_only_where_asked(gallery):
    env = make(gallery)
    observation, info = env.reset(seed=0)
    assert set(info) == {"sentence", "candidate", "id"}
    assert info["sentence"] == env.unwrapped.simulator.vocabulary.decode(observation["feedback"][None])[0]
    assert info["sentence"].split()[0] in {"less0", "more0"}
    told = make(gallery, reveal_target=True).reset(seed=0)[1]
    assert set(told) == {"sentence", "candidate", "id", "target", "rank"}


def test_episodes_take_the_turns_asked_for_and_the_last_feedback_is_empty(gallery):
    for turns in (1, 5, 8):
        env = make(gallery, turns=turns)
        env.reset(seed=0)
        ends = []
        for _ in range(turns):
            observation, _, terminated, _, info = env.step(0)
            ends.append(terminated)
        assert ends == [False] * (turns - 1) + [True]
        assert info["sentence"] == ""
        assert not observation["feedback"].any()
        assert observation["turn"] == turns


@pytest.mark.parametrize("reward", ["percentile", "change", "log_rank", "found"])
def test_finding_early_never_costs_return(gallery, reward):
    best = {"percentile": 5, "change": None, "log_rank": 0, "found": 5}[reward]
    returns = []
    for stop in (False, True):
        env = make(gallery, reward=reward, stop_when_found=stop)
        env.reset(seed=3, options={"target": 7, "candidate": 1})
        total, terminated = 0.0, False
        while not terminated:
            _, paid, terminated, _, _ = env.step(7)
            total += paid
        returns.append(total)
    assert returns[0] == pytest.approx(returns[1])
    if best is not None:
        assert returns[1] == best


def test_the_change_of_percentile_adds_up_to_the_whole_rise(gallery):
    env = make(gallery, reward="change", reveal_target=True)
    _, info = env.reset(seed=2)
    first = 1 - info["rank"] / len(gallery)
    total = 0.0
    for action in (4, 9, 2, 11, 6):
        _, reward, _, _, info = env.step(action)
        total += reward
    assert total == pytest.approx(1 - info["rank"] / len(gallery) - first, abs=1e-6)


def test_actions_may_be_lists_arrays_or_tensors(gallery):
    point = np.linspace(-1, 1, 8, dtype=np.float32)
    told = []
    for given in (point, point.tolist(), torch.from_numpy(point)):
        env = make(gallery, action="query")
        env.reset(seed=0)
        told.append(str(env.step(given)))
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    ("action", "given", "message"),
    [
        ("candidate", 24, "candidate 24 is not in the gallery; give a position from 0 to 23"),
        ("candidate", -1, "candidate -1 is not in the gallery"),
        ("candidate", 1.5, "one integer"),
        ("candidate", np.array([1, 2]), "one integer"),
        ("candidate", True, "made of numbers, not \\[True\\]"),
        ("candidate", np.True_, "made of numbers"),
        ("candidate", 1j, "made of numbers"),
        ("query", np.zeros(8, bool), "made of numbers"),
        ("query", torch.zeros(8, dtype=torch.complex64), "made of numbers"),
        ("score", np.zeros(24, complex), "made of numbers"),
        ("score", torch.zeros(24, dtype=torch.bool), "made of numbers"),
        ("query", np.zeros(7), "shape \\(8,\\), and \\(7,\\) was given"),
        ("query", np.full(8, np.nan), "contains nan"),
        ("query", np.full(8, 1.5), "contains 1.5"),
        ("score", np.zeros(8), "shape \\(24,\\)"),
        ("score", np.full(24, np.inf), "contains inf"),
        ("candidate", "red", "made of numbers, not \\['red'\\]"),
        ("candidate", None, "made of numbers, not \\[None\\]"),
        ("candidate", {"image": 3}, "made of numbers"),
        ("candidate", [1, [2, 3]], "made of numbers"),
        ("query", "red", "a query action is made of numbers"),
        ("query", None, "a query action is made of numbers"),
        ("score", [None] * 24, "a score action is made of numbers"),
    ],
)
def test_a_bad_action_is_refused_in_one_sentence_and_the_dialog_can_go_on(gallery, action, given, message):
    env = make(gallery, action=action).unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(given)
    observation, *_ = env.step(env.action_space.sample())
    assert observation["turn"] == 1


def test_steps_before_reset_and_after_the_end_are_refused(gallery):
    env = make(gallery, turns=1).unwrapped
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(0)


def test_unknown_keywords_say_what_there_is(gallery):
    with pytest.raises(ValueError, match="known are candidate, direction, move, query, score, and module:Class"):
        make(gallery, action="image")
    with pytest.raises(ValueError, match="no user simulator 'parrot'"):
        gym.make("DialogRetrieval-v0", catalog=gallery, simulator="parrot")
    with pytest.raises(ValueError, match="render_mode='film'"):
        dialog_env.envs.DialogRetrievalEnv(gallery, simulator=ToyUser(gallery), render_mode="film")
    with pytest.raises(ValueError, match="'target' and 'candidate'"):
        make(gallery).reset(options={"goal": 3})
    with pytest.raises(ValueError, match="from 0 to 23"):
        make(gallery).reset(options={"target": 24})


def test_settings_of_the_simulator_that_it_cannot_have_are_refused(gallery):
    def with_settings(simulator, **settings):
        return gym.make("DialogRetrieval-v0", catalog=gallery, simulator=simulator, simulator_settings=settings)

    with pytest.raises(ValueError, match="'describer' has no setting sed; its settings are visible, seed, device"):
        with_settings("describer", sed=3)
    with pytest.raises(ValueError, match=r"simulator setting seed is \[3\]; give a number"):
        with_settings("describer", seed=[3])
    with pytest.raises(ValueError, match="give them to ToyUser itself"):
        with_settings(ToyUser(gallery), seed=3)
    with pytest.raises(ValueError, match="mars"):
        with_settings("describer", device="mars")


def test_a_gallery_of_one_image_is_refused(gallery):
    single = gallery.take(np.array([0]))
    with pytest.raises(ValueError, match="at least two"):
        gym.make("DialogRetrieval-v0", catalog=single, split="selection", simulator=ToyUser(single))


def test_pictures_are_observed_as_they_are(gallery):
    env = make(gallery, observation="pixels")
    env.reset(seed=0)
    observation, *_ = env.step(5)
    assert np.array_equal(observation["image"], gallery.image(5))


def test_dialogs_render_as_picture_and_text(gallery):
    env = make(gallery, render_mode="rgb_array", reveal_target=True)
    env.reset(seed=0, options={"target": 3, "candidate": 1})
    first = env.render()
    env.step(3)
    second = env.render()
    assert first.shape == second.shape
    assert first.dtype == np.uint8
    assert (first != second).any()
    hidden = make(gallery, render_mode="ansi")
    hidden.reset(seed=0, options={"target": 3, "candidate": 1})
    text = hidden.render()
    assert gallery.ids[1] in text
    assert gallery.ids[3] not in text


def test_environments_survive_pickling_and_copying(gallery):
    env = make(gallery, reveal_target=True).unwrapped
    env.reset(seed=4)
    for twin in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert str(twin.step(3)) == str(copy.deepcopy(env).step(3))


@pytest.mark.parametrize("name", ["target", "candidate"])
def test_a_dialog_never_begins_at_its_target_whatever_position_is_given(gallery, name):
    env = make(gallery, reveal_target=True)
    for position in range(len(gallery)):
        info = env.reset(seed=5, options={name: position})[1]
        assert info[name] == position
        assert info["target"] != info["candidate"]
    with pytest.raises(ValueError, match="begins at the target"):
        env.reset(options={"target": 3, "candidate": 3})
    with pytest.raises(ValueError, match="from 0 to 23"):
        env.reset(options={"target": 3.7})


def test_a_split_given_as_a_catalogue_is_the_gallery(make_tiny):
    test = Catalog(make_tiny(size=48)).split("test")
    env = gym.make("DialogRetrieval-v0", catalog=test, simulator=ToyUser(test))
    assert env.unwrapped.gallery.fingerprint == test.fingerprint
