"""Users whose words are lost on the way, and users in the words of another."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import Tensor

import dialog_env  # noqa: F401, registers the environment
from dialog_env.catalog import Catalog
from dialog_env.simulators import make_simulator
from dialog_env.simulators.noisy import misspellings
from dialog_env.simulators.reworded import Reworded, in_words
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import Vocabulary
from tests.conftest import tiny_contents
from tests.toys import ToyUser

TOY = "tests.toys:ToyUser"


@pytest.fixture
def gallery() -> Catalog:
    return Catalog(tiny_contents(60))


def answers(user: UserSimulator, gallery: Catalog) -> Tensor:
    """Those on all pairs of images."""
    pairs = torch.cartesian_prod(torch.arange(len(gallery)), torch.arange(len(gallery)))
    return user.feedback(pairs[:, 0], pairs[:, 1], pairs[:, 1])


def noisy(gallery: Catalog, inner: str = TOY, **settings: float) -> UserSimulator:
    return make_simulator("noisy", gallery, inner=inner, **settings)


def test_without_noise_every_word_arrives(gallery: Catalog) -> None:
    assert torch.equal(
        answers(noisy(gallery, "describer"), gallery), answers(make_simulator("describer", gallery), gallery)
    )


def test_a_share_of_the_words_is_left_out_and_the_others_close_up(gallery: Catalog) -> None:
    said, heard = (
        answers(make_simulator("describer", gallery), gallery),
        answers(noisy(gallery, "describer", dropped=0.3), gallery),
    )
    assert 1 - (heard > 0).sum() / (said > 0).sum() == pytest.approx(0.3, abs=0.01)
    for before, after in zip(said.tolist()[:200], heard.tolist()[:200], strict=True):
        left = iter(before)
        length = len([token for token in after if token])
        assert not any(after[length:])
        assert all(token in left for token in after[:length])
    assert not answers(noisy(gallery, dropped=1), gallery).any()


def test_a_share_of_the_words_is_replaced_by_any_other_known_word(gallery: Catalog) -> None:
    said, heard = answers(make_simulator(TOY, gallery), gallery), answers(noisy(gallery, replaced=0.4), gallery)
    assert torch.equal(said > 0, heard > 0)
    assert (said != heard).sum() / (said > 0).sum() == pytest.approx(0.4, abs=0.01)
    everywhere = answers(noisy(gallery, replaced=1), gallery)
    words = said > 0
    assert not (everywhere == said)[words].any()
    for word in range(1, 9):
        counts = torch.bincount(everywhere[words & (said == word)], minlength=10)
        assert counts[[0, word, 9]].sum() == 0  # neither nothing, nor itself, nor UNK
        assert counts.sum() / 7 == pytest.approx(counts[counts > 0].double().mean())
        assert counts[counts > 0].min() > 0.8 * counts.sum() / 7


def test_a_misspelt_word_is_looked_up_again(gallery: Catalog) -> None:
    user = make_simulator("describer", gallery)
    said, heard = answers(user, gallery), answers(noisy(gallery, "describer", misspelt=1), gallery)
    words = user.vocabulary.words
    assert torch.equal(said > 0, heard > 0)
    unknown = 0
    for token in said[said > 0].unique().tolist():
        slips = [word if word in words else "UNK" for word in misspellings(words[token - 1])]
        became = {words[other - 1] for other in heard[said == token].unique().tolist()}
        assert became <= set(slips)
        unknown += "UNK" in became
    assert unknown > 20
    assert (heard[said > 0] == len(words)).double().mean() > 0.8


def test_a_misspelling_is_one_slip_away_and_another_word() -> None:
    slips = misspellings("boots")
    assert {"oots", "boos", "boot", "bots", "boost", "obots", "bootss", "bootts", "voots", "niots"} - set(slips) == {
        "niots"
    }
    assert "boots" not in slips
    assert len(slips) == len(set(slips))
    assert all(abs(len(slip) - 5) <= 1 for slip in slips)
    assert "" not in misspellings("a")


def test_a_misspelling_may_be_another_known_word() -> None:
    class Speaker(ToyUser):
        def __init__(self, gallery: Catalog) -> None:
            super().__init__(gallery)
            self.vocabulary = Vocabulary(("boot", "boots", "heel", "no", "not", "on", "red", "rd", "UNK"))

    gallery = Catalog(tiny_contents())
    said, heard = (
        answers(Speaker(gallery), gallery),
        answers(make_simulator("noisy", gallery, inner=Speaker, misspelt=1), gallery),
    )
    assert set(heard[said == 2].tolist()) == {1, 9}  # "boots" to "boot", or to nothing known


def test_what_suffers_at_a_low_rate_suffers_at_a_higher_one(gallery: Catalog) -> None:
    said = answers(make_simulator(TOY, gallery), gallery)
    little, much = (answers(noisy(gallery, replaced=rate), gallery) for rate in (0.1, 0.3))
    assert torch.equal(little[little != said], much[little != said])


def test_an_answer_depends_on_the_pair_and_the_seed_alone() -> None:
    catalog = Catalog(tiny_contents(60))
    gallery, part = catalog.split("all"), catalog.split("test")
    settings = {"dropped": 0.2, "replaced": 0.2, "misspelt": 0.2}
    user = noisy(gallery, "describer", **settings)
    expected = answers(user, gallery)
    order = torch.randperm(len(expected), generator=torch.Generator().manual_seed(0))
    targets, candidates = order // len(gallery), order % len(gallery)
    for some in torch.arange(len(order)).split(97):
        assert torch.equal(user.feedback(targets[some], candidates[some], targets[some]), expected[order[some]])
    rows = [gallery.ids.tolist().index(name) for name in part.ids]
    within = torch.cartesian_prod(torch.tensor(rows), torch.tensor(rows))
    assert torch.equal(answers(noisy(part, "describer", **settings), part), expected[within[:, 0] * 60 + within[:, 1]])
    other = make_simulator("noisy", gallery, inner="describer", seed=1, **settings)
    assert 0.3 < (answers(other, gallery) != expected).any(dim=1).double().mean() < 1


def test_one_thing_happens_to_a_word_at_most(gallery: Catalog) -> None:
    said = answers(make_simulator(TOY, gallery), gallery)
    words, unknown = said > 0, 9
    heard = answers(noisy(gallery, replaced=0.3, misspelt=0.7), gallery)
    assert not (heard == said)[words].any()
    assert (heard == unknown)[words].double().mean() == pytest.approx(0.7, abs=0.01)
    fewer = answers(noisy(gallery, dropped=0.2, replaced=0.3), gallery)
    assert (fewer > 0).sum() / words.sum() == pytest.approx(0.8, abs=0.01)
    assert not (fewer == unknown).any()


def test_the_id_changes_with_every_setting_and_with_the_user(gallery: Catalog) -> None:
    changes: list[dict[str, object]] = [
        {},
        {"dropped": 0.2},
        {"replaced": 0.2},
        {"misspelt": 0.2},
        {"dropped": 0.2000001},
        {"seed": 1},
        {"inner": "relevance"},
        {"inner": "describer:seed=1"},
    ]
    ids = {make_simulator("noisy", gallery, **{"inner": "describer", **change}).id for change in changes}
    assert len(ids) == len(changes)


def test_it_is_written_as_a_spec_and_lives_in_the_environment() -> None:
    spec = "noisy:inner=describer,dropped=0.2,misspelt=0.1,seed=3"
    gallery = Catalog(tiny_contents())
    expected = make_simulator("noisy", gallery, inner="describer", dropped=0.2, misspelt=0.1, seed=3)
    assert make_simulator(spec, gallery).id == expected.id
    env = gym.make("DialogRetrieval-v0", catalog=gallery, split="all", simulator=spec)
    check_env(env.unwrapped, skip_render_check=True)


def test_it_depends_on_the_image_before_where_the_user_does(gallery: Catalog) -> None:
    assert noisy(gallery, "relevance").uses_previous  # type: ignore[attr-defined]
    assert not noisy(gallery, "describer").uses_previous  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dropped": -0.1}, "dropped is -0.1; give a share of the words, from 0 to 1"),
        ({"replaced": 1.5}, "replaced is 1.5; give a share"),
        ({"dropped": 0.6, "misspelt": 0.6}, "are 1.2 together; give shares of at most 1 in all"),
        ({"misspelt": "often"}, "misspelt is 'often'; give a number"),
        ({"inner": "nobody"}, "no user simulator 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused(gallery: Catalog, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_simulator("noisy", gallery, **{"inner": "describer", **settings})


def test_words_of_another_vocabulary_are_looked_up_and_unknown_ones_are_unk(gallery: Catalog) -> None:
    user = make_simulator("describer", gallery)
    known = Vocabulary(("is", "red", "has", "a", "black", "strange", "UNK"))
    heard = Reworded(user, known)
    targets = torch.arange(30)
    sentences = user.vocabulary.decode(user.feedback(targets, targets + 30, targets))
    expected = known.encode(sentences)
    assert np.array_equal(heard.feedback(targets, targets + 30, targets).numpy(), expected)
    assert (expected == len(known)).any()
    assert heard.vocabulary is known
    assert heard.gallery_fingerprint == gallery.fingerprint
    assert len({heard.id, user.id, Reworded(user, Vocabulary(("red", "UNK"))).id}) == 3


def test_a_user_who_speaks_the_vocabulary_is_not_reworded(gallery: Catalog) -> None:
    user = make_simulator("describer", gallery)
    assert in_words(user, Vocabulary(user.vocabulary.words)) is user
    assert isinstance(in_words(user, Vocabulary(("red", "UNK"))), Reworded)
