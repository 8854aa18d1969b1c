"""A gallery in parts ranks as the whole does, and a part that is lost ends the others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dialog_env import agents
from dialog_env.agents.sharded import Sharded
from dialog_env.catalog import Catalog
from dialog_env.evaluate import protocol
from dialog_env.world import sharded
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from dialog_env.world.sharded import ShardedGallery, ShardedRanking, Shards, shards_of
from dialog_env.world.state import Observation
from tests.conftest import REPOSITORY, tiny_contents
from tests.damage import refusal
from tests.toys import ToyUser

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
PROGRAM = "tests.world.sharded_programs"
WITHIN = 30


def together(*arguments: str) -> list[dict[str, int]]:
    """What two processes print."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", PROGRAM]
    done = subprocess.run([*torchrun, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda facts: facts["process"])


@pytest.mark.slow
def test_two_processes_rank_100_000_images_as_one_does() -> None:
    first, second = together("rank")
    assert (first["images"], second["images"]) == (50_000, 50_001)
    assert first["level"] == second["level"] > 0


@pytest.mark.slow
def test_parts_may_have_fewer_images_than_are_asked_for() -> None:
    assert [facts["process"] for facts in together("small")] == [0, 1]


@pytest.mark.slow
def test_the_protocol_gives_every_process_the_record_of_the_whole_gallery(tiny_file: Path) -> None:
    assert [facts["process"] for facts in together("evaluate", str(tiny_file))] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_the_other_with_a_sentence(killed: int, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", PROGRAM, "forever", str(tmp_path)],
            env={**ENVIRONMENT, **place, "RANK": str(number)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    try:
        begun = time.monotonic()
        while len(list(tmp_path.iterdir())) < 2:
            assert time.monotonic() < begun + 600
            time.sleep(0.1)
        time.sleep(0.5)
        processes[killed].kill()
        left = processes[1 - killed]
        _, said = left.communicate(timeout=WITHIN)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert left.returncode == 1
    last = said.strip().splitlines()[-1]
    assert last.startswith(
        f"error: a process that holds another part of the gallery no longer answers process {1 - killed} of 2 ("
    )
    assert last.endswith("); start all of them again")
    assert "Traceback" not in said


def test_parts_follow_each_other_and_differ_by_one_image_at_most() -> None:
    for images, count in ((5, 2), (7, 7), (100, 3)):
        shards = [Shards(images, number, count, torch.device("cpu")) for number in range(count)]
        assert [each.start for each in shards] == [0, *(each.stop for each in shards[:-1])]
        assert shards[-1].stop == images
        sizes = {each.stop - each.start for each in shards}
        assert max(sizes) - min(sizes) <= 1


def test_what_does_not_fit_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tiny_catalog: Catalog) -> None:
    half = Shards(24, 0, 2, torch.device("cpu"))
    assert refusal(ShardedGallery, torch.zeros(5, 3), half).startswith("process 0 of 2 has 5 embeddings; give those")
    monkeypatch.setenv("WORLD_SIZE", "25")
    with pytest.raises(ValueError, match="processes is 25; give a whole number from 1 to 24"), shards_of(24):
        pass
    user = ToyUser(tiny_catalog)
    plain = agents.create("greedy", gallery=tiny_catalog, vocabulary=user.vocabulary)
    monkeypatch.setattr(sharded.Shards, "total", lambda _, part: part)
    monkeypatch.setattr(sharded.Shards, "sent", lambda _, part, number: part)
    said = refusal(lambda: protocol.run(plain, tiny_catalog, user, seed=0, shards=half))
    assert "a ranking of type QueryRanking is not one of a gallery in parts; wrap the agent in" in said
    belief = agents.create("belief", gallery=Catalog(tiny_contents()), vocabulary=user.vocabulary)
    looking = Sharded(belief, half)
    looking.bind(tiny_catalog.part(0, 12))
    observation = Observation(
        torch.zeros(2, dtype=torch.int64), torch.zeros(2, 8), torch.ones(2, 16, dtype=torch.int64), torch.zeros(2)
    )
    said = refusal(lambda: looking.rank(observation, looking.begin(2)))
    assert said.startswith("agent belief looks up the image shown by its position")
    random = Sharded(agents.create("random", gallery=tiny_catalog, vocabulary=user.vocabulary), half)
    random.bind(tiny_catalog.part(0, 12))
    assert "gives a ScoreRanking, and only queries can be asked" in refusal(
        lambda: random.rank(observation, random.begin(2))
    )


def test_without_others_the_part_is_the_whole(monkeypatch: pytest.MonkeyPatch, tiny_catalog: Catalog) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    embeddings = torch.from_numpy(tiny_catalog.features)
    whole = QueryRanking(embeddings[:3] + 0.1, EmbeddedGallery(embeddings))
    with shards_of(24) as shards:
        assert (shards.start, shards.stop) == (0, 24)
        found = ShardedRanking(embeddings[:3] + 0.1, ShardedGallery(embeddings, shards))
        assert torch.equal(found.top(5), whole.top(5))
        targets = torch.tensor([5, 6, 7])
        assert torch.equal(found.target_rank(targets).closer, whole.target_rank(targets).closer)


def test_a_part_of_a_catalogue_holds_its_images_alone(tiny_catalog: Catalog) -> None:
    part = tiny_catalog.split("test").part(1, 4)
    whole = tiny_catalog.split("test")
    assert list(part.ids) == list(whole.ids[1:4])
    assert torch.equal(torch.from_numpy(part.features), torch.from_numpy(whole.features[1:4]))
    assert len(part.attributes or ()) == 3
    one = QueryRanking(torch.zeros(1, 8), EmbeddedGallery(torch.from_numpy(part.features)))
    assert one.images == 3
