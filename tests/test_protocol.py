from dataclasses import dataclass

import numpy as np
import pytest
import torch

from dialog_env import protocol
from dialog_env.dialog import embedded
from dialog_env.metrics import METRICS
from dialog_env.protocol import Record
from dialog_env.ranking import QueryRanking, ScoreRanking
from tests.toys import ToyUser


@dataclass
class Answer:
    ranking: object
    candidates: torch.Tensor
    memory: object = None


class Alike:
    """Scores all images alike."""

    def bind(self, gallery):
        self.images = len(gallery)

    def begin(self, batch):
        return None

    def act(self, observation, memory):
        ranking = ScoreRanking(torch.zeros(len(observation), self.images))
        return Answer(ranking, ranking.top(1)[:, 0])


class Wanderer(Alike):
    """Moves by the feedback, so that its dialogs differ."""

    def bind(self, gallery):
        super().bind(gallery)
        self.features = embedded(gallery)

    def act(self, observation, memory):
        step = torch.zeros_like(observation.features)
        step[:, :4] = (observation.feedback[:, :4] % 2 * -2 + 1) * 0.5
        ranking = QueryRanking(observation.features + step, self.features)
        return Answer(ranking, ranking.top(1)[:, 0])


def record_of(ranks, images=100, shown=None, equal=None, initial=50):
    ranks = np.asarray(ranks)
    closer = np.concatenate([np.full((len(ranks), 1), initial), ranks], axis=1)
    shown = np.arange(closer.size).reshape(closer.shape) if shown is None else np.asarray(shown)
    equal = np.ones_like(closer) if equal is None else equal
    return Record(np.zeros(len(ranks), dtype=int), shown, closer, equal, images)


def test_every_target_has_one_dialog_and_the_record_does_not_depend_on_the_batch(tiny_catalog):
    user = ToyUser(tiny_catalog)
    whole = protocol.run(Wanderer(), tiny_catalog, user, seed=3)
    pieces = protocol.run(Wanderer(), tiny_catalog, user, seed=3, batch=7)
    assert whole.target.tolist() == list(range(24))
    assert whole.shown.shape == (24, 6)
    for name in ("shown", "closer", "equal"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))
    other = protocol.run(Wanderer(), tiny_catalog, user, seed=4)
    assert not np.array_equal(whole.shown[:, 0], other.shown[:, 0])


def test_first_candidates_are_the_same_for_every_agent(tiny_catalog):
    user = ToyUser(tiny_catalog)
    records = [protocol.run(agent, tiny_catalog, user, seed=1) for agent in (Alike(), Wanderer())]
    assert np.array_equal(records[0].shown[:, 0], records[1].shown[:, 0])
    assert np.array_equal(records[0].initial_rank, records[1].initial_rank)


def test_an_agent_that_scores_all_images_alike_gets_the_middle_unless_ranks_are_strict(tiny_catalog):
    user = ToyUser(tiny_catalog)
    half = protocol.run(Alike(), tiny_catalog, user, seed=0)
    assert (half.rank == 23 / 2).all()
    strict = protocol.run(Alike(), tiny_catalog, user, seed=0, ties="strict")
    assert (strict.rank == 0).all()


def test_metrics_of_known_ranks():
    record = record_of([[9, 4, 0], [10, 60, 3]])
    value = {name: metric.of(record) for name, metric in METRICS.items()}
    assert value["percentile"].tolist() == [[91, 96, 100], [90, 40, 97]]
    assert value["mean rank"].tolist() == [[10, 5, 1], [11, 61, 4]]
    assert value["R@1"].tolist() == [[0, 0, 100], [0, 0, 0]]
    assert value["R@5"].tolist() == [[0, 100, 100], [0, 0, 100]]
    assert value["R@10"].tolist() == [[100, 100, 100], [0, 0, 100]]
    assert value["Hits@10"].tolist() == [[100, 100, 100], [0, 0, 100]]
    assert value["MRR"][0] == pytest.approx([10, 20, 100])
    assert value["NDCG@10"][0] == pytest.approx([100 / np.log2(11), 100 / np.log2(6), 100])
    assert value["NDCG@10"][1, 1] == 0
    assert value["success@90"].tolist() == [[100, 100, 100], [100, 0, 100]]
    assert value["success@95"].tolist() == [[0, 100, 100], [0, 0, 100]]
    assert value["turns to success"].tolist() == [2, 3]


def test_turns_to_success_is_one_more_than_the_turns_where_there_was_none():
    assert METRICS["turns to success"].of(record_of([[50, 50, 50]])).tolist() == [4]


def test_cumulative_hits_remember_an_earlier_turn():
    assert METRICS["Hits@10"].of(record_of([[3, 50, 50]])).tolist() == [[100, 100, 100]]


def test_repeats_are_images_shown_before_in_the_same_dialog():
    record = record_of([[1, 1, 1], [1, 1, 1]], shown=[[5, 6, 5, 5], [1, 2, 3, 4]])
    assert METRICS["repeat rate"].of(record).tolist() == [[0, 100, 100], [0, 0, 0]]


def test_bri_integrates_the_best_log_rank_so_far():
    record = record_of([[9, 99, 0]], initial=49)
    best = np.log([50, 10, 10, 1])
    expected = (best[0] + best[3]) / 6 + (best[1] + best[2]) / 3
    assert METRICS["BRI"].of(record)[0] == pytest.approx(expected)


def test_found_is_having_been_shown_by_that_turn_whatever_the_rank():
    record = record_of([[9, 9, 9]] * 4, shown=[[5, 6, 3, 6], [5, 3, 6, 7], [3, 5, 6, 7], [5, 6, 7, 8]])
    record.target[:] = 3
    assert METRICS["found"].of(record).tolist() == [[0, 100, 100], [100, 100, 100], [100, 100, 100], [0, 0, 0]]
