"""Programs that several processes run together on parts of a gallery; `test_sharded.py` starts them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from dialog_env import agents
from dialog_env.agents.baselines.unseen import Unseen
from dialog_env.agents.sharded import Sharded
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.io.commands import run_command
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from dialog_env.world.sharded import ShardedGallery, ShardedRanking, shards_of
from tests.toys import ToyUser

IMAGES, DIMENSIONS, DIALOGS = 100_001, 32, 24


def images() -> torch.Tensor:
    """Many alike, and many more that are alike up to the last bits."""
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(IMAGES // 4, DIMENSIONS, generator=generator)
    made = few[torch.randint(len(few), (IMAGES,), generator=generator)]
    made[::16] = made[0] * (1 + 2.0**-22 * torch.randint(-3, 4, (len(made[::16]), 1), generator=generator))
    return made


def rank() -> None:
    """Ranks of 10^5 images in parts, against those in one process."""
    embeddings = images()
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(IMAGES, (DIALOGS,), generator=generator)
    targets[:3] = torch.tensor([0, IMAGES // 2, IMAGES - 1])
    queries = embeddings[targets] + 1e-3 * torch.randn(DIALOGS, DIMENSIONS, generator=generator)
    whole = QueryRanking(queries, EmbeddedGallery(embeddings))
    with shards_of(IMAGES) as shards:
        own = embeddings[shards.start : shards.stop]
        assert 0 < len(own) < IMAGES
        found = ShardedRanking(queries if shards.number == 0 else queries + 1, ShardedGallery(own, shards))
        one, other = whole.target_rank(targets), found.target_rank(targets)
        assert torch.equal(one.closer, other.closer)
        assert torch.equal(one.equal, other.equal)
        assert one.images == other.images
        for count in (1, 10, 1000):
            assert torch.equal(whole.top(count), found.top(count)), count
        shown = whole.top(5)[:, ::2]
        assert torch.equal(whole.top(7, shown), found.top(7, shown))
        costs = torch.cat([piece for _, piece in found.pieces()], dim=1)
        assert torch.equal(costs, torch.cat([piece for _, piece in whole.pieces()], dim=1))
        level = int((one.equal > 1).sum())
    print(json.dumps({"process": shards.number, "images": len(own), "level": level}) + "\n", end="", flush=True)


def small() -> None:
    """Fewer images in a part than are asked for, and all of a part excluded."""
    embeddings = images()[:5]
    queries = embeddings[[0, 4]] + 0.1
    whole = QueryRanking(queries, EmbeddedGallery(embeddings))
    with shards_of(5) as shards:
        found = ShardedRanking(queries, ShardedGallery(embeddings[shards.start : shards.stop], shards))
        for count in range(1, 6):
            assert torch.equal(whole.top(count), found.top(count))
        excluded = torch.tensor([[0, 1, -1], [3, 4, 2]])
        assert torch.equal(whole.top(2, excluded), found.top(2, excluded))
    print(json.dumps({"process": shards.number}) + "\n", end="", flush=True)


def evaluate() -> None:
    """The protocol on a gallery in parts, against the same on the whole."""
    gallery = Catalog.open(sys.argv[2]).split("all")
    user = ToyUser(gallery)
    with shards_of(len(gallery)) as shards:
        for name in ("supervised", "greedy"):
            agent = agents.create(name, gallery=gallery, vocabulary=user.vocabulary)
            one = protocol.run(Unseen(agent), gallery, user, seed=3, turns=3, batch=7)
            inner = agents.create(name, gallery=gallery, vocabulary=user.vocabulary)
            other = protocol.run(Unseen(Sharded(inner, shards)), gallery, user, seed=3, turns=3, batch=7, shards=shards)
            for part in ("target", "shown", "closer", "equal"):
                assert (getattr(one, part) == getattr(other, part)).all(), (name, part)
            assert one.images == other.images
    print(json.dumps({"process": shards.number}) + "\n", end="", flush=True)


def forever() -> None:
    """Ranks until somebody ends it."""
    embeddings = images()[:1000]
    with shards_of(len(embeddings)) as shards:
        gallery = ShardedGallery(embeddings[shards.start : shards.stop], shards)
        Path(sys.argv[2], str(shards.number)).touch()
        while True:
            ShardedRanking(embeddings[:8], gallery).target_rank(torch.arange(8))


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_command({program.__name__: program for program in (rank, small, evaluate, forever)}[sys.argv[1]])
