import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dialog_env.world import ranking
from dialog_env.world.ranking import (
    FEATURE_FLOOR,
    FEATURE_LIMIT,
    EmbeddedGallery,
    QueryRanking,
    ScoreRanking,
    UnrankableError,
)


def literal_standing(queries, embeddings, targets):
    """A loop over queries: the definition."""
    closer, equal = [], []
    for query, target in zip(queries.double(), targets, strict=True):
        distance = (embeddings.double() - query).square().sum(dim=1)
        closer.append(int((distance < distance[target] - 1e-9).sum()))
        equal.append(int(((distance - distance[target]).abs() <= 1e-9).sum()))
    return closer, equal


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 60), st.integers(1, 5))
def test_ranks_equal_a_loop_over_queries_with_many_ties(seed, batch, images, dimensions):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randint(-2, 3, (images, dimensions), generator=generator).float()
    queries = torch.randint(-2, 3, (batch, dimensions), generator=generator).float()
    targets = torch.randint(images, (batch,), generator=generator)
    target_rank = QueryRanking(queries, EmbeddedGallery(embeddings)).target_rank(targets)
    closer, equal = literal_standing(queries, embeddings, targets)
    assert target_rank.closer.tolist() == closer
    assert target_rank.equal.tolist() == equal


def test_ties_count_half_and_strict_ranks_ignore_them():
    target_rank = ScoreRanking(torch.zeros(1, 11)).target_rank(torch.tensor([3]))
    assert target_rank.rank().item() == 5
    assert target_rank.rank("strict").item() == 0
    assert target_rank.percentile().item() == pytest.approx(1 - 5 / 11)


@pytest.mark.parametrize("elements", [64, 999, 5_000, 10**7])
def test_no_rank_and_no_nearest_image_depends_on_the_chunk(monkeypatch, elements):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(500, 16, generator=generator)
    embeddings[250:] = embeddings[:250]
    queries, targets = (
        torch.randn(32, 16, generator=generator),
        torch.randint(500, (32,), generator=generator),
    )
    whole = QueryRanking(queries, EmbeddedGallery(embeddings))
    target_rank, nearest = whole.target_rank(targets), whole.top(7)
    assert (target_rank.equal == 2).all()
    monkeypatch.setattr(ranking, "CHUNK_ELEMENTS", elements)
    cut = QueryRanking(queries, EmbeddedGallery(embeddings))
    assert torch.equal(cut.target_rank(targets).closer, target_rank.closer)
    assert torch.equal(cut.target_rank(targets).equal, target_rank.equal)
    assert torch.equal(cut.top(7), nearest)


def test_no_rank_depends_on_the_batch():
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(300, 256, generator=generator)
    gallery = EmbeddedGallery(torch.cat([embeddings, embeddings]))
    queries, targets = (
        torch.randn(64, 256, generator=generator),
        torch.randint(600, (64,), generator=generator),
    )
    together = QueryRanking(queries, gallery).target_rank(targets)
    for row in range(64):
        alone = QueryRanking(queries[row : row + 1], gallery).target_rank(targets[row : row + 1])
        assert alone.closer.item() == together.closer[row].item()
        assert alone.equal.item() == together.equal[row].item() == 2


def test_an_image_is_its_own_nearest_and_level_only_with_its_copies():
    generator = torch.Generator().manual_seed(2)
    embeddings = torch.randn(200, 64, generator=generator) * 0.01 + 5
    embeddings[150] = embeddings[20]
    gallery = EmbeddedGallery(embeddings)
    own = QueryRanking(embeddings, gallery)
    target_rank = own.target_rank(torch.arange(200))
    assert target_rank.closer.tolist() == [0] * 200
    assert target_rank.equal.tolist() == [2 if row in (20, 150) else 1 for row in range(200)]


def test_the_lower_position_wins_a_tie_among_the_nearest():
    scores = torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0, 2.0]])
    assert ScoreRanking(scores).top(1).tolist() == [[1]]
    assert ScoreRanking(scores).top(4).tolist() == [[1, 3, 2, 4]]
    assert ScoreRanking(scores).top(6).tolist() == [[1, 3, 2, 4, 5, 0]]


def test_excluded_images_are_never_among_the_nearest(monkeypatch):
    generator = torch.Generator().manual_seed(3)
    gallery = EmbeddedGallery(torch.randn(90, 4, generator=generator))
    queries = torch.randn(5, 4, generator=generator)
    first = QueryRanking(queries, gallery).top(6)
    excluded = torch.cat([first[:, :2], torch.full((5, 1), -1)], dim=1)
    monkeypatch.setattr(ranking, "CHUNK_ELEMENTS", 100)
    assert torch.equal(QueryRanking(queries, EmbeddedGallery(gallery.embeddings)).top(4, excluded), first[:, 2:])


def test_more_nearest_images_than_there_are_is_refused():
    with pytest.raises(ValueError, match="gallery of 3"):
        ScoreRanking(torch.zeros(1, 3)).top(4)


def test_a_memory_mapped_gallery_is_searched(tmp_path):
    values = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    np.save(tmp_path / "features.npy", values)
    mapped = torch.from_numpy(np.load(tmp_path / "features.npy", mmap_mode="c"))
    targets = torch.arange(0, 1000, 100)
    target_rank = QueryRanking(torch.from_numpy(values[targets]), EmbeddedGallery(mapped)).target_rank(targets)
    assert target_rank.closer.tolist() == [0] * 10


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(wrong):
    scores = torch.zeros(2, 5)
    scores[1, 3] = wrong
    with pytest.raises(UnrankableError, match=rf"scores contain {abs(wrong)}; give finite numbers"):
        ScoreRanking(scores)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1e30, 1.1 * FEATURE_LIMIT])
def test_queries_and_embeddings_whose_squares_float32_cannot_hold_are_refused(wrong):
    images = torch.eye(5)
    broken = images.clone()
    broken[3, 1] = wrong
    with pytest.raises(UnrankableError, match=r"features or embeddings of a gallery contain .*; give finite numbers"):
        EmbeddedGallery(broken)
    with pytest.raises(UnrankableError, match=r"queries contain .*; give finite numbers from -1e\+15 to 1e\+15"):
        QueryRanking(broken, EmbeddedGallery(images))
    QueryRanking(FEATURE_LIMIT * images, EmbeddedGallery(FEATURE_LIMIT * images))


def test_a_gallery_so_small_that_its_squares_vanish_is_refused_and_one_of_zeros_is_level():
    with pytest.raises(UnrankableError, match=r"at most 1e-22, and float32 cannot hold their squares; scale them up"):
        EmbeddedGallery(1e-22 * torch.eye(5))
    EmbeddedGallery(2 * FEATURE_FLOOR * torch.eye(5))
    level = QueryRanking(torch.ones(1, 3), EmbeddedGallery(torch.zeros(5, 3))).target_rank(torch.tensor([4]))
    assert (level.closer.item(), level.equal.item()) == (0, 5)


@pytest.mark.parametrize("kind", [torch.bool, torch.complex64])
def test_scores_that_are_no_real_numbers_are_refused(kind):
    with pytest.raises(UnrankableError, match="give real numbers"):
        ScoreRanking(torch.zeros(2, 5, dtype=kind))
    with pytest.raises(UnrankableError, match="give one for each dialog and image"):
        ScoreRanking(torch.zeros(5))
    with pytest.raises(UnrankableError, match="give one row an image"):
        EmbeddedGallery(torch.zeros(5, 3, dtype=kind))
    with pytest.raises(ValueError, match="do not fit embeddings"):
        QueryRanking(torch.zeros(2, 3, dtype=kind), EmbeddedGallery(torch.zeros(5, 3)))
