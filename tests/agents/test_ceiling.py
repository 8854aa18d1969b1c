"""The ceiling against literal computation: what is believed, what an answer would tell, what is shown."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dialog_env import agents
from dialog_env.agents.ceiling import Ceiling
from dialog_env.agents.ceiling.answers import AnswerTable
from dialog_env.agents.ceiling.beliefs import Consistent
from dialog_env.agents.ceiling.information import expected_information
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import metrics, protocol
from dialog_env.evaluate.protocol import Record
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner import sample, save_captioner
from dialog_env.simulators.captioner.user import CaptioningUser
from dialog_env.world.dialog import Dialog
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary
from tests.conftest import tiny_contents
from tests.simulators.test_captioning_user import WORDS, network
from tests.toys import ToyUser

IMAGES = 40
USERS = ["toy", "relative:1", "relevance", "attributes:1"]


@pytest.fixture(scope="module")
def gallery() -> Catalog:
    return Catalog(tiny_contents(size=IMAGES))


def user_of(name: str, gallery: Catalog) -> UserSimulator:
    return ToyUser(gallery) if name == "toy" else make_simulator(name, gallery)


def ceiling(gallery: Catalog, user: UserSimulator, **settings: object) -> Ceiling:
    agent = agents.create("ceiling", gallery=gallery, vocabulary=user.vocabulary, **settings)
    assert isinstance(agent, Ceiling)
    agent.bind(gallery)
    agent.bind_user(user)
    return agent


def run(gallery: Catalog, user: UserSimulator, batch: int = 512, turns: int = 5, **settings: object) -> Record:
    return protocol.run(ceiling(gallery, user, **settings), gallery, user, seed=0, batch=batch, turns=turns)


def hold(agent: Ceiling, gallery: Catalog, user: UserSimulator, turns: int = 5) -> list[tuple[Tensor, ...]]:
    """Belief, scores, positions shown and chosen images at each turn of one dialog for every image."""
    targets = torch.arange(len(gallery))
    world = Dialog(gallery, user, turns=turns)
    observation, memory, rows = world.reset(targets, (targets + 7) % len(gallery)), agent.begin(len(gallery)), []
    for _ in range(turns):
        decision = agent.act(observation, memory)
        memory = decision.memory
        rows.append((memory.belief, decision.ranking.scores, memory.shown, decision.candidates))
        observation, _ = world.step(decision.ranking, decision.candidates)
    return rows


def says(user: UserSimulator, target: int, candidate: int, previous: int) -> tuple[int, ...]:
    """One question, literally."""
    return tuple(user.feedback(*(torch.tensor([each]) for each in (target, candidate, previous)))[0].tolist())


def history(shown: list[int]) -> list[tuple[int, int]]:
    """Every image shown with the one before it."""
    return list(zip(shown, [-1, *shown], strict=False))


def entropy(answers: list[tuple[int, ...]]) -> float:
    """Bits of the partition of targets by their answers."""
    return -sum(n / len(answers) * math.log2(n / len(answers)) for n in Counter(answers).values())


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("name", USERS)
def test_the_belief_is_every_image_of_which_the_user_would_have_said_just_that(
    name: str, asks: bool, gallery: Catalog
) -> None:
    user = user_of(name, gallery)
    sizes = set()
    for belief, _, shown, _ in hold(ceiling(gallery, user, asks=asks), gallery, user, turns=3):
        for target in range(0, IMAGES, 3):
            turns = history(shown[target].tolist())
            heard = [says(user, target, *turn) for turn in turns]
            expected = [x for x in range(IMAGES) if [says(user, x, *turn) for turn in turns] == heard]
            assert belief[target].nonzero()[:, 0].tolist() == expected
            sizes.add(len(expected))
    assert len(sizes) > 2, "a world in which nothing, or everything, is ruled out at once tests nothing"


def test_expected_information_is_the_entropy_of_the_partition() -> None:
    random = torch.Generator().manual_seed(0)
    answers = torch.randint(3, (20, 5, 9, 2), generator=random)
    believed = torch.rand(20, 9, generator=random) < 0.7
    believed[:, 0] = True
    told = expected_information(answers, believed)
    for dialog in range(20):
        for candidate in range(5):
            kept = answers[dialog, candidate][believed[dialog]]
            assert told[dialog, candidate].item() == pytest.approx(entropy([tuple(a) for a in kept.tolist()]), abs=1e-8)


def test_equal_partitions_tell_exactly_as_much_in_whatever_order_and_company() -> None:
    random = torch.Generator().manual_seed(0)
    answers = torch.randint(4, (1, 1, 37, 1), generator=random)
    order = torch.randperm(37, generator=random)
    told = expected_information(answers, torch.ones(1, 37, dtype=torch.bool))
    wider = torch.cat([answers[:, :, order], torch.zeros(1, 1, 50, 1, dtype=torch.int64)], dim=2)
    assert torch.equal(expected_information(wider, torch.arange(87)[None] < 37), told)


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("name", USERS)
def test_asking_shows_what_tells_most_and_among_equals_what_is_believed_in(
    name: str, outside: bool, gallery: Catalog
) -> None:
    user = user_of(name, gallery)
    agent = ceiling(gallery, user, asks=True, outside=outside, targets=IMAGES, candidates=IMAGES)
    choices = 0
    for belief, _, shown, chosen in hold(agent, gallery, user, turns=3):
        for target in range(0, IMAGES, 5):
            members, seen = belief[target].nonzero()[:, 0].tolist(), shown[target].tolist()
            fresh = [x for x in range(IMAGES) if x not in seen and (outside or x in members)]
            if len(members) == 1 and members[0] not in seen:
                assert chosen[target] == members[0]
            if len(members) < 2 or len(fresh) < 2:
                continue
            told = {c: entropy([says(user, x, c, seen[-1]) for x in members]) for c in fresh}
            best = {c for c, bits in told.items() if bits > max(told.values()) - 1e-7}
            assert int(chosen[target]) in (best & set(members) or best)
            choices += len(best) < len(fresh)
    assert choices > 3


def test_asking_weighs_no_more_targets_and_candidates_than_it_was_given(gallery: Catalog) -> None:
    user = ToyUser(gallery)
    agent = ceiling(gallery, user, asks=True, targets=3, candidates=2)
    belief, _, shown, chosen = hold(agent, gallery, user, turns=1)[0]
    place = {int(image): place for place, image in enumerate(agent._order)}
    for target in range(IMAGES):
        members = sorted(belief[target].nonzero()[:, 0].tolist(), key=place.__getitem__)
        fresh = [x for x in members if x not in shown[target].tolist()]
        told = [entropy([says(user, x, c, int(shown[target, 0])) for x in members[:3]]) for c in fresh[:2]]
        assert int(chosen[target]) == (fresh[int(np.argmax(told))] if fresh else int(chosen[target]))


def test_tables_say_that_it_knows_the_user_and_how_far_it_looks() -> None:
    assert protocol.declared(agents.create("ceiling")) == "knows the user"
    asking = agents.create("ceiling", configuration="asks", candidates=3)
    assert protocol.declared(asking) == "knows the user, weighs 64 targets and 3 candidates"


@pytest.mark.parametrize("asks", [False, True])
def test_what_is_believed_in_leads_the_ranking_level_and_what_was_shown_comes_last_of_it(
    asks: bool, gallery: Catalog
) -> None:
    user = ToyUser(gallery)
    for belief, scores, shown, chosen in hold(ceiling(gallery, user, asks=asks), gallery, user):
        seen = torch.zeros_like(belief).scatter_(1, shown, True)
        assert (belief.sum(dim=1) > 0).all()
        for kind, level in ((belief & ~seen, 2), (belief & seen, 1), (~belief, 0)):
            assert (scores[kind] == level).all()
        assert not seen[torch.arange(IMAGES), chosen].any()
        left = (belief & ~seen).any(dim=1)
        assert (belief & ~seen)[left, chosen[left]].all()


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize("asks", [False, True])
def test_neither_batch_nor_memory_changes_what_is_shown(name: str, asks: bool, gallery: Catalog) -> None:
    user = user_of(name, gallery)
    whole = run(gallery, user, asks=asks)
    assert not metrics.repeat_rate(whole).any()
    for settings in ({"batch": 1}, {"batch": 7}, {"table_bytes": 3 * 17 * IMAGES}):
        again = run(gallery, user, asks=asks, **settings)
        assert np.array_equal(again.shown, whole.shown)
        assert np.array_equal(again.closer, whole.closer)
        assert np.array_equal(again.equal, whole.equal)
    if name == "toy":
        assert not np.array_equal(run(gallery, user, asks=asks, seed=1).shown, whole.shown)


def test_pieces_change_nothing(gallery: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    user = ToyUser(gallery)
    whole = run(gallery, user, asks=True)
    monkeypatch.setattr("dialog_env.agents.ceiling.beliefs.PAIRS_AT_ONCE", 100)
    monkeypatch.setattr("dialog_env.agents.ceiling.answers.QUESTIONS_AT_ONCE", 13)
    monkeypatch.setattr("dialog_env.agents.ceiling.agent.COMPARISONS_AT_ONCE", 1)
    assert np.array_equal(run(gallery, user, asks=True).shown, whole.shown)


def test_once_all_images_have_been_shown_one_comes_again() -> None:
    few = Catalog(tiny_contents(size=4))
    record = run(few, ToyUser(few), turns=6, asks=True)
    assert (np.sort(record.shown[:, :4]) == np.arange(4)).all()


def test_the_target_is_always_believed_in_so_it_is_found_sooner_than_by_chance(gallery: Catalog) -> None:
    user = ToyUser(gallery)
    record = run(gallery, user)
    found = (record.shown == record.target[:, None]).any(axis=1).mean()
    assert found > 0.8
    chance = protocol.run(agents.create("random"), gallery, user, seed=0)
    assert metrics.percentile(record).mean() > metrics.percentile(chance).mean() + 30


def test_a_user_is_asked_nothing_twice(gallery: Catalog) -> None:
    user = make_simulator("describer", gallery)
    asked: list[tuple[int, int]] = []

    class Listening:
        id, vocabulary, gallery_fingerprint, uses_previous = user.id, user.vocabulary, gallery.fingerprint, False

        def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
            asked.extend(zip(targets.tolist(), candidates.tolist(), strict=True))
            return user.feedback(targets, candidates, previous)

    agent = ceiling(gallery, Listening(), asks=True, outside=True)
    protocol.run(agent, gallery, user, seed=0, batch=9)
    assert len(asked) == len(set(asked)) <= IMAGES**2


@pytest.mark.parametrize("name", ["describer", "relevance"])
@pytest.mark.parametrize("rows", [1, 3, 100_000])
def test_answers_of_a_table_of_any_size_are_those_of_the_user(name: str, rows: int, gallery: Catalog) -> None:
    user = make_simulator(name, gallery)
    table = AnswerTable(user, IMAGES, rows * 33 * IMAGES, torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    for _ in range(4):
        targets, candidates = torch.randint(IMAGES, (2, 300), generator=random)
        previous = torch.randint(-1, IMAGES, (300,), generator=random)
        expected = table.pack(user.feedback(targets, candidates, previous))
        assert torch.equal(table.ask(targets, candidates, previous), expected)
    assert table.rows <= max(rows * 33 // 17, 1)


def test_a_question_that_was_interrupted_is_put_again(gallery: Catalog) -> None:
    user = make_simulator("describer", gallery)
    broken = [True]

    class Failing:
        id, vocabulary, uses_previous = user.id, user.vocabulary, False

        def feedback(self, *question: Tensor) -> Tensor:
            if broken[0]:
                raise KeyboardInterrupt
            return user.feedback(*question)

    table = AnswerTable(Failing(), IMAGES, 10**6, torch.device("cpu"))
    targets = torch.arange(IMAGES)
    question = targets, targets.flip(0), targets
    with pytest.raises(KeyboardInterrupt):
        table.ask(*question)
    broken[0] = False
    assert torch.equal(table.ask(*question), table.pack(user.feedback(*question)))


@pytest.mark.parametrize("words", [254, 255, 256, 32_766, 32_767, 40_000])
def test_packed_answers_are_equal_where_the_tokens_are(words: int, gallery: Catalog) -> None:
    class Speaker:
        id, vocabulary = "speaker", Vocabulary((*(f"w{number}" for number in range(words - 1)), "UNK"))

    table = AnswerTable(Speaker(), 2, 10**6, torch.device("cpu"))
    tokens = torch.randint(words - 2, words + 1, (200, MAX_WORDS), generator=torch.Generator().manual_seed(0))
    tokens[:, 1:] = tokens[:, :1]
    tokens[100:, -1] -= words - 2
    same = (table.pack(tokens)[:, None] == table.pack(tokens)[None]).all(dim=2)
    assert torch.equal(same, (tokens[:, None] == tokens[None]).all(dim=2))


class Wavering(ToyUser):
    """Says each of the four comparisons rightly with probability 0.8, by draws of its own."""

    uses_previous = False
    deterministic = False

    def __init__(self, gallery: Catalog, seed: int = 0) -> None:
        super().__init__(gallery)
        self.id = "wavering-1"
        self.generator = torch.Generator().manual_seed(seed)

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        tokens = super().feedback(targets, candidates, previous)
        wrong = torch.rand(len(targets), 4, generator=self.generator) < 0.2
        tokens[:, :4] += torch.where(wrong, 1 - 2 * ((tokens[:, :4] + 1) % 2), 0)
        return tokens

    def log_likelihood(self, tokens: Tensor, targets: Tensor, candidates: Tensor) -> Tensor:
        right = (tokens == super().feedback(targets, candidates, candidates))[:, :4]
        return torch.where(right, 0.8, 0.2).double().log().sum(dim=1)


def test_of_a_user_who_may_answer_in_two_ways_the_likelihood_is_believed(gallery: Catalog) -> None:
    user = Wavering(gallery)
    agent = ceiling(gallery, user)
    targets = torch.arange(IMAGES)
    world = Dialog(gallery, user)
    observation, memory = world.reset(targets, (targets + 7) % IMAGES), agent.begin(IMAGES)
    expected = torch.zeros(IMAGES, IMAGES, dtype=torch.float64)
    for _ in range(4):
        for dialog in range(IMAGES):
            said, candidate = observation.feedback[dialog], observation.candidate[dialog]
            expected[dialog] += user.log_likelihood(said.expand(IMAGES, -1), targets, candidate.expand(IMAGES))
        decision = agent.act(observation, memory)
        memory = decision.memory
        torch.testing.assert_close(memory.belief, expected)
        assert torch.equal(decision.ranking.scores, memory.belief)
        fresh = memory.belief.scatter(1, memory.shown, -torch.inf)
        assert torch.equal(fresh.gather(1, decision.candidates[:, None])[:, 0], fresh.amax(dim=1))
        observation, _ = world.step(decision.ranking, decision.candidates)


def test_the_likelihood_finds_more_than_chance_with_whatever_batch(gallery: Catalog) -> None:
    records = [run(gallery, Wavering(gallery), turns=12) for _ in range(2)]
    assert np.array_equal(records[0].shown, records[1].shown)
    assert metrics.percentile(records[0])[:, -1].mean() > 75


class Drawing(CaptioningUser):
    """A captioner that draws its words."""

    deterministic = False

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(int(targets.sum()) + 31 * int(candidates.sum()))
        return sample(self._captioner.start(targets, candidates), generator).tokens


def test_the_ceiling_hears_a_user_who_draws_its_words(tmp_path: Path) -> None:
    gallery = Catalog(tiny_contents(size=60))
    save_captioner(tmp_path / "captioner.safetensors", network(), WORDS)
    user = Drawing(gallery, argument=tmp_path)
    agent = agents.create("ceiling", gallery=gallery, vocabulary=user.vocabulary)
    agent.bind_user(user)
    record = protocol.run(agent, gallery, user, seed=0)
    percentile = metrics.percentile(record).mean(axis=0)
    assert percentile[0] > 75
    assert percentile[-1] > 90
    assert not metrics.repeat_rate(record).any()


def test_users_and_settings_that_do_not_fit_are_refused(gallery: Catalog) -> None:
    class Silent(ToyUser):
        deterministic = False

    with pytest.raises(ValueError, match="does not say how likely an answer is; give it log_likelihood"):
        ceiling(gallery, Silent(gallery))

    class Comparing(Wavering):
        uses_previous = True

    with pytest.raises(ValueError, match="depend on the image shown before"):
        ceiling(gallery, Comparing(gallery))
    with pytest.raises(ValueError, match="use the agent ceiling with asks=false"):
        ceiling(gallery, Wavering(gallery), asks=True)
    with pytest.raises(ValueError, match="answers on one of 40 images take 680; give at least that"):
        ceiling(gallery, ToyUser(gallery), table_bytes=679).begin(1)
    with pytest.raises(ValueError, match="candidates is 0"):
        agents.create("ceiling", candidates=0)
    with pytest.raises(ValueError, match="bind both to the same"):
        ceiling(gallery, ToyUser(Catalog(tiny_contents(size=8)))).begin(1)
    unbound = agents.create("ceiling")
    unbound.bind(gallery)
    with pytest.raises(RuntimeError, match="call bind and bind_user first"):
        unbound.begin(1)


def test_a_user_who_does_not_repeat_itself_is_noticed(gallery: Catalog) -> None:
    class Moody(ToyUser):
        def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
            tokens = super().feedback(targets, candidates, previous)
            tokens[:, 15] = 1 + len(self.asked) % 8
            return tokens

    with pytest.raises(ValueError, match="a user who repeats itself"):
        run(gallery, Moody(gallery))


def test_what_is_kept_can_be_written_to_in_any_mode(gallery: Catalog) -> None:
    user = ToyUser(gallery)
    agent = ceiling(gallery, user)
    with torch.inference_mode():
        hold(agent, gallery, user, turns=2)
    hold(agent, gallery, user, turns=3)


@pytest.mark.parametrize("outside", [False, True])
def test_the_belief_is_kept_by_a_table_row_of_every_candidate(outside: bool, gallery: Catalog) -> None:
    user = make_simulator("describer", gallery)
    agent = ceiling(gallery, user, asks=True, outside=outside)
    hold(agent, gallery, user)
    assert isinstance(agent._belief, Consistent)
    assert agent._belief.answers.rows == IMAGES


@pytest.mark.slow
def test_it_reaches_on_the_drawn_gallery_what_was_measured_there_before() -> None:
    gallery = load_catalog("synthetic").split("test")
    user = make_simulator("captioner", gallery)
    images = len(gallery)
    heard = torch.full((images, images, MAX_WORDS), -1, dtype=torch.int16)

    class Remembered:
        """The captioner, whose answers all runs below share."""

        id, vocabulary, uses_previous, gallery_fingerprint = user.id, user.vocabulary, False, gallery.fingerprint

        def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
            new = heard[candidates, targets, 0] < 0
            heard[candidates[new], targets[new]] = user.feedback(targets[new], candidates[new], previous[new]).short()
            return heard[candidates, targets].long()

    for asks, expected in ((False, [36, 83, 93, 95, 95]), (True, [36, 92, 96, 97, 97])):
        record = run(gallery, Remembered(), asks=asks)
        first = (record.closer == 0) / record.equal  # of level images each is as likely to be the first
        reached = 100 * first[:, 1:].mean(axis=0)
        assert (np.abs(reached - expected)[:4] <= 2).all()
        assert reached[4] > expected[4] - 2
