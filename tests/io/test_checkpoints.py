"""Files of tensors with facts: whole, damaged, of before there was a digest, and ones that start nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from dialog_env import agents
from dialog_env.agents.base import AGENT_FILE
from dialog_env.catalog import Catalog
from dialog_env.io import checkpoint
from dialog_env.simulators.captioner import Sizes, load_captioner, make_captioner, save_captioner
from dialog_env.world.vocabulary import Vocabulary
from tests.damage import damaged, flipped, refusal
from tests.toys import ToyUser

WORDS = Vocabulary((*"abcdefgh", "UNK"))
TENSORS = {
    "weights.single": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "weights.half": torch.ones(3, dtype=torch.bfloat16),
    "weights.empty": torch.zeros(0, 4),
    "step": torch.tensor(7),
    "flags": torch.tensor([True, False]),
}
FACTS: dict[str, Any] = {"agent": "somebody", "best": None, "history": [{"loss": 0.1}], "words": ["né"]}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "a", TENSORS, FACTS)
    saved = checkpoint.read(tmp_path / "a")
    assert saved.facts == FACTS
    assert saved.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(saved.tensors[name], tensor)
        assert saved.tensors[name].dtype == tensor.dtype
    assert saved.below("weights").keys() == {"single", "half", "empty"}


def test_tensors_that_share_memory_are_kept_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    tensors = {"whole": whole, "again": whole, "part": whole[2:4], "turned": whole.reshape(2, 3).T}
    checkpoint.write(tmp_path / "a", tensors, {})
    assert same(checkpoint.read(tmp_path / "a").tensors, tensors)


def test_what_was_learned_takes_no_place_of_a_method(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / AGENT_FILE, {"learned.rank": torch.ones(1)}, {"agent": "greedy"})
    assert refusal(agents.load, tmp_path).startswith(f"{tmp_path / AGENT_FILE} is no agent greedy ('rank' is no tensor")


def test_files_of_before_there_was_a_digest_are_read(tmp_path: Path) -> None:
    header = {"format": checkpoint.FORMAT, "version": "1", "facts": json.dumps(FACTS)}
    save_file(TENSORS, tmp_path / "old", metadata=header)
    saved = checkpoint.read(tmp_path / "old")
    assert saved.facts == FACTS
    assert torch.equal(saved.tensors["weights.single"], TENSORS["weights.single"])
    save_file(TENSORS, tmp_path / "other", metadata={**header, "version": "two\nlines"})
    with pytest.raises(ValueError, match=r"has thing version 'two.*lines', this release reads 2"):
        checkpoint.read(tmp_path / "other", "thing", "make one")
    save_file(TENSORS, tmp_path / "new", metadata={**header, "version": "2"})
    with pytest.raises(ValueError, match="new is a damaged checkpoint"):
        checkpoint.read(tmp_path / "new")


def test_captioners_of_before_they_were_checkpoints_are_read(tmp_path: Path) -> None:
    network = make_captioner("fc", Sizes(9, 4, hidden=4, embedding=4, attention=4), torch.Generator().manual_seed(0))
    save_captioner(tmp_path / "new", network, WORDS, {"seed": 1})
    saved = checkpoint.read(tmp_path / "new")
    save_file(saved.tensors, tmp_path / "old", metadata={"captioner": json.dumps(saved.facts)})
    old, new = (load_captioner(tmp_path / name) for name in ("old", "new"))
    assert (old.fingerprint, old.provenance, old.vocabulary) == (new.fingerprint, new.provenance, new.vocabulary)


Kind = tuple[Path, Callable[[], Any], Callable[[Any], Any]]


@pytest.fixture(params=["checkpoint", "agent", "captioner"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, make_tiny: Callable[..., Any]) -> Kind:
    """A whole file, what reads it, and what must be the same where it is read."""
    if request.param == "checkpoint":
        checkpoint.write(tmp_path / "a", TENSORS, FACTS)
        return tmp_path / "a", lambda: checkpoint.read(tmp_path / "a"), lambda saved: (saved.facts, saved.tensors)
    if request.param == "agent":
        gallery = Catalog(make_tiny())
        agents.create("supervised", gallery=gallery, vocabulary=ToyUser(gallery).vocabulary).save(tmp_path)
        return (
            tmp_path / AGENT_FILE,
            lambda: agents.load(tmp_path),
            lambda agent: (agent.facts(), agent.network.state_dict()),
        )
    network = make_captioner("fc", Sizes(9, 4, hidden=4, embedding=4, attention=4), torch.Generator().manual_seed(0))
    save_captioner(tmp_path / "a", network, WORDS, {"seed": 1})
    return tmp_path / "a", lambda: load_captioner(tmp_path / "a"), lambda found: (found.fingerprint, found.provenance)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


@pytest.mark.parametrize("spoil", [flipped, damaged])
def test_damage_is_refused_in_one_sentence_that_names_the_file(kind: Kind, spoil: Any) -> None:
    path, read, content = kind
    whole, expected = path.read_bytes(), content(read())
    refused = 0
    for spoiled in spoil(whole, seed=3, count=60):
        path.write_bytes(spoiled)
        sentence = refusal(read)
        if sentence:
            refused += 1
            assert str(path) in sentence
            assert "\n" not in sentence
        else:
            assert same(content(read()), expected)
    assert refused >= 58


def test_other_kinds_of_file_are_refused(kind: Kind) -> None:
    path, read, _ = kind
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        read()
    deep = "[" * 5000 + "]" * 5000
    contents = [b"", b"{}", b"\x89HDF\r\n\x1a\n", whole[:8], b"\xff" * 64, (2**40).to_bytes(8, "little") + whole]
    contents += [
        save(TENSORS, {"format": checkpoint.FORMAT, "version": "1", "facts": facts}) for facts in ("", "{", "[]", deep)
    ]
    for content in contents:
        path.write_bytes(content)
        assert str(path) in refusal(read), content[:100]
    path.unlink()
    os.mkfifo(path)
    assert "is a pipe" in refusal(read)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("agent", "greedy"),
        ("agent", None),
        ("settings", []),
        ("settings", {"epochs": "many"}),
        ("settings", {"epochs": True}),
        ("settings", {"other": 1}),
        ("settings", {"epochs": -1}),
        ("seed", "zero"),
        ("dimensions", 10**15),
        ("dimensions", -1),
        ("dimensions", 9),
        ("vocabulary", []),
        ("vocabulary", [1, 2]),
        ("vocabulary", "UNK"),
        ("vocabulary", None),
        ("fusion", 3),
        ("fusion", None),
        ("trained", 3),
    ],
)
def test_facts_of_another_form_are_refused(tmp_path: Path, make_tiny: Callable[..., Any], key: str, value: Any) -> None:
    gallery = Catalog(make_tiny())
    agents.create("supervised", gallery=gallery, vocabulary=ToyUser(gallery).vocabulary).save(tmp_path)
    path = tmp_path / AGENT_FILE
    saved = checkpoint.read(path)
    for facts in ({**saved.facts, key: value}, {name: fact for name, fact in saved.facts.items() if name != key}):
        checkpoint.write(path, saved.tensors, facts)
        assert refusal(agents.load, tmp_path).startswith(str(path)), facts.get(key)


def test_a_file_starts_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evilmod.py").write_text(f"open({str(tmp_path / 'started')!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("evilmod.Evil", "evilmod:Evil", "tests.agents.test_agents.Mean"):
        checkpoint.write(tmp_path / AGENT_FILE, {}, {"agent": name, "settings": {"inner": name}})
        with pytest.raises(ValueError, match=r"which is not one of .*dialog_env\.agents\.load"):
            agents.load(tmp_path)
    checkpoint.write(tmp_path / AGENT_FILE, {}, {"agent": "unseen", "settings": {"inner": "evilmod.Evil"}})
    checkpoint.write(tmp_path / "inner" / AGENT_FILE, {}, {"agent": "evilmod.Evil"})
    with pytest.raises(ValueError, match="which is not one of"):
        agents.load(tmp_path)
    assert "evilmod" not in sys.modules
    assert not (tmp_path / "started").exists()
