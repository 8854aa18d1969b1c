import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.world.dialog import Dialog, embedded, first_candidates
from dialog_env.world.ranking import QueryRanking, ScoreRanking
from tests.toys import ToyUser


@pytest.fixture
def world(tiny_catalog):
    return Dialog(tiny_catalog, ToyUser(tiny_catalog))


def towards(world, positions):
    features = embedded(world.gallery)
    return QueryRanking(features.embeddings[positions], features)


def test_a_turn_shows_the_nearest_image_and_asks_about_it(world):
    world.reset(torch.tensor([0, 1]), torch.tensor([2, 3]))
    observation, outcome = world.step(towards(world, torch.tensor([5, 1])))
    assert observation.candidate.tolist() == [5, 1]
    assert observation.turn.tolist() == [1, 1]
    expected = world.simulator.feedback(torch.tensor([0, 1]), torch.tensor([5, 1]), torch.tensor([2, 3]))
    assert torch.equal(observation.feedback, expected)
    assert outcome.found.tolist() == [False, True]
    assert outcome.target_rank.rank()[1] == 0
    assert world.state.previous.tolist() == [2, 3]


def test_a_dialog_takes_five_turns_and_a_found_target_does_not_end_it(world):
    world.reset(torch.tensor([0]), torch.tensor([4]))
    for turn in range(5):
        assert not world.over().any()
        observation, outcome = world.step(towards(world, torch.tensor([0])))
        assert outcome.over.item() == (turn == 4)
    assert not observation.feedback.any()
    assert world.simulator.asked == [1, 1, 1, 1, 1]


def test_found_dialogs_end_early_where_asked_and_then_stay_as_they_are(tiny_catalog):
    world = Dialog(tiny_catalog, ToyUser(tiny_catalog), stop_when_found=True)
    world.reset(torch.tensor([0, 1]), torch.tensor([4, 5]))
    _, outcome = world.step(towards(world, torch.tensor([0, 7])))
    assert outcome.over.tolist() == [True, False]
    observation, outcome = world.step(towards(world, torch.tensor([9, 9])))
    assert observation.candidate.tolist() == [0, 9]
    assert observation.turn.tolist() == [1, 2]
    assert outcome.over.tolist() == [False, False]
    assert world.simulator.asked == [2, 1, 1]


def test_some_dialogs_begin_anew_while_the_others_go_on(world):
    world.reset(torch.tensor([0, 1]), torch.tensor([2, 3]))
    before, _ = world.step(towards(world, torch.tensor([5, 6])))
    again = torch.tensor([True, False])
    observation = world.reset(torch.tensor([7, 7]), torch.tensor([8, 8]), where=again)
    assert observation.candidate.tolist() == [8, 6]
    assert observation.turn.tolist() == [0, 1]
    assert torch.equal(observation.feedback[1], before.feedback[1])
    assert world.state.target.tolist() == [7, 1]
    assert world.state.previous.tolist() == [-1, 3]


def test_a_restored_snapshot_goes_on_as_if_nothing_had_been_tried(world):
    world.reset(torch.tensor([0, 1]), torch.tensor([2, 3]))
    saved = world.snapshot()
    first, _ = world.step(towards(world, torch.tensor([5, 6])))
    world.restore(saved)
    world.step(towards(world, torch.tensor([9, 9])))
    world.restore(saved)
    second, _ = world.step(towards(world, torch.tensor([5, 6])))
    assert torch.equal(first.feedback, second.feedback)
    assert torch.equal(first.candidate, second.candidate)


def test_rows_of_a_snapshot_become_a_larger_batch(world):
    world.reset(torch.tensor([0, 1]), torch.tensor([2, 3]))
    observation = world.restore(world.snapshot().rows(torch.tensor([1, 1, 0])))
    assert observation.candidate.tolist() == [3, 3, 2]
    assert world.state.target.tolist() == [1, 1, 0]


def test_first_candidates_are_uniform_and_never_the_target():
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(5).repeat(4000)
    drawn = first_candidates(targets, 5, generator)
    assert (drawn != targets).all()
    counts = torch.bincount(drawn[targets == 0], minlength=5)
    assert counts[0] == 0
    assert counts[1:].min() > 850


def test_bad_input_is_refused_and_changes_nothing(world, tiny_catalog, make_tiny):
    with pytest.raises(RuntimeError, match="call reset first"):
        world.observation()
    world.reset(torch.tensor([0, 1]), torch.tensor([2, 3]))
    state = world.snapshot()
    with pytest.raises(ValueError, match="positions 0 to 23"):
        world.step(towards(world, torch.tensor([0, 0])), torch.tensor([0, 24]))
    with pytest.raises(ValueError, match="2 dialogs"):
        world.step(ScoreRanking(torch.zeros(3, 24)))
    with pytest.raises(ValueError, match="24 images"):
        world.step(ScoreRanking(torch.zeros(2, 23)))
    assert world.snapshot() is state
    with pytest.raises(ValueError, match="first candidates"):
        world.reset(torch.tensor([0]), torch.tensor([-1]))
    with pytest.raises(ValueError, match="turns is 0; give a whole number from 1"):
        Dialog(tiny_catalog, ToyUser(tiny_catalog), turns=0)
    other = Catalog(make_tiny(seed=1))
    with pytest.raises(ValueError, match="build it with this gallery"):
        Dialog(tiny_catalog, ToyUser(other))
    single = tiny_catalog.take([3])
    with pytest.raises(ValueError, match="at least two"):
        Dialog(single, ToyUser(single)).draw(torch.Generator(), 1)


def test_a_user_on_no_device_is_refused(tiny_catalog):
    user = ToyUser(tiny_catalog)
    for named in (None, "abacus", []):
        user.device = named
        with pytest.raises(ValueError, match="simulator toy-1 says that its device is"):
            Dialog(tiny_catalog, user)
