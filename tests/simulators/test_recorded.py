"""People's recorded sentences as a user, and retrieval from one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from dialog_env import agents
from dialog_env.agents.base import TrainingData
from dialog_env.agents.guo2018.supervised import SupervisedSettings
from dialog_env.agents.training.cached_user import CachedUser
from dialog_env.benchmarks import __main__ as benchmarks
from dialog_env.benchmarks.film import hold_dialogs
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner.caption_data import WrittenPairs, open_captions
from dialog_env.simulators.captioner.training import CaptionerSettings, CaptionTraining
from dialog_env.simulators.recorded import RecordedUser
from dialog_env.simulators.reworded import in_words
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import QueryRanking
from dialog_env.world.vocabulary import UNKNOWN, Vocabulary
from tests.conftest import tiny_contents

SPLITS = ("train", "validation")
ROWS = [
    "tiny-013,tiny-012,is redder",
    "tiny-012,tiny-013,has a bow",
    "tiny-012,tiny-013,is open",
    "tiny-012,tiny-013,is shiny",
    "tiny-001,tiny-002,is in another split",
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A file of sentences on the tiny catalogue."""
    (tmp_path / "pairs.csv").write_text("\n".join(["target,candidate,sentence", *ROWS]))
    return tmp_path / "pairs.csv"


@pytest.fixture
def gallery() -> Catalog:
    return Catalog(tiny_contents()).split("validation")


def test_it_says_what_was_said_and_nothing_where_nobody_spoke(pairs: Path, gallery: Catalog) -> None:
    user = make_simulator(f"recorded:{pairs}", gallery)
    assert isinstance(user, RecordedUser)
    targets, candidates = torch.tensor([1, 0, 3, 0, 5]), torch.tensor([0, 1, 4, 0, 5])
    said = user.sentences(targets, candidates)
    assert said[0] == "is redder"
    assert said[1] in ("has a bow", "is open", "is shiny")
    assert said[2:] == ["", "", ""]
    assert user.has_record(targets, candidates).tolist() == [True, True, False, False, False]
    tokens = user.feedback(targets, candidates, torch.full_like(targets, -1))
    assert user.vocabulary.decode(tokens) == said
    assert user.pairs.tolist() == [[0, 1], [1, 0]]
    for place in range(5):
        alone = user.feedback(targets[place : place + 1], candidates[place : place + 1], targets[:1])
        torch.testing.assert_close(alone[0], tokens[place])


def test_of_several_sentences_the_seed_chooses_and_each_is_said_sooner_or_later(pairs: Path, gallery: Catalog) -> None:
    users = [make_simulator(f"recorded:{pairs}", gallery, seed=seed) for seed in range(30)]
    said = [user.sentences(torch.tensor([0]), torch.tensor([1]))[0] for user in users]
    assert set(said) == {"has a bow", "is open", "is shiny"}
    again = make_simulator(f"recorded:{pairs}", gallery, seed=4)
    assert (again.id, again.sentences(torch.tensor([0]), torch.tensor([1]))[0]) == (users[4].id, said[4])
    assert len({user.id for user in users}) == 30


def test_another_user_speaks_where_nobody_did(pairs: Path, gallery: Catalog) -> None:
    inner = make_simulator("describer", gallery)
    user = make_simulator(f"recorded:argument={pairs},inner=describer", gallery)
    assert user.id.endswith(f":{inner.id}")
    assert user.vocabulary.words == inner.vocabulary.words
    targets, candidates = (each.flatten() for each in torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij"))
    said, theirs = user.sentences(targets, candidates), inner.sentences(targets, candidates)
    told = dict(
        zip(zip(targets.tolist(), candidates.tolist(), strict=True), zip(said, theirs, strict=True), strict=True)
    )
    assert told.pop((1, 0))[0] == user.vocabulary.decode(torch.from_numpy(user.vocabulary.encode(["is redder"])))[0]
    assert told.pop((0, 1))[0] != inner.sentences(torch.tensor([0]), torch.tensor([1]))[0]
    assert all(ours == inners for ours, inners in told.values())
    with pytest.raises(
        ValueError, match="words='somebody' are given beside inner='describer', whose words are kept to"
    ):
        make_simulator(f"recorded:argument={pairs},inner=describer,words=somebody", gallery)


def test_dialogs_begin_with_an_image_that_somebody_compared_the_target_with(pairs: Path, gallery: Catalog) -> None:
    pairs.write_text(pairs.read_text() + "\ntiny-012,tiny-015,is bluer")
    user = make_simulator(f"recorded:argument={pairs},inner=describer", gallery)
    targets, drawn = (each.flatten() for each in torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij"))
    first = user.first_candidates(targets, drawn).reshape(6, 6)
    assert set(first[0].tolist()) == {1, 3}
    assert first[1].tolist() == [0] * 6
    assert torch.equal(first[2:], drawn.reshape(6, 6)[2:])

    world = Dialog(gallery, user)
    targets, candidates = world.draw(torch.Generator().manual_seed(0), 200)
    assert bool(user.has_record(targets, candidates)[targets < 2].all())
    assert not bool((targets == candidates).any())
    record = protocol.run(agents.create("random", gallery=gallery), gallery, user, seed=0)
    begun = dict(zip(record.target.tolist(), record.shown[:, 0].tolist(), strict=True))
    assert (begun[0] in (1, 3), begun[1]) == (True, 0)
    assert {int(CachedUser(user, gallery).first_candidates(torch.tensor([1]), torch.tensor([4])))} == {0}
    assert in_words(user, Vocabulary(("red", UNKNOWN))).first_candidates(torch.tensor([1]), torch.tensor([4])) == 0
    begun = dict(zip(*_filmed(gallery, user), strict=True))
    assert (begun[0] in (1, 3), begun[1]) == (True, 0)
    for around in ("noisy:dropped=0.5,inner=", "phrased:inner="):
        wrapped = make_simulator(around + json.dumps(f"recorded:argument={pairs},inner=describer"), gallery)
        assert wrapped.first_candidates(torch.tensor([1]), torch.tensor([4])).tolist() == [0]


def _filmed(gallery: Catalog, user: RecordedUser) -> tuple[list[int], list[int]]:
    agent = agents.create("random", gallery=gallery)
    targets, rows = hold_dialogs(agent, gallery, user, dialogs=6, seed=0, turns=1)
    return targets, [row[0].candidate for row in rows]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_dialogs_that_begin_while_others_go_on_begin_so_too(pairs: Path, tmp_path: Path, mode: str) -> None:
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    pairs.write_text("target,candidate,sentence\ntiny-013,tiny-012,is redder")  # nobody spoke of the image at 0
    many = gym.make_vec(
        "dialog_env:DialogRetrieval-v0",
        num_envs=8,
        autoreset_mode=mode,
        catalog=str(tmp_path / "tiny.h5"),
        split="validation",
        simulator=f"recorded:{pairs}",
        stop_when_found=True,
        reveal_target=True,
    )
    many.reset(seed=0)
    seen: list[int] = []
    for number in range(12):
        info = many.step(np.random.default_rng(number).integers(6, size=8))[-1]
        if mode == "NextStep":
            info = many.reset(options={"reset_mask": np.arange(8) % 2 == number % 2})[1]
            begun = (np.arange(8) % 2 == number % 2) & (info["target"] == 1)
            seen += info["candidate"][begun].tolist()
    assert set(seen) == ({0} if mode == "NextStep" else set())


def test_where_nobody_spoke_of_a_split_the_other_user_speaks_alone(pairs: Path, gallery: Catalog) -> None:
    pairs.write_text("target,candidate,sentence\ntiny-001,tiny-002,is in another split")
    with pytest.raises(ValueError, match="choose another split or captions, or name an inner user who speaks instead"):
        make_simulator(f"recorded:{pairs}", gallery)
    user, inner = (
        make_simulator(f"recorded:argument={pairs},inner=describer", gallery),
        make_simulator("describer", gallery),
    )
    targets, drawn = torch.arange(6), torch.arange(6).roll(1)
    assert user.pairs.shape == (2, 0)
    assert user.sentences(targets, drawn) == inner.sentences(targets, drawn)
    assert torch.equal(user.first_candidates(targets, drawn), drawn)
    assert not bool(user.has_record(targets, drawn).any())


def test_environments_begin_so_too_unless_told_otherwise(pairs: Path, tmp_path: Path) -> None:
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    given = {"catalog": str(tmp_path / "tiny.h5"), "split": "validation", "simulator": f"recorded:{pairs}"}
    single = gym.make("dialog_env:DialogRetrieval-v0", reveal_target=True, **given)
    begun = [single.reset(seed=seed)[1] for seed in range(40)]
    assert {info["candidate"] for info in begun if info["target"] == 1} == {0}
    assert {info["sentence"] for info in begun if info["target"] == 1} == {"is redder"}
    assert single.reset(options={"target": 1})[1]["candidate"] == 0
    assert single.reset(options={"target": 1, "candidate": 4})[1]["candidate"] == 4
    many = gym.make_vec("dialog_env:DialogRetrieval-v0", num_envs=40, reveal_target=True, **given)
    info = many.reset(seed=0)[1]
    assert set(info["candidate"][info["target"] == 1].tolist()) == {0}


class _Begins:
    """Begins with images of its own."""

    def __init__(self, gallery: Catalog, first: list[int] | None) -> None:
        self.inner, self.first = make_simulator("describer", gallery), first
        self.id, self.vocabulary, self.gallery_fingerprint = "begins", self.inner.vocabulary, gallery.fingerprint

    def feedback(self, targets: torch.Tensor, candidates: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        return self.inner.feedback(targets, candidates, previous)

    def first_candidates(self, targets: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        return [1, 2] if self.first is None else torch.tensor(self.first)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ([3], "1 first candidates of user begins were given for 2 dialogs"),
        ([3, 9], "first candidates of user begins reach from 3 to 9; the gallery has positions 0 to 5"),
        ([3, 1], "user begins begins with the target itself; it must choose another image"),
        (None, "first candidates of user begins are list; give one position for each dialog"),
    ],
)
def test_a_user_that_begins_nowhere_is_refused(gallery: Catalog, first: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dialog(gallery, _Begins(gallery, first)).first_candidates(torch.tensor([0, 1]), torch.tensor([2, 2]))


@pytest.mark.parametrize(
    ("learner", "settings"),
    [
        ("supervised", {}),
        ("policy_improvement", {"nearest": 2, "pretraining": SupervisedSettings(epochs=1)}),
        ("scst", {"nearest": 2, "pretraining": SupervisedSettings(epochs=1)}),
        ("belief", {"images": 4}),
    ],
)
def test_whoever_learns_from_people_begins_with_their_pairs(
    pairs: Path, tmp_path: Path, learner: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"tiny-{target:03d},tiny-{(target + 5) % 12:03d},is redder" for target in range(12)]
    pairs.write_text(pairs.read_text() + "\n".join(["", *rows]))
    catalog = Catalog(tiny_contents())
    users = [make_simulator(f"recorded:argument={pairs},inner=describer", catalog.split(name)) for name in SPLITS]
    begun: list[torch.Tensor] = []
    reset = Dialog.reset

    def noted(world: Dialog, targets: torch.Tensor, candidates: torch.Tensor) -> object:
        if world.gallery.split_name == "train":
            begun.append(torch.stack([targets, candidates]))
        return reset(world, targets, candidates)

    monkeypatch.setattr(Dialog, "reset", noted)
    given = {"gallery": catalog.split("train"), "vocabulary": users[0].vocabulary}
    agent = agents.create(learner, **given, epochs=1, batch=4, **settings)
    data = TrainingData(catalog.split("train"), users[0], catalog.split("validation"), users[1])
    agent.train(data, tmp_path / "training", progress=False)
    targets, candidates = torch.cat(begun, dim=1)
    assert len(targets) >= 12
    assert bool(users[0].has_record(targets, candidates).all())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["tiny-013,nobody,is red"],
            r"1 of 1 sentences cannot be used \(.*pairs\.csv, line 2: .*no image 'nobody'\); mend",
        ),
        (["tiny-013,tiny-013,is red"], "line 2: 'tiny-013' is compared with itself"),
        (["tiny-001,tiny-002,is red"], "has no sentence on two images of split 'validation' of catalogue 'tiny'"),
    ],
)
def test_sentences_that_cannot_be_used_are_one_sentence(
    pairs: Path, gallery: Catalog, rows: list[str], message: str
) -> None:
    pairs.write_text("\n".join(["target,candidate,sentence", *rows]))
    with pytest.raises(ValueError, match=message):
        make_simulator(f"recorded:{pairs}", gallery)
    with pytest.raises(ValueError, match=r"needs people's sentences; write recorded:pairs\.csv"):
        make_simulator("recorded", gallery)


def test_an_agent_that_learned_from_a_captioner_is_tried_on_real_sentences(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = Catalog(tiny_contents())
    catalog.write(tmp_path / "tiny.h5")
    learning = tmp_path / "learning.csv"
    lines = [f"tiny-{a:03d},tiny-{b:03d},is redder and open" for a in range(12) for b in range(12) if a != b]
    learning.write_text("\n".join(["target,candidate,sentence", *lines]))
    sources = [
        open_captions(str(learning), catalog.split("train"), pairs=1, seed=0, part=part) for part in ("learn", "judge")
    ]
    assert all(isinstance(source, WrittenPairs) for source in sources)
    settings = CaptionerSettings("show_tell", epochs=1, hidden=8, embedding=8, threshold=0)
    CaptionTraining(settings, *sources, tmp_path / "captioner").run(progress=False)
    words = make_simulator(f"captioner:{tmp_path / 'captioner'}", catalog).vocabulary
    agents.create("supervised", gallery=catalog, vocabulary=words).save(tmp_path / "agent")

    gallery = catalog.split("validation")
    user = make_simulator(f"recorded:{pairs},words={tmp_path / 'captioner'}", gallery)
    assert user.vocabulary.words == words.words
    assert user.sentences(torch.tensor([1]), torch.tensor([0])) == ["is redder"]
    bow = make_simulator(f"recorded:{pairs},words={tmp_path / 'captioner'},seed=0", gallery)
    assert all(UNKNOWN in each or each in ("is open",) for each in bow.sentences(torch.tensor([0]), torch.tensor([1])))

    exact = make_simulator(f"recorded:{pairs},words={tmp_path / 'captioner'},seed=0,hearing=exact", gallery)
    known = [" ".join(word for word in each.split() if word != UNKNOWN) for each in bow.sentences(*user.pairs)]
    assert exact.sentences(*user.pairs) == known
    assert exact.id != bow.id

    command = ["composed", "--catalog", str(tmp_path / "tiny.h5"), "--captions", str(pairs), "--split", "validation"]
    command += ["--words", str(tmp_path / "captioner"), "--output", str(tmp_path / "table.md"), "--agents"]
    benchmarks.main([*command, str(tmp_path / "agent"), "random"])
    shown = capsys.readouterr().out
    assert "| agent | trainings | R@10 | R@50 | MRR | percentile |" in shown
    assert "One sentence on each of 2 pairs, as people said it; gallery: 6 images of `tiny` (validation)" in shown
    assert (tmp_path / "table.md").read_text() in shown
    with pytest.raises(SystemExit, match="give either --catalog or --suite"):
        benchmarks.main([*command, "random", "--suite", "drawn-1k"])
    agent = agents.load(tmp_path / "agent")
    record = protocol.run(agent, gallery, user, seed=0, turns=1, pairs=(user.pairs[0], user.pairs[1]))
    assert record.target.tolist() == [0, 1]
    assert record.shown[:, 0].tolist() == [1, 0]
    agent.bind(gallery)
    observation = Dialog(gallery, user, turns=1).reset(*user.pairs)
    ranking, _ = agent.rank(observation, agent.begin(2))
    assert isinstance(ranking, QueryRanking)
    np.testing.assert_array_equal(record.rank[:, 0], ranking.target_rank(user.pairs[0]).rank().numpy())
    with pytest.raises(SystemExit, match="error: agent supervised has to be trained first"):
        benchmarks.main([*command, "supervised"])


def test_agents_of_a_suite_hear_real_sentences_once_for_each_training(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    suite = {"name": "tiny", "catalog": "tiny.h5", "simulator": "describer", "test_split": "validation"}
    Path("tiny.json").write_text(json.dumps(suite | {"seeds": [0, 1]}))
    learner = "supervised:epochs=1,batch=8,statistics=1"
    benchmarks.main(["run", "--suite", "tiny.json", "--agents", "random", learner, "--device", "cpu"])
    capsys.readouterr()
    command = ["composed", "--suite", "tiny.json", "--captions", str(pairs), "--agents", "random", learner]
    benchmarks.main(command)  # in the words of the describer, from whom they have learned
    shown = capsys.readouterr().out
    assert "| random | 1 |" in shown
    assert f"| {learner} | 2 |" in shown
    assert "over pairs, and over trainings" in shown
