"""A user who says the same in other words, and how it is heard."""

from __future__ import annotations

import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.simulators import make_simulator
from dialog_env.simulators.phrased import PHRASINGS
from dialog_env.simulators.reworded import in_words
from dialog_env.world.hearing import Hearing
from dialog_env.world.user import UserSimulator
from tests.conftest import tiny_contents


@pytest.fixture
def gallery() -> Catalog:
    return Catalog(tiny_contents(60))


def said(user: UserSimulator, gallery: Catalog) -> list[str]:
    """On all pairs of images."""
    pairs = torch.cartesian_prod(torch.arange(len(gallery)), torch.arange(len(gallery)))
    return user.vocabulary.decode(user.feedback(pairs[:, 0], pairs[:, 1], pairs[:, 1]))


def test_politeness_stands_around_what_is_said_up_to_sixteen_words(gallery: Catalog) -> None:
    plain = said(make_simulator("describer", gallery), gallery)
    polite = said(make_simulator("phrased", gallery, inner="describer"), gallery)
    for before, after in zip(plain, polite, strict=True):
        whole = f"please show me something that {before} thank you".split()
        assert after.split() == (whole[:16] if before else [])


def test_each_colour_is_called_by_one_of_its_rarer_names(gallery: Catalog) -> None:
    plain = said(make_simulator("describer", gallery), gallery)
    other = said(make_simulator("phrased", gallery, inner="describer", phrasing="colours"), gallery)
    instead = PHRASINGS["colours"].instead
    met: dict[str, set[str]] = {}
    for before, after in zip(plain, other, strict=True):
        for word, called in zip(before.split(), after.split(), strict=True):
            met.setdefault(word, set()).add(called)
    assert {word for word in met if word in instead} >= {"red", "black"}
    for word, called in met.items():
        assert called <= set(instead[word].split() if word in instead else [word])
    assert met["red"] == set(instead["red"].split())


def test_an_answer_depends_on_the_pair_alone(gallery: Catalog) -> None:
    user = make_simulator("phrased", gallery, inner="describer", phrasing="colours")
    targets, candidates = torch.randint(60, (2, 200), generator=torch.Generator().manual_seed(0))
    whole = user.feedback(targets, candidates, targets)
    parts = [user.feedback(*each) for each in zip(targets.split(7), candidates.split(7), targets.split(7), strict=True)]
    assert torch.equal(whole, torch.cat(parts))
    part = gallery.split("test")
    where = {name: place for place, name in enumerate(gallery.ids.tolist())}
    other = make_simulator("phrased", part, inner="describer", phrasing="colours")
    here = torch.arange(len(part))
    there = torch.tensor([where[name] for name in part.ids.tolist()])
    told = user.vocabulary.decode(user.feedback(there, there.flip(0), there))
    assert other.vocabulary.decode(other.feedback(here, here.flip(0), here)) == told


def test_who_hears_mended_hears_what_was_meant(gallery: Catalog) -> None:
    plain = make_simulator("describer", gallery)
    other = make_simulator("phrased", gallery, inner="describer", phrasing="colours")
    polite = make_simulator("phrased", gallery, inner="describer")
    known = plain.vocabulary
    usual = said(plain, gallery)
    assert any("UNK" in each for each in said(in_words(other, known), gallery))
    mended = said(in_words(other, known, Hearing(known)), gallery)
    assert sum(map(str.__eq__, mended, usual)) > 0.7 * len(usual)
    passed_over = said(in_words(polite, known, Hearing(known, mends=False)), gallery)
    whole = [place for place, each in enumerate(usual) if len(each.split()) <= 11]
    assert [passed_over[place] for place in whole] == [usual[place] for place in whole]
    assert len({in_words(other, known).id, in_words(other, known, Hearing(known)).id, other.id}) == 3


def test_another_phrasing_is_refused(gallery: Catalog) -> None:
    with pytest.raises(ValueError, match="phrasing='rude' is not known; choose one of polite, colours"):
        make_simulator("phrased:inner=describer,phrasing=rude", gallery)
