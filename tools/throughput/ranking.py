"""Queries a second over ten thousand to a million images."""

from __future__ import annotations

from functools import partial

import torch

from dialog_env.world import large_gallery
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from tools.throughput.clock import PeakMemory, fastest, fastest_in_turn
from tools.throughput.rows import Figure, Findings, Row
from tools.throughput.workload import GIB, Workload, literal

NEAREST = 4


def measure(load: Workload, device: str) -> Findings:
    """Rank, nearest and 4 nearest of a batch of queries, over every size of gallery."""
    generator = torch.Generator().manual_seed(load.seed)
    rows, memory, seconds, products = [], {}, {}, {}
    figures = []
    for images in load.galleries:
        embeddings = torch.randn(images, load.dimensions, generator=generator)
        targets = torch.randint(images, (load.batch,), generator=generator)
        queries = embeddings[targets] + torch.randn(load.batch, load.dimensions, generator=generator)
        embeddings, targets, queries = (part.to(device) for part in (embeddings, targets, queries))
        gallery = EmbeddedGallery(embeddings)

        def ours(
            gallery: EmbeddedGallery = gallery, queries: torch.Tensor = queries, targets: torch.Tensor = targets
        ) -> None:
            ranking = QueryRanking(queries, gallery)
            ranking.target_rank(targets)
            ranking.top(1)
            ranking.top(NEAREST)

        with PeakMemory(device) as used:
            ours()
        seconds[images] = fastest(ours, load.repeats, device, load.patience)
        products[images] = fastest(partial(_multiply, queries, gallery), load.repeats, device, load.patience / 2)
        memory[f"ranking {load.batch} queries over {images:,} images, extra"] = max(0, used.peak - used.before)
        rate = load.batch / seconds[images]
        rows.append(Row("ranking: rank, nearest, 4 nearest", images, seconds[images], rate, "queries/s"))
        if images == load.galleries[0]:
            loop = partial(literal("ranking").literal_ranking, queries, embeddings, targets, NEAREST)
            beside, slow = fastest_in_turn([ours, loop], load.repeats, device, 2 * load.patience)
            rows.append(Row("the same by a loop over queries", images, slow, load.batch / slow, "queries/s"))
            figures.append(_against_loop(load, slow / beside, images))
    figures.append(_growth(load, seconds, products))
    extra = memory[f"ranking {load.batch} queries over {load.galleries[-1]:,} images, extra"]
    figures.append(
        Figure(
            f"extra memory of ranking {load.batch} queries over {load.galleries[-1]:,} images",
            "below 1 GiB",
            f"{extra / GIB:.2f} GiB",
            extra < GIB,
        )
    )
    return Findings(rows, figures, {}, memory)


def _against_loop(load: Workload, ratio: float, images: int) -> Figure:
    work = f"ranking (rank, nearest, 4 nearest) of {load.batch} queries over {images:,} images against a loop"
    return Figure(work, "10x", f"{ratio:.1f}x", ratio >= 10)


def _multiply(queries: torch.Tensor, gallery: EmbeddedGallery) -> None:
    """The matrix products of a ranking, piece by piece, and nothing that is done with them."""
    ranking = QueryRanking(queries, gallery)
    if large_gallery.pays(len(queries), gallery.embeddings):
        for piece in gallery.embeddings.split(gallery.rows):
            torch.mm(queries, piece.T)
    else:
        for _ in ranking.pieces():
            pass


def _growth(load: Workload, seconds: dict[int, float], products: dict[int, float]) -> Figure:
    small, large = load.galleries[0], load.galleries[-1]
    cost, size = seconds[large] / seconds[small], large / small
    work = f"growth of the ranking cost from {small:,} to {large:,} images"
    parts = [
        f"{1e9 * products[images] / images:.0f} ns for the matrix product and "
        f"{1e9 * (seconds[images] - products[images]) / images:.0f} ns for all comparisons with {images:,} images"
        for images in (small, large)
    ]
    bytes_read = 4 * load.dimensions * large / GIB
    why = (
        f"an image costs {parts[0]}, which stay in the cache, and {parts[1]}, whose {bytes_read:.2f} GiB are read "
        "from memory and whose costs are made in pieces"
    )
    measured = f"{cost:.0f} times the cost for {size:.0f} times the images"
    return Figure(work, "linear or better", measured, cost <= size, "" if cost <= size else why)
