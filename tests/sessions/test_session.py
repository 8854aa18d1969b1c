"""A dialog of a person with an agent, and many at once."""

from __future__ import annotations

import json
import math
import random

import pytest
import torch

from dialog_env import agents
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.protocol import introduce
from dialog_env.sessions import Partner, Session, Sessions, say_together
from dialog_env.world.state import Observation
from tests.conftest import tiny_contents
from tests.sessions.people import Listening, ToyPerson, partner_of, sentence
from tests.sessions.test_words import STRANGE
from tests.toys import ToyUser

AGENTS = ["random", "greedy", "supervised", "supervised@paper", "unseen", "unseen:inner=greedy", "ceiling"]
AGENTS += ["belief", "sb3-ppo", "sb3-recurrent-ppo"]


@pytest.fixture(scope="module")
def gallery() -> Catalog:
    return Catalog(tiny_contents(size=30))


def named(text: str, gallery: Catalog) -> Partner:
    spec = agents.AGENTS.parse(text)
    return partner_of(gallery, spec.name, configuration=spec.configuration or "released", **spec.settings)


def told(session: Session) -> dict[str, object]:
    """All that a session shows, without the numbers that rounding may change in their last digits."""
    shown = session.as_dict()
    if shown["answer"] is not None:
        certainty = shown["answer"].pop("certainty")
        shown["sure"] = [value and f"{value:.3g}" for value in (certainty["images"], certainty["lead"])]
    return shown


@pytest.mark.parametrize("name", [name for name in AGENTS if name != "random"])
def test_an_agent_shows_a_person_what_it_shows_a_user_who_says_the_same(name: str, gallery: Catalog) -> None:
    partner, user = named(name, gallery), ToyPerson(gallery)
    record = protocol.run(
        named(name, gallery).agent if name != "ceiling" else UncertainCeiling(gallery, user), gallery, user, seed=3
    )
    for row in range(0, len(gallery), 7):
        target, first, *shown = int(record.target[row]), *record.shown[row].tolist()
        session = Session(partner, target=target, first=first)
        for turn, image in enumerate(shown):
            answer = session.say(sentence(user, target, session.candidate.position))
            assert answer.candidate.position == image
            assert answer.rank == record.rank[row, turn]
            assert session.found == (image == target)
        assert [image.position for image in session.shown] == record.shown[row].tolist()


class UncertainCeiling:
    """The ceiling, introduced as to a person."""

    def __init__(self, gallery: Catalog, user: ToyPerson) -> None:
        self._agent = partner_of(gallery, user=user).agent
        self.begin, self.act = self._agent.begin, self._agent.act

    def bind(self, gallery: Catalog) -> None:
        pass


@pytest.mark.parametrize("name", AGENTS)
def test_those_who_speak_together_hear_what_each_would_hear_alone(name: str, gallery: Catalog) -> None:
    user, draw = ToyPerson(gallery), random.Random(name)
    together, alone = (Sessions(named(name, gallery), count=12, seed=1) for _ in range(2))
    for _ in range(4):
        said = [
            None if draw.random() < 0.3 else sentence(user, row, session.candidate.position)
            for row, session in enumerate(together)
        ]
        answers = together.say(said)
        for session, text, answer in zip(alone, said, answers, strict=True):
            expected = None if text is None else session.say(text)
            assert (answer is None) == (expected is None)
    assert [told(session) for session in together] == [told(session) for session in alone]
    assert len({session.turns for session in together}) > 1


def test_a_thousand_sessions_are_few_batches() -> None:
    gallery = Catalog(tiny_contents(size=40))
    agent = Listening(vocabulary=ToyUser(gallery).vocabulary)
    sessions = Sessions(agent, gallery, count=1000)
    for session in sessions[:300]:
        session.say("more0")
    agent.told.clear()
    answers = sessions.say(["less1 more2"] * 1000)
    assert sorted(map(len, agent.told)) == [188, 300, 512]
    assert all(answer is not None and answer.understood for answer in answers)
    assert [session.turns for session in sessions] == [2] * 300 + [1] * 700


def test_unknown_words_change_nothing_but_are_named(gallery: Catalog) -> None:
    partner = partner_of(gallery)
    plain, noisy = Session(partner, first=3), Session(partner, first=3)
    plain.say("more0 less3")
    answer = noisy.say("well, more0 and perhaps less3")
    assert answer.heard.unknown == ("well", "and", "perhaps")
    assert (answer.candidate, answer.best) == (plain.candidate, plain.answer.best)


@pytest.mark.parametrize("text", ["", "crimson", "10000 😀", "' OR 1=1 --"])
def test_a_sentence_of_which_nothing_is_understood_changes_nothing(text: str, gallery: Catalog) -> None:
    session = Session(partner_of(gallery), first=3, target=4)
    assert session.say(text).best == ()
    session.say("more0")
    before = session.to_json()
    answer = session.say(text)
    assert not answer.understood
    assert (answer.candidate, answer.best, answer.rank) == (session.candidate, session.answer.best, session.answer.rank)
    assert session.to_json() == before


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_strange_sentences_are_kept_as_they_are_in_json(text: str, gallery: Catalog) -> None:
    partner = partner_of(gallery)
    session = Session(partner, first=3)
    session.say(f"{text} more0")
    saved = session.to_json()
    assert json.loads(saved)["events"] == [{"say": f"{text} more0".replace("\ud800", "\ufffd")}]
    assert Session.from_json(saved.encode(), partner).to_json() == saved
    json.dumps(session.as_dict())


def test_what_was_said_is_taken_back(gallery: Catalog) -> None:
    session = Session(partner_of(gallery), first=3, target=8)
    states = [told(session)]
    for text in ("more0", "less1 more2", "more3"):
        session.say(text)
        states.append(told(session))
    session.like(session.answer.best[2].position)
    for state in reversed(states):
        session.undo() if session.events else None
        assert told(session) == state
    with pytest.raises(ValueError, match="nothing was said yet"):
        session.undo()


def test_one_sentence_is_forgotten_and_the_others_said_again_of_their_images(gallery: Catalog) -> None:
    partner = partner_of(gallery)
    session = Session(partner, first=3)
    session.say("more0 more1")
    second = session.candidate
    session.say("less2")
    third = session.candidate
    session.say("less3")
    session.forget(1)
    other = Session(partner, first=3)
    other.say("more0 more1")
    assert other.candidate == second
    other.like(third.position)
    other.say("less3")
    assert told(session) == told(other)
    session.forget()
    assert told(session) == told(Session(partner, first=3))
    with pytest.raises(ValueError, match="there is no event 0"):
        session.forget(0)


def test_an_image_liked_is_what_the_next_sentence_speaks_of(gallery: Catalog) -> None:
    agent = Listening(vocabulary=ToyUser(gallery).vocabulary)
    session = Session(agent, gallery, first="tiny-003")
    session.say("more0")
    assert session.like("tiny-017").position == 17
    assert [image.position for image in session.shown] == [3, 0, 17]
    session.say("less1")
    assert [each.candidate.tolist() for each in agent.told] == [[3], [17]]
    assert [each.turn.tolist() for each in agent.told] == [[0], [1]]
    for wrong in ("shoe", -1, 30, True, None, "../../etc/passwd"):
        with pytest.raises(ValueError, match="no image"):
            session.like(wrong)  # type: ignore[arg-type]


def test_a_session_comes_back_from_json_with_all_its_answers(gallery: Catalog) -> None:
    partner = partner_of(gallery)
    session = Session(partner, target=9, seed=4)
    session.say("more0 crimson")
    session.like("tiny-011")
    session.say("less2")
    again = Session.from_json(session.to_json(), partner)
    assert told(again) == told(session)
    again.undo()
    assert again.candidate.id == "tiny-011"
    session.undo()
    assert told(again) == told(session)
    shown = json.loads(json.dumps(session.as_dict()))
    assert Session.from_json(json.dumps(shown["session"]), partner).to_json() == session.to_json()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"agent": "random"}, "is of agent 'random' and not of 'ceiling'"),
        ({"gallery": "0"}, "is of gallery '0'"),
        ({"first": "shoe"}, "no image 'shoe'"),
        ({"events": [{"say": "more0", "like": "tiny-001"}]}, "an event is"),
        ({"events": [{"sing": "more0"}]}, "sing"),
        ({"events": 3}, "events"),
    ],
)
def test_json_of_something_else_is_refused(change: dict[str, object], sentence: str, gallery: Catalog) -> None:
    partner = partner_of(gallery)
    saved = json.loads(Session(partner).to_json())
    with pytest.raises(ValueError, match=sentence):
        Session.from_json(json.dumps({**saved, **change}), partner)


def test_what_is_no_json_is_refused(gallery: Catalog) -> None:
    for text in ("", "{", "[]", "null", b"\xff\xfe", "[" * 100_000):
        with pytest.raises(ValueError, match="the text"):
            Session.from_json(text, partner_of(gallery))


def test_the_target_reaches_no_agent(gallery: Catalog) -> None:
    heard = []
    for target in (None, 9):
        agent = Listening(vocabulary=ToyUser(gallery).vocabulary)
        session = Session(agent, gallery, first=3, target=target)
        for text in ("more0", "less1"):
            session.say(text)
        heard.append(agent.told)
    for one, other in zip(*heard, strict=True):
        for name in Observation.__dataclass_fields__:
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_the_first_image_is_drawn_by_the_seed_and_never_the_target(gallery: Catalog) -> None:
    partner = partner_of(gallery, "random")
    firsts = [Session(partner, target=5, seed=seed).candidate.position for seed in range(60)]
    assert firsts == [Session(partner, target=5, seed=seed).candidate.position for seed in range(60)]
    assert 5 not in firsts
    assert len(set(firsts)) > 15


def test_an_agent_that_fails_leaves_every_dialog_where_it_was(gallery: Catalog) -> None:
    agent = Listening(vocabulary=ToyUser(gallery).vocabulary)
    sessions = Sessions(agent, gallery, count=3)
    sessions.say(["more0", None, "less1"])
    before = [session.to_json() for session in sessions]
    agent.broken = True
    with pytest.raises(ValueError, match="scores contain nan"):
        sessions.say(["more0"] * 3)
    with pytest.raises(ValueError, match="scores contain nan"):
        sessions[0].forget(0) if len(sessions[0].events) > 1 else sessions[0].say("more0")
    agent.broken = False
    with pytest.raises(ValueError, match="1,000"):
        sessions.say(["more0", "more0", "x" * 5000])
    with pytest.raises(ValueError, match="2 sentences were given for 3 sessions"):
        sessions.say(["more0", "more0"])
    with pytest.raises(ValueError, match="different ones"):
        say_together([sessions[0], sessions[0]], ["more0", "more0"])
    assert [session.to_json() for session in sessions] == before


def test_a_failure_while_forgetting_forgets_nothing(gallery: Catalog) -> None:
    agent = Listening(vocabulary=ToyUser(gallery).vocabulary)
    session = Session(agent, gallery, first=3)
    session.say("more0")
    session.say("more1")
    before = session.to_json()
    agent.broken = True
    with pytest.raises(ValueError, match="scores contain nan"):
        session.forget(0)
    assert session.to_json() == before


def test_an_agent_with_a_belief_says_how_sure_it_is(gallery: Catalog) -> None:
    user, target = ToyPerson(gallery), 6
    session = Session(partner_of(gallery, user=user), target=target, first=3)
    answer = session.say(sentence(user, target, 3))
    likely = torch.tensor([-2.0 * wrong_words(user, answer.heard.sentence, image, 3) for image in range(30)])
    belief = likely.double().softmax(dim=0)
    assert answer.certainty is not None
    assert answer.certainty.best == pytest.approx(float(belief.max()))
    assert answer.certainty.images == pytest.approx(float(torch.distributions.Categorical(belief).entropy().exp()))
    assert "as unsure as between" in answer.certainty.told()
    unseen = Session(partner_of(gallery, "unseen", user=user, inner="ceiling"), target=target, first=3)
    assert unseen.say(answer.heard.sentence).certainty == answer.certainty


def wrong_words(user: ToyPerson, said: str, target: int, candidate: int) -> int:
    return len(set(said.split()) - set(sentence(user, target, candidate).split()))


def test_an_agent_without_a_belief_says_how_far_its_first_image_leads(gallery: Catalog) -> None:
    agent = Listening(vocabulary=ToyUser(gallery).vocabulary)
    answer = Session(agent, gallery, first=29).say("more0")
    costs = [image / 1000 + (image == 29) for image in range(30)]
    mean = sum(costs) / 30
    spread = math.sqrt(sum((cost - mean) ** 2 for cost in costs) / 30)
    assert answer.certainty is not None
    assert (answer.certainty.best, answer.certainty.images) == (None, None)
    assert answer.certainty.lead == pytest.approx(mean / spread, rel=1e-4)
    assert "standard deviations" in answer.certainty.told()


def test_a_belief_that_is_none_is_refused(gallery: Catalog) -> None:
    agent = Listening(vocabulary=ToyUser(gallery).vocabulary)
    agent.log_belief = lambda memory: memory  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the belief of agent listening"):
        Session(agent, gallery).say("more0")


def test_agents_that_lack_words_a_user_or_a_gallery_are_refused(gallery: Catalog) -> None:
    user = ToyUser(gallery)
    with pytest.raises(ValueError, match="agent ceiling hears a person as it would its user; give that user"):
        Session(agents.create("ceiling", vocabulary=user.vocabulary), gallery)
    with pytest.raises(ValueError, match="agent greedy has no vocabulary"):
        Session(agents.create("greedy"), gallery)
    with pytest.raises(ValueError, match="agent greedy has no gallery"):
        Session(agents.create("greedy"))
    with pytest.raises(ValueError, match="a partner has its gallery"):
        Session(partner_of(gallery, "greedy"), gallery)
    with pytest.raises(ValueError, match="does not say how likely an answer"):
        Session(agents.create("ceiling"), gallery, user=user)
    agent = agents.create("greedy", vocabulary=user.vocabulary)
    introduce(agent, gallery, user)
    assert Session(agent, gallery).partner.vocabulary == user.vocabulary


def test_the_ceiling_believes_alike_in_all_images_of_which_its_user_would_say_the_same(gallery: Catalog) -> None:
    user = ToyUser(gallery)
    agent = agents.create("ceiling", vocabulary=user.vocabulary)
    introduce(agent, gallery, user)
    target, shown = torch.tensor([6]), torch.tensor([3])
    said = user.feedback(target, shown, shown)
    features = torch.from_numpy(gallery.features)[shown]
    memory = agent.act(Observation(shown, features, said, torch.tensor([0])), agent.begin(1)).memory
    same = (user.feedback(torch.arange(30), shown.expand(30), shown) == said).all(dim=1)
    expected = torch.where(same, 1.0 / same.sum(), 0.0)
    assert torch.allclose(agent.log_belief(memory).exp()[0], expected.double())  # type: ignore[attr-defined]
