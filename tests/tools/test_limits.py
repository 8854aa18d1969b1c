"""What is measured beside the limits of the machine is what it says, and comes out whole."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from tests.catalog.encoders import write_backbone
from tools.throughput import SMALL, limits
from tools.throughput.limits import Machine
from tools.throughput.workload import Material, literal

TINY = replace(SMALL, images=20, words=8, galleries=(80, 300), repeats=1, batch=4, many_dialogs=8)


@pytest.fixture
def machine():
    return Machine(16, 1)


def test_shares_are_of_what_was_measured_in_the_same_run(machine):
    machine.products, machine.copied = 100.0, 10.0
    assert machine.of_peak(50, 2) == "0.25 of the peak of products"
    assert machine.of_copy(5, 1) == "0.50 of the rate of a copy"


def test_every_question_of_a_ranking_has_a_row(machine):
    lines = limits.rankings(TINY, machine)
    assert [line.work.split(" of ")[0] for line in lines[:3]] == ["rank", "nearest", "4 nearest"]
    assert lines[3].work == "rank among 20 images against 24"


def test_the_loop_finds_what_the_ranking_finds():
    queries, targets, gallery = limits._queries(TINY, 80)
    ranking = limits.QueryRanking(queries, gallery)
    found = [torch.stack(limits._loop(queries, targets, gallery.embeddings, name)) for name in limits.QUESTIONS]
    assert torch.equal(found[0], ranking.target_rank(targets).closer)
    assert torch.equal(found[1], ranking.top(1)[:, 0])
    assert torch.equal(found[2], ranking.top(4))


def test_sentences_get_about_as_long_as_they_are_asked_to_be():
    material = Material(replace(TINY, images=40), "cpu")
    regions = torch.from_numpy(material.gallery.read_regions())
    pooled = torch.from_numpy(material.gallery.features)
    pairs = [torch.cat([part[:16], part[:16] - part[16:32]], dim=-1) for part in (pooled, regions)]
    for words in (1, 16):
        weights = limits._talkative(material.weights, pairs, words)
        said = literal("captioner").LiteralCaptioner(weights, "show_attend_tell").greedy(*pairs)
        assert float((said != 0).sum(dim=1).float().mean()) == pytest.approx(words, abs=2)


def test_every_engine_that_is_there_has_a_row_of_features(tmp_path):
    pytest.importorskip("transformers", reason="extraction needs the extra `images`")
    lines = limits.extraction(TINY, write_backbone(tmp_path / "small", "convolution"))
    assert lines[0].work.startswith("features of 32 pictures (small), engine torch, against the network as it is")
    assert len(lines) == 1 + bool(find_spec("openvino"))
    assert all(float(line.measured.split(", ")[2].removesuffix(" apart")) < 1e-4 for line in lines)


def test_an_evaluation_of_a_large_gallery_says_its_time_and_memory():
    evaluation, opening = limits.million(TINY)
    assert evaluation.work == "evaluation of 300 dialogs over 300 images"
    assert evaluation.measured.endswith("GiB beside the mapped file")
    assert opening.measured.endswith(" s")
