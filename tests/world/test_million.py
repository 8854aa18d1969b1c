"""A catalogue of a million images of 256 dimensions: mapped, not loaded, and ranked in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dialog_env.world.faiss_index import FaissIndex
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking

MIB = 1 << 20
IMAGES, DIMENSIONS, QUERIES = 1_000_000, 256, 128

MAKE_AND_RANK = """
import json, resource, sys, threading, time
from pathlib import Path
import h5py, numpy as np, torch
from dialog_env.catalog.catalog import FORMAT, VERSION
from dialog_env.catalog import Catalog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking

IMAGES, DIMENSIONS, QUERIES = json.loads(sys.argv[2])
random = np.random.default_rng(0)
with h5py.File(sys.argv[1], "w") as file:
    file.attrs.update(format=FORMAT, version=VERSION, name="million", fingerprint="million", provenance="{}")
    file.create_dataset("ids", data=[str(image) for image in range(IMAGES)], dtype=h5py.string_dtype())
    features = file.create_dataset("features", (IMAGES, DIMENSIONS), np.float32)
    for start in range(0, IMAGES, 50_000):
        features[start : start + 50_000] = random.standard_normal((50_000, DIMENSIONS), dtype=np.float32)

def own_memory():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024

torch.zeros(512, 512) @ torch.zeros(512, 512)
before, peak, done = own_memory(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.005):
        peak = max(peak, own_memory())

watcher = threading.Thread(target=watch)
watcher.start()
catalog = Catalog.open(sys.argv[1])
kind = type(catalog.features).__name__
opened = own_memory()
gallery = EmbeddedGallery(torch.from_numpy(catalog.features))
targets = torch.arange(QUERIES) * (IMAGES // QUERIES)
queries = gallery.embeddings[targets] * 0.999
ranking = QueryRanking(queries, gallery)
closer = ranking.target_rank(targets).closer.tolist()
nearest = ranking.top(4)[:, 0].tolist()
done.set()
watcher.join()
print(json.dumps({"kind": kind, "opened": opened - before, "extra": peak - opened, "closer": closer,
                  "found": nearest == targets.tolist()}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the memory of a process")
def test_a_million_images_are_mapped_and_ranked_in_less_than_a_gibibyte(tmp_path):
    sizes = json.dumps([IMAGES, DIMENSIONS, QUERIES])
    command = [sys.executable, "-c", MAKE_AND_RANK, str(tmp_path / "million.h5"), sizes]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    features = 4 * IMAGES * DIMENSIONS
    assert facts["kind"] == "memmap"
    assert facts["opened"] < features / 4
    assert facts["extra"] < 1024 * MIB
    assert facts["closer"] == [0] * QUERIES
    assert facts["found"]


class Proposing:
    """An index whose proposals a test decides."""

    def __init__(self, positions):
        self.positions = positions

    def search(self, queries, count):
        return self.positions[: len(queries), :count]


@pytest.fixture
def embeddings():
    return torch.randn(400, 16, generator=torch.Generator().manual_seed(0))


def test_the_nearest_are_sought_among_what_an_index_proposes_and_ranks_among_all(embeddings):
    queries, targets = embeddings[:3] + 0.01, torch.tensor([5, 6, 7])
    exact = QueryRanking(queries, EmbeddedGallery(embeddings))
    order = exact.top(400)
    proposed = order[:, 1:33]
    indexed = QueryRanking(queries, EmbeddedGallery(embeddings, Proposing(proposed)))
    assert torch.equal(indexed.top(4), order[:, 1:5])
    assert torch.equal(indexed.top(2, excluded=order[:, 1:3]), order[:, 3:5])
    assert torch.equal(indexed.target_rank(targets).closer, exact.target_rank(targets).closer)


def test_where_an_index_proposes_too_few_all_images_are_looked_at(embeddings):
    queries = embeddings[:3] + 0.01
    order = QueryRanking(queries, EmbeddedGallery(embeddings)).top(4)
    few = torch.full((3, 32), -1)
    few[:, 0] = order[:, 0]
    assert torch.equal(QueryRanking(queries, EmbeddedGallery(embeddings, Proposing(few))).top(4), order)


def test_without_faiss_the_message_says_what_to_install(embeddings, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        FaissIndex(embeddings)


def test_faiss_finds_nearly_all_and_ranks_stay_exact():
    pytest.importorskip("faiss", reason="faiss is not installed; pip install faiss-cpu")
    generator = torch.Generator().manual_seed(1)
    middles = torch.randn(60, 32, generator=generator)
    embeddings = middles[torch.randint(60, (20_000,), generator=generator)]
    embeddings = embeddings + 0.3 * torch.randn(20_000, 32, generator=generator)
    targets = torch.arange(50)
    queries = embeddings[targets] + 0.05
    exact = QueryRanking(queries, EmbeddedGallery(embeddings))
    indexed = QueryRanking(queries, EmbeddedGallery(embeddings, FaissIndex(embeddings, probes=16)))
    assert (indexed.top(1) == exact.top(1)).float().mean() > 0.9
    shared = (indexed.top(4)[:, :, None] == exact.top(4)[:, None]).any(dim=2)
    assert shared.float().mean() > 0.9
    assert torch.equal(indexed.target_rank(targets).closer, exact.target_rank(targets).closer)
    assert torch.equal(indexed.target_rank(targets).equal, exact.target_rank(targets).equal)


def test_an_index_that_cannot_be_is_refused(embeddings):
    with pytest.raises(ValueError, match="cells is 500 and probes is 32 for 400 images"):
        FaissIndex(embeddings, cells=500)
    with pytest.raises(ValueError, match="on meta"):
        FaissIndex(embeddings.to("meta"))
