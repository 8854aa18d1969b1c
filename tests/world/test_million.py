"""A catalogue of a million images of 256 dimensions: mapped, not loaded, and ranked in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
IMAGES, DIMENSIONS, QUERIES = 1_000_000, 256, 128

MAKE_AND_RANK = """
import json, resource, sys, threading, time
from pathlib import Path
import h5py, numpy as np, torch
from dialog_env.catalog.catalog_file import FORMAT, TITLE, VERSION
from dialog_env.catalog import Catalog
from dialog_env.io.seals import SEAL_BYTES, seal
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking

IMAGES, DIMENSIONS, QUERIES = json.loads(sys.argv[2])
random = np.random.default_rng(0)
with h5py.File(sys.argv[1], "w", userblock_size=SEAL_BYTES) as file:
    file.attrs.update(format=FORMAT, version=VERSION, name="million", fingerprint="million", provenance="{}")
    file["ids"] = np.arange(IMAGES).astype("S7").astype(h5py.string_dtype(length=7))
    features = file.create_dataset("features", (IMAGES, DIMENSIONS), np.float32)
    for start in range(0, IMAGES, 50_000):
        features[start : start + 50_000] = random.standard_normal((50_000, DIMENSIONS), dtype=np.float32)
seal(Path(sys.argv[1]), TITLE)

def own_memory():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024

torch.zeros(512, 512) @ torch.zeros(512, 512)
before, peak, done = own_memory(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.005):
        peak = max(peak, own_memory())

watcher = threading.Thread(target=watch, daemon=True)
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
