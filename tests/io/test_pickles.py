"""Pickles and PyTorch files of unknown origin: their data is read, and nothing else happens."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dialog_env.io.pickles import MOST_PARTS, Opaque, read_pickled_data, read_state_dict
from tests.damage import damaged, flipped, refusal


def known(module: str, name: str) -> bool:
    return (module, name) in {("collections", "OrderedDict"), ("tests.io.test_pickles", "Plain")}


def read(path: Path) -> Any:
    return read_pickled_data(path, known, "data", "give another")


class Plain:
    def __init__(self) -> None:
        self.colour = "red"


def doubling(levels: int, container: str, end: bytes = b".") -> bytes:
    """A pickle whose value holds 2^levels parts, each level being the one before twice."""
    begin, fill = {"tuple": (b"(", b"t"), "list": (b"(", b"l"), "bare": (b"", b"\x86")}[container]
    content = b"\x80\x02)q\x00"
    for level in range(levels):
        twice = b"h" + bytes([level]) + b"h" + bytes([level])
        content += begin + twice + fill + b"q" + bytes([level + 1])
    return content + end


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_is_read(tmp_path: Path, protocol: int) -> None:
    shared = (1, "a")
    data = {"numbers": [1, -2, 10**30, 0.5, True, None], "né": ((), [shared, shared, {}]), shared: 5}
    (tmp_path / "a").write_bytes(pickle.dumps(data, protocol))
    assert read(tmp_path / "a") == data


def test_objects_become_what_the_pickle_says_of_them(tmp_path: Path) -> None:
    for protocol in (2, 4):
        (tmp_path / "a").write_bytes(pickle.dumps([Plain(), OrderedDict()], protocol))
        first, second = read(tmp_path / "a")
        assert isinstance(first, Opaque)
        assert (first.name, first.state) == (("tests.io.test_pickles", "Plain"), {"colour": "red"})
        assert second.name == ("collections", "OrderedDict")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"cos\nsystem\n(S'touch here'\ntR.", "refers to os.system, do not trust it"),
        (b"(S'touch here'\nios\nsystem\n.", "refers to os.system, do not trust it"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01a\x85R.", "refers to os.system, do not trust it"),
        (b"\x80\x04\x8c\x02os\x8c\x04path\x93.", "refers to os.path"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (b"\x80\x04(K\x01\x91.", "instruction FROZENSET"),
        (b"N\x82.", "EXT1|code"),
        (b"NP7\n.", "persistent"),
        (b"Nr\xff\xff\xff\xff.", "under number 4294967295"),
        (b"(q\x00.", "notes nothing"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "expected"),
        (b"h\x05.", "lacks 5"),
        (b"", "pickle exhausted"),
        (b"N", "pickle exhausted"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{tmp_path / 'a'} is no data \(.*({problem}).*\); give another$"):
        read(tmp_path / "a")


BOMBS = {
    "tuples": doubling(40, "tuple"),
    "pairs": doubling(40, "bare"),
    "lists": doubling(40, "list"),
    "lists that are filled last": b"".join(
        [b"\x80\x02", *(b"]q" + bytes([level]) for level in range(41))]
        + [b"h" + bytes([n]) + b"(" + (b"h" + bytes([n + 1])) * 2 + b"e" for n in range(40)]
        + [b"h\x00."]
    ),
    "a key": b"\x80\x02}" + doubling(40, "tuple", b"K\x01s.")[2:],
    "a key that was built": b"\x80\x02}" + doubling(40, "bare", b"NbK\x01s.")[2:],
    "a key that was appended to": b"\x80\x02}" + doubling(40, "bare", b"(eK\x01s.")[2:],
    "copies": b"\x80\x02)" + b"2\x86" * 40 + b".",
    "depth": b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"K\x01s.",
    "itself": b"\x80\x02]q\x00h\x00a.",
    "many": b"\x80\x02(" + b"K\x01" * (MOST_PARTS + 1) + b"l.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_few_bytes_that_unfold_to_much_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(BOMBS[name])
    assert "it unfolds to more than 2,000,000 parts, do not trust it" in refusal(read, tmp_path / "a")


def test_damaged_pickles_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    data = {"opt": Plain(), "vocab": {str(number): f"word {number}" for number in range(30)}, "best": [0.5, (1, 2)]}
    for protocol in (0, 2, 4):
        for content in damaged(pickle.dumps(data, protocol), seed=protocol, count=300):
            (tmp_path / "a").write_bytes(content)
            sentence = refusal(read, tmp_path / "a")
            assert not sentence or (str(tmp_path / "a") in sentence and "\n" not in sentence)


def saved(value: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    torch.save(value, content, **options)
    return content.getvalue()


def tensors_in(content: bytes) -> dict[str, torch.Tensor]:
    return read_state_dict(content, "a.pth", "state dict", "give another")


WEIGHTS = OrderedDict(
    first=torch.arange(12.0).reshape(3, 4).T, half=torch.ones(2, dtype=torch.float16), count=torch.tensor(3)
)
CONTENTS = {"zip": saved(WEIGHTS), "legacy": saved(WEIGHTS, _use_new_zipfile_serialization=False)}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_named_tensors_are_read_from_both_formats(content: bytes) -> None:
    found = tensors_in(content)
    assert found.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def test_parameters_and_bfloat16_are_tensors_as_well() -> None:
    weights = {"a": torch.nn.Parameter(torch.ones(2)), "b": torch.ones(2, dtype=torch.bfloat16)}
    assert torch.equal(tensors_in(saved(weights))["a"], torch.ones(2))
    assert tensors_in(saved(weights))["b"].dtype == torch.bfloat16


class Trap:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = (call, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_files_that_name_anything_else_are_refused_and_nothing_is_called(tmp_path: Path) -> None:
    for zipped in (True, False):
        for value in (
            {"a": Trap(Path.touch, tmp_path / "sprung")},
            {"a": Trap(bytearray, 10**11)},
            {"a": Trap(set, [1])},
            {"a": torch.ones(3).to_sparse()},
            {"a": np.ones(3)},
        ):
            content = saved(value, _use_new_zipfile_serialization=zipped)
            assert "do not trust it" in refusal(tensors_in, content)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "value",
    [
        5,
        [torch.ones(2)],
        {"a": 5},
        {5: torch.ones(2)},
        {"a": {"b": torch.ones(2)}},
        {"a": torch.ones(1).expand(10**12)},
    ],
)
def test_files_that_hold_anything_else_are_refused(value: Any) -> None:
    for zipped in (True, False):
        assert refusal(tensors_in, saved(value, _use_new_zipfile_serialization=zipped)).startswith("a.pth is ")


def rezipped(content: bytes, compression: int = zipfile.ZIP_STORED, **parts: bytes) -> bytes:
    """A PyTorch file with parts exchanged or, where they are new, added."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", compression) as new:
        for part in old.infolist():
            name = part.filename.partition("/")[2]
            new.writestr(part.filename, parts.pop(name, None) or old.read(part))
        for name, added in parts.items():
            new.writestr(f"archive/{name}", added)
    return made.getvalue()


def test_archives_that_play_tricks_are_refused() -> None:
    whole = CONTENTS["zip"]
    tricks = {
        "two parts of one name": rezipped(whole, **{"DATA.pkl": b"N."}),
        "compressed parts": rezipped(whole, zipfile.ZIP_DEFLATED, **{"data/0": bytes(10**6)}),
        "it unfolds": rezipped(whole, **{"data.pkl": BOMBS["a key"]}),
        "no state dict": rezipped(whole, **{"data.pkl": b"\x80\x02K\x01."}),
    }
    for problem, content in tricks.items():
        assert problem in refusal(tensors_in, content), problem


def test_a_legacy_file_that_declares_more_than_it_holds_is_refused() -> None:
    content = CONTENTS["legacy"]
    assert content.count(struct.pack("<BB", 0x4B, 12)) == 1  # BININT1 12, the numbers in the first storage
    large = content.replace(struct.pack("<BB", 0x4B, 12), struct.pack("<Bi", 0x4A, 2**31 - 1))
    assert refusal(tensors_in, large).startswith("a.pth is truncated or no state dict")


@pytest.mark.parametrize("name", BOMBS)
def test_few_bytes_that_unfold_to_much_are_refused_as_weights(name: str) -> None:
    bomb = BOMBS[name]
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    for content in (head + bomb, bomb):
        assert refusal(tensors_in, content).startswith("a.pth is ")


def test_every_flipped_bit_of_a_checksummed_file_is_noticed() -> None:
    expected = tensors_in(CONTENTS["zip"])
    unnoticed = 0
    for content in flipped(CONTENTS["zip"], seed=5, count=150):
        if not refusal(tensors_in, content):
            found = tensors_in(content)
            assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
            unnoticed += 1
    assert unnoticed < 75  # padding between the parts


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_damaged_files_are_read_or_refused_in_one_sentence(content: bytes) -> None:
    for spoiled in damaged(content, seed=6, count=150):
        sentence = refusal(tensors_in, spoiled)
        assert not sentence or (sentence.startswith("a.pth is ") and "\n" not in sentence)


def test_a_module_that_a_file_names_is_not_imported(tmp_path: Path) -> None:
    content = b"cantigravity\nfly\n."
    (tmp_path / "a").write_bytes(content)
    assert "refers to antigravity.fly" in refusal(read, tmp_path / "a")
    assert refusal(tensors_in, content)
    assert "antigravity" not in sys.modules
