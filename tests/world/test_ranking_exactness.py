"""Ranks and nearest images are those of all costs in float64, on the plain path and on that of a large gallery."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dialog_env.world import large_gallery, ranking
from dialog_env.world.large_gallery import compared
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking

BATCH, IMAGES, DIMENSIONS = 12, 640, 48


def exhaustive(queries, gallery):
    """Exact costs (B, N), pair by pair."""
    rows = torch.arange(len(queries)).repeat_interleave(len(gallery))
    positions = torch.arange(len(gallery)).repeat(len(queries))
    return QueryRanking(queries, gallery).exact(rows, positions).view(len(queries), -1)


def take(monkeypatch, path):
    """Searches every gallery as if it were large, or none."""
    monkeypatch.setattr(large_gallery, "LARGE", {"large": 0, "plain": 10**9}[path])
    monkeypatch.setattr(large_gallery, "FEW_PRODUCTS", -1)


def spread(generator):
    return torch.randn(IMAGES, DIMENSIONS, generator=generator)


def crowded(generator):
    """Far from the origin and next to each other: float32 products mean nothing here."""
    return 40 + 1e-3 * torch.randn(IMAGES, DIMENSIONS, generator=generator)


def copied(generator):
    few = torch.randn(10, DIMENSIONS, generator=generator)
    return few[torch.randint(10, (IMAGES,), generator=generator)]


def mixed(generator):
    """A few look alike up to the last bits, in a gallery that is spread."""
    images = spread(generator)
    images[::16] = images[0] * (1 + 2.0**-22 * torch.randint(-3, 4, (IMAGES // 16, 1), generator=generator))
    return images


@pytest.mark.parametrize("path", ["plain", "large"])
@pytest.mark.parametrize("images", [spread, crowded, copied, mixed])
@pytest.mark.parametrize("elements", [300, 5_000, 10**7])
@pytest.mark.parametrize("odd", [0, 3])
@pytest.mark.parametrize("kept", [0, 10**7])
@pytest.mark.parametrize("top_first", [False, True])
def test_ranks_and_nearest_images_are_those_of_all_exact_costs(
    monkeypatch, path, images, elements, odd, kept, top_first
):
    take(monkeypatch, path)
    monkeypatch.setattr(ranking, "CHUNK_ELEMENTS", elements)
    monkeypatch.setattr(ranking, "KEPT_ELEMENTS", kept)
    generator = torch.Generator().manual_seed(elements)
    gallery = EmbeddedGallery(images(generator)[odd:])
    queries = gallery.embeddings[torch.randint(len(gallery), (BATCH,), generator=generator)] + 1e-4 * torch.randn(
        BATCH, DIMENSIONS, generator=generator
    )
    targets = torch.randint(len(gallery), (BATCH,), generator=generator)
    costs = exhaustive(queries, gallery)
    reference = costs.gather(1, targets[:, None])
    found = QueryRanking(queries, gallery)
    if top_first:
        assert torch.equal(found.top(2), costs.argsort(dim=1, stable=True)[:, :2])
    for _ in range(2):
        target_rank = found.target_rank(targets)
        assert torch.equal(target_rank.closer, (costs < reference).sum(dim=1))
        assert torch.equal(target_rank.equal, (costs == reference).sum(dim=1))
    order = costs.argsort(dim=1, stable=True)
    for count in (1, 4, 9, len(gallery)):
        assert torch.equal(found.top(count), order[:, :count])
    without = found.top(3, excluded=order[:, :2])
    assert torch.equal(without, order[:, 2:5])


def test_the_cheap_product_is_used_where_it_settles_the_matter_and_not_where_it_does_not(monkeypatch):
    take(monkeypatch, "large")
    generator = torch.Generator().manual_seed(0)
    whole = []
    original = QueryRanking.costs
    monkeypatch.setattr(QueryRanking, "costs", lambda self, *images: whole.append(1) or original(self, *images))
    for images, expected in ((spread, 0), (crowded, 2)):
        gallery = EmbeddedGallery(images(generator))
        found = QueryRanking(gallery.embeddings[:BATCH].flip(1), gallery)
        found.target_rank(torch.arange(BATCH))
        found.top(4)
        assert len(whole) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 200), st.integers(1, 5), st.booleans())
def test_both_paths_agree_on_galleries_with_ties(seed, batch, images, dimensions, keeps):
    generator = torch.Generator().manual_seed(seed)
    gallery = EmbeddedGallery(torch.randint(-2, 3, (images, dimensions), generator=generator) / 3)
    gallery.kept, gallery.elements = keeps * gallery.kept, 64 * batch
    queries = torch.randint(-2, 3, (batch, dimensions), generator=generator) / 3
    targets, excluded = torch.randint(images, (2, batch), generator=generator)
    excluded = torch.stack([excluded, torch.full_like(excluded, -1)], dim=1)
    answers = []
    for path in ("plain", "large"):
        with pytest.MonkeyPatch.context() as patch:
            take(patch, path)
            found = QueryRanking(queries, gallery)
            rank = found.target_rank(targets)
            tops = [found.top(count) for count in {1, min(4, images), images}]
            tops += [found.top(count, excluded) for count in range(1, min(4, images - 1))]
            answers.append([rank.closer, rank.equal, *tops])
    assert all(torch.equal(plain, large) for plain, large in zip(*answers, strict=True))


def test_a_gallery_is_large_by_its_size_and_few_dialogs_a_card_or_coarser_products_take_the_plain_path():
    def pays(batch: int, images: int, device: str = "meta") -> bool:
        return large_gallery.pays(batch, torch.empty(images, 64, device=device))

    assert [pays(10_000, images, "cpu") for images in (1_000, 2_048, 2_049)] == [False, False, True]
    assert [pays(batch, 4_096, "cpu") for batch in (1, 8, 9)] == [False, False, True]
    assert not pays(10_000, 100_000)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert not pays(10_000, 4_096, "cpu")
    finally:
        torch.set_float32_matmul_precision(before)


def test_products_of_lower_precision_are_not_trusted(monkeypatch):
    take(monkeypatch, "large")
    gallery = EmbeddedGallery(mixed(torch.Generator().manual_seed(1)))
    targets = torch.arange(BATCH) * 16
    reference = QueryRanking(gallery.embeddings[targets + 1], gallery).target_rank(targets)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        target_rank = QueryRanking(gallery.embeddings[targets + 1], gallery).target_rank(targets)
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(target_rank.closer, reference.closer)
    assert torch.equal(target_rank.equal, reference.equal)


@pytest.mark.parametrize("images", [64, 61])
def test_costs_below_a_reference_are_counted_and_those_near_it_listed(images):
    costs = torch.randint(-5, 6, (7, images), generator=torch.Generator().manual_seed(0)).float()
    costs[6] = 9
    reference, error = costs[:, :1].clone(), torch.tensor([[0.5], [1.0], [1.5], [0.0], [2.0], [0.5], [0.5]])
    below, rows, columns = compared(costs, reference, error)
    assert below.tolist() == (costs < reference - error).sum(dim=1).tolist()
    near = ((costs - reference).abs() <= error).nonzero().tolist()
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [tuple(place) for place in near]


@pytest.mark.parametrize("path", ["plain", "large"])
@pytest.mark.parametrize("size", [1e-14, 1e14])
def test_the_largest_and_smallest_features_are_ranked_exactly(monkeypatch, path, size):
    take(monkeypatch, path)
    images = torch.nn.functional.normalize(spread(torch.Generator().manual_seed(3))) * size
    gallery = EmbeddedGallery(images)
    expected = (images.double()[:20, None] - images.double()).square().sum(dim=2).argsort(dim=1)
    assert torch.equal(QueryRanking(images[:20], gallery).top(5), expected[:, :5])
    assert QueryRanking(images[:20], gallery).target_rank(torch.arange(20)).rank().tolist() == [0] * 20
