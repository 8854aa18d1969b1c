import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from dialog_env.agents import Agent
from dialog_env.agents.baselines.unseen import Unseen
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.metrics import METRICS
from dialog_env.evaluate.protocol import Record, _Judged, quick_batch
from dialog_env.world.dialog import Dialog, embedded, first_candidates
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, ScoreRanking
from dialog_env.world.user import UserFacts
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


def by_target(record):
    """The rows of a record in the order of its targets."""
    order = np.argsort(record.target)
    return {name: getattr(record, name)[order] for name in ("target", "shown", "closer", "equal")}


def assert_same(first, second):
    for name in ("target", "shown", "closer", "equal"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_every_target_has_one_dialog_and_the_record_does_not_depend_on_the_batch(tiny_catalog):
    user = ToyUser(tiny_catalog)
    whole = protocol.run(Wanderer(), tiny_catalog, user, seed=3)
    pieces = protocol.run(Wanderer(), tiny_catalog, user, seed=3, batch=7)
    assert sorted(whole.target) == list(range(24))
    assert whole.shown.shape == (24, 6)
    assert_same(whole, pieces)
    other = protocol.run(Wanderer(), tiny_catalog, user, seed=4)
    assert not np.array_equal(by_target(whole)["shown"][:, 0], by_target(other)["shown"][:, 0])


def test_each_target_has_the_dialog_that_it_had_when_dialogs_were_held_in_order(tiny_catalog):
    record = by_target(protocol.run(Wanderer(), tiny_catalog, ToyUser(tiny_catalog), seed=3))
    targets = torch.arange(24)
    firsts = first_candidates(targets, 24, torch.Generator().manual_seed(3))
    world, agent = Dialog(tiny_catalog, ToyUser(tiny_catalog)), Wanderer()
    agent.bind(tiny_catalog)
    observation = world.reset(targets, firsts)
    assert record["shown"][:, 0].tolist() == firsts.tolist()
    for turn in range(1, 6):
        answer = agent.act(observation, None)
        observation, outcome = world.step(answer.ranking, answer.candidates)
        assert record["shown"][:, turn].tolist() == observation.candidate.tolist()
        assert record["closer"][:, turn].tolist() == outcome.target_rank.closer.tolist()


class Counting(Alike):
    """Takes dialog i to have target i."""

    def bind(self, gallery):
        super().bind(gallery)
        self.begun = 0

    def begin(self, batch):
        self.begun += batch
        return torch.arange(self.begun - batch, self.begun)

    def act(self, observation, memory):
        return Answer(ScoreRanking(torch.eye(self.images)[memory]), memory, memory)


def test_counting_dialogs_tells_no_target(make_tiny):
    gallery = Catalog(make_tiny(size=400))
    record = protocol.run(Counting(), gallery, ToyUser(gallery), seed=0, batch=64)
    assert METRICS["R@1"].of(record).mean() < 2
    orders = [protocol.run(Alike(), gallery, ToyUser(gallery), seed=seed).target for seed in (0, 0, 1)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_a_sample_of_targets_has_the_dialogs_that_it_has_among_all(tiny_catalog):
    whole = protocol.run(Wanderer(), tiny_catalog, ToyUser(tiny_catalog), seed=3)
    few = protocol.run(Wanderer(), tiny_catalog, ToyUser(tiny_catalog), seed=3, targets=9, batch=4)
    assert few.images == 24
    for name in ("target", "shown", "closer", "equal"):
        assert np.array_equal(getattr(few, name), getattr(whole, name)[:9]), name


class OwnRanking(ScoreRanking):
    def target_rank(self, targets):
        raise AssertionError("was told the targets")

    exact = target_rank


class OwnTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.__getitem__ or function is torch.Tensor.__eq__:
            raise AssertionError("was told the targets")
        return super().__torch_function__(function, types, args, kwargs or {})


def own(tensor):
    return tensor.as_subclass(OwnTensor)


class Answering(Alike):
    """Gives what it is told to give: a function from features (N, D) and B to an answer."""

    name = "answering"

    def __init__(self, answer):
        self.answer = answer

    def bind(self, gallery):
        self.features = torch.from_numpy(gallery.features)

    def act(self, observation, memory):
        return self.answer(self.features, len(observation))


def of_scores(scores, candidates=None):
    return Answer(scores, torch.zeros(scores.batch, dtype=torch.int64) if candidates is None else candidates)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda f, b: of_scores(OwnRanking(torch.zeros(b, 24))),
            "type OwnRanking cannot be judged; give a ScoreRanking",
        ),
        (lambda f, b: of_scores(ScoreRanking(own(torch.zeros(b, 24)))), "a OwnTensor was given"),
        (lambda f, b: of_scores(QueryRanking(own(f[:b]), EmbeddedGallery(f))), "a OwnTensor was given"),
        (lambda f, b: of_scores(QueryRanking(f[:b], EmbeddedGallery(own(f)))), "a OwnTensor was given"),
        (
            lambda f, b: of_scores(ScoreRanking(torch.zeros(b, 24)), own(torch.zeros(b, dtype=torch.int64))),
            "a OwnTensor was given",
        ),
        (lambda f, b: Answer(torch.zeros(b, 24), None), "a ranking of type Tensor cannot be judged"),
        (lambda f, b: Answer(ScoreRanking(torch.zeros(b, 24)), None), "a NoneType was given"),
        (lambda f, b: of_scores(ScoreRanking(torch.zeros(b, 23))), "a ranking of 23 images for 24 dialogs was given"),
        (lambda f, b: of_scores(ScoreRanking(torch.zeros(b, 24)), torch.full((b,), 24)), "positions 0 to 23"),
        (lambda f, b: of_scores(ScoreRanking(torch.zeros(b, 24)), torch.zeros(1, dtype=torch.int64)), "1 candidates"),
        (lambda f, b: of_scores(ScoreRanking(torch.full((b, 24), torch.nan))), "scores contain nan; give finite"),
        (lambda f, b: of_scores(QueryRanking(f[:b] * torch.inf, EmbeddedGallery(f))), "queries contain"),
        (lambda f, b: of_scores(QueryRanking(f[:b], EmbeddedGallery(f / 0))), "embeddings of a gallery contain"),
    ],
)
def test_decisions_that_cannot_be_judged_are_refused_with_the_name_and_the_turn(tiny_catalog, answer, message):
    agent = Answering(answer)
    with pytest.raises(ValueError, match=rf"^agent answering, turn 1: .*{message}"):
        protocol.run(agent, tiny_catalog, ToyUser(tiny_catalog), seed=0)


def test_an_agent_that_diverges_later_gets_no_number(tiny_catalog):
    class Diverging(Wanderer):
        def act(self, observation, memory):
            answer = super().act(observation, memory)
            if observation.turn[0] == 3:
                answer.ranking.queries[-1, 0] = torch.nan
            return answer

    with pytest.raises(ValueError, match=r"^agent Diverging, turn 4: queries contain nan; give finite numbers"):
        protocol.run(Diverging(), tiny_catalog, ToyUser(tiny_catalog), seed=0)


def test_nothing_that_an_agent_puts_into_a_ranking_has_a_say_in_judging_it(tiny_catalog):
    told = []

    class Tampering(Wanderer):
        def act(self, observation, memory):
            answer = super().act(observation, memory)
            for name in ("target_rank", "exact", "pieces", "costs"):
                setattr(answer.ranking, name, told.append)
            gallery = answer.ranking.gallery = EmbeddedGallery(self.features.embeddings)
            gallery.norms = torch.full((24,), 1e9, dtype=torch.float64)
            gallery.rounded_norms = (gallery.norms.float(), 1e9)
            return answer

    honest = protocol.run(Wanderer(), tiny_catalog, ToyUser(tiny_catalog), seed=0)
    assert_same(protocol.run(Tampering(), tiny_catalog, ToyUser(tiny_catalog), seed=0), honest)
    assert not told


def test_what_an_agent_writes_into_what_it_is_given_reaches_nothing(tiny_catalog):
    class Scribbling(Wanderer):
        def bind(self, gallery):
            super().bind(gallery)
            self.features = EmbeddedGallery(self.features.embeddings.clone())
            gallery.features[:] = 7
            gallery.ids[:] = "mine"

        def act(self, observation, memory):
            answer = super().act(observation, memory)
            shown = answer.candidates.clone()
            for part in (observation.candidate, observation.features, observation.feedback, observation.turn):
                assert part._base is None
                part.fill_(3)
            return Answer(answer.ranking, shown)

    honest = protocol.run(Wanderer(), tiny_catalog, ToyUser(tiny_catalog), seed=0)
    assert_same(protocol.run(Scribbling(), tiny_catalog, ToyUser(tiny_catalog), seed=0), honest)
    assert_same(protocol.run(Wanderer(), tiny_catalog, ToyUser(tiny_catalog), seed=0), honest)


class Reader(Agent):
    """Asks for all that there is, and keeps it."""

    name = "reader"
    reads_attributes = True
    knows_user = True

    def check_user(self, user):
        self.facts = user

    def bind(self, gallery):
        self.gallery, self.user = gallery, None

    def bind_user(self, simulator):
        self.user = simulator

    def rank(self, observation, memory):
        return ScoreRanking(torch.zeros(len(observation), len(self.gallery))), None


class Blind(Reader):
    reads_attributes = False
    knows_user = False


@pytest.mark.parametrize("wrap", [lambda agent: agent, Unseen])
def test_attributes_and_the_user_are_there_for_those_who_declare_it(tiny_catalog, wrap):
    gallery, user = tiny_catalog.split("test"), ToyUser(tiny_catalog.split("test"))
    reader, blind = Reader(), Blind()
    for agent in (wrap(reader), wrap(blind)):
        protocol.run(agent, gallery, user, seed=0)
    assert protocol.declared(wrap(reader)) == "reads attributes, knows the user"
    assert protocol.declared(wrap(blind)) == ""
    assert reader.user is user
    assert np.array_equal(reader.gallery.attributes.graded, gallery.attributes.graded)
    assert blind.user is None
    assert blind.gallery.attributes is None
    assert blind.gallery.split("all").attributes is None
    assert blind.gallery.fingerprint == gallery.fingerprint
    assert np.array_equal(blind.gallery.features, gallery.features)
    if not isinstance(wrap(reader), Unseen):
        assert reader.facts == UserFacts("toy-1", user.vocabulary)


def test_attributes_of_a_catalogue_in_a_file_are_out_of_reach_too(tiny_file):
    gallery = Catalog.open(tiny_file).split("test")
    blind = Blind()
    protocol.run(blind, gallery, ToyUser(gallery), seed=0)
    assert blind.gallery.split("train").attributes is None
    assert blind.gallery._path is None
    assert gallery.attributes is not None


def test_who_declares_to_know_the_user_has_to_take_it(tiny_catalog):
    agent = Alike()
    agent.knows_user = True
    with pytest.raises(ValueError, match=r"agent Alike declares knows_user and has no bind_user\(simulator\)"):
        protocol.run(agent, tiny_catalog, ToyUser(tiny_catalog), seed=0)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("seed", -1, "seed is -1; give a whole number from 0"),
        ("seed", None, "seed is None; give a whole number"),
        ("seed", 2**64, "seed is 18446744073709551616"),
        ("turns", 0, "turns is 0; give a whole number from 1"),
        ("batch", 0, "batch is 0; give a whole number from 1"),
        ("batch", 2.5, "batch is 2.5; give a whole number"),
        ("ties", "full", "ties='full' is not known; choose one of half, strict"),
        ("targets", 0, "targets is 0; give a whole number from 1 to 24"),
        ("targets", 25, "targets is 25; give a whole number from 1 to 24"),
        ("progress", "yes", "progress is 'yes'; give True or False"),
        ("device", "mars", "device='mars' is not known"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(tiny_catalog, keyword, value, message):
    with pytest.raises(ValueError, match=message):
        protocol.run(Alike(), tiny_catalog, ToyUser(tiny_catalog), **{"seed": 0, keyword: value})


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


OVER_ORDERS = (
    "R@1",
    "R@5",
    "R@10",
    "R@50",
    "Hits@10",
    "MRR",
    "NDCG@10",
    "success@90",
    "success@95",
    "turns to success",
)


@pytest.mark.parametrize("seed", range(6))
def test_level_images_count_by_the_mean_over_all_their_orders(seed):
    random = np.random.default_rng(seed)
    images = 12
    equal = random.integers(1, 4, (5, 4)) * random.integers(1, 4, (5, 1))
    closer = random.integers(0, images - equal + 1)
    record = Record(np.zeros(5, dtype=int), np.zeros((5, 4), dtype=int), closer, equal, images)
    for dialog in range(5):
        level = [closer[dialog, turn] + np.arange(equal[dialog, turn]) for turn in range(1, 4)]
        ranks = np.array(list(itertools.product(*level)))
        orders = record_of(ranks, images)
        for name in OVER_ORDERS:
            expected = METRICS[name].of(orders).mean(axis=0)
            np.testing.assert_allclose(METRICS[name].of(record)[dialog], expected, rtol=1e-12, atol=1e-12)


def test_strict_ties_and_ranks_without_ties_count_as_they_are():
    random = np.random.default_rng(0)
    closer, equal = random.integers(0, 90, (40, 6)), random.integers(1, 10, (40, 6))
    fields = (np.zeros(40, dtype=int), np.zeros((40, 6), dtype=int), closer)
    strict, alone = Record(*fields, equal, 100, "strict"), Record(*fields, np.ones_like(equal), 100)
    for name in METRICS:
        assert np.array_equal(METRICS[name].of(strict), METRICS[name].of(alone)), name
    assert (METRICS["R@10"].of(alone) == 100 * (closer[:, 1:] < 10)).all()


def test_levelling_the_first_images_of_a_random_order_gains_and_loses_nothing():
    random = np.random.default_rng(0)
    rank = random.integers(0, 1000, (4000, 6))
    first = rank < 100
    fields = (np.zeros(4000, dtype=int), np.zeros((4000, 6), dtype=int))
    sharp = Record(*fields, rank, np.ones_like(rank), 1000)
    level = Record(*fields, np.where(first, 0, rank), np.where(first, 100, 1), 1000)
    for name in ("R@1", "R@10", "R@50", "MRR", "NDCG@10"):
        means = [METRICS[name].of(record).mean() for record in (sharp, level)]
        assert means[1] == pytest.approx(means[0], abs=0.3), name
    assert METRICS["R@50"].of(level).mean() == pytest.approx(5, abs=0.3)


def test_dialogs_at_once_are_as_many_as_leave_their_costs_to_be_kept():
    assert [quick_batch(images, 4_194_304) for images in (2, 1_000, 10_000, 20_000, 1_000_000)] == [
        512,
        512,
        384,
        192,
        512,
    ]


@pytest.mark.parametrize("inference", [False, True])
def test_embeddings_that_are_written_to_between_turns_are_judged_as_they_are_then(inference):
    judged = _Judged()
    with torch.inference_mode(inference):
        embeddings = torch.eye(4)
        first = judged.gallery(embeddings)
        assert (judged.gallery(embeddings) is first) is not inference
        embeddings[2] *= 3
        assert judged.gallery(embeddings).norms.tolist() == [1, 1, 9, 1]
    assert judged.gallery(torch.eye(3)).norms.tolist() == [1, 1, 1]
