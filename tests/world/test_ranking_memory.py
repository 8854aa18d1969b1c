"""Searches of a large gallery write over the memory of those that are done, and over nothing else."""

import gc

import pytest
import torch

from dialog_env.world import large_gallery
from dialog_env.world.large_gallery import SPARE_PARTS, Spare
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking

BATCH, IMAGES, DIMENSIONS = 6, 333, 16


@pytest.fixture
def spare(monkeypatch):
    """The memory of searches, empty; every gallery counts as large."""
    monkeypatch.setattr(large_gallery, "LARGE", 0)
    monkeypatch.setattr(large_gallery, "FEW_PRODUCTS", -1)
    monkeypatch.setattr(large_gallery, "SPARE", Spare())
    yield large_gallery.SPARE
    gc.collect()


def gallery_of(seed):
    return EmbeddedGallery(torch.randn(IMAGES, DIMENSIONS, generator=torch.Generator().manual_seed(seed)))


def ask(ranking):
    """All that a ranking gives, and the same again as lists."""
    targets = torch.arange(BATCH)
    found = ranking.target_rank(targets)
    given = [found.closer, found.equal, ranking.top(1), ranking.top(4), ranking.top(3, targets[:, None])]
    return given, [each.tolist() for each in given]


def storage(part):
    return part.untyped_storage().data_ptr()


@pytest.mark.parametrize("kept", [0, 10**7])
def test_nothing_that_a_search_gave_lies_in_the_memory_of_the_next(spare, kept):
    gallery = gallery_of(0)
    gallery.kept, gallery.elements = kept, 64 * BATCH
    ranking = QueryRanking(gallery.embeddings[:BATCH] + 0.5, gallery)
    given, expected = ask(ranking)
    del ranking
    gc.collect()
    assert spare._parts
    assert {storage(each) for each in given}.isdisjoint(map(storage, spare._parts))
    for part in spare._parts:
        part.fill_(torch.nan)
    again = QueryRanking(gallery.embeddings[:BATCH] + 0.5, gallery)
    assert ask(again)[1] == expected == [each.tolist() for each in given]


def test_searches_that_are_alive_together_have_memory_of_their_own(spare):
    gallery = gallery_of(1)
    rankings = [QueryRanking(gallery.embeddings[:BATCH] + shift, gallery) for shift in (0.1, 0.9)]
    expected = [ask(ranking)[1] for ranking in rankings]
    assert expected[0] != expected[1]
    assert [ask(ranking)[1] for ranking in rankings] == expected


def test_memory_is_used_again_and_a_bounded_amount_of_it_is_kept(spare):
    gallery = gallery_of(2)
    first = QueryRanking(gallery.embeddings[:BATCH], gallery)
    ask(first)
    used = storage(first._search._room)
    del first
    gc.collect()
    second = QueryRanking(gallery.embeddings[:BATCH], gallery)
    ask(second)
    assert storage(second._search._room) in (used, *map(storage, spare._parts))
    many = [QueryRanking(gallery.embeddings[:BATCH], gallery) for _ in range(3 * SPARE_PARTS)]
    for ranking in many:
        ask(ranking)
    many.clear()
    del ranking
    gc.collect()
    assert len(spare._parts) == SPARE_PARTS


def test_memory_that_was_first_used_in_inference_mode_serves_a_training(spare):
    gallery = gallery_of(3)
    with torch.inference_mode():
        expected = ask(QueryRanking(gallery.embeddings[:BATCH], gallery))[1]
    gc.collect()
    assert not any(part.is_inference() for part in spare._parts)
    assert ask(QueryRanking(gallery.embeddings[:BATCH], gallery))[1] == expected


@pytest.mark.parametrize("images", [2_049, 2_500, 2_504])
@pytest.mark.parametrize("kept", [0, 10**7])
def test_columns_behind_the_last_image_count_for_nothing(spare, images, kept):
    generator = torch.Generator().manual_seed(images)
    gallery = EmbeddedGallery(torch.randn(images, DIMENSIONS, generator=generator))
    gallery.kept, gallery.elements = kept, 704 * BATCH
    ranking = QueryRanking(gallery.embeddings[-BATCH:] * 1.5, gallery)
    targets = torch.arange(images - BATCH, images)
    found = ranking.target_rank(targets)
    distances = (gallery.embeddings.double() - ranking.queries.double()[:, None]).square().sum(dim=2)
    assert found.closer.tolist() == (distances < distances.gather(1, targets[:, None])).sum(dim=1).tolist()
    assert found.equal.tolist() == [1] * BATCH
    assert torch.equal(ranking.top(5), distances.argsort(dim=1)[:, :5])
