"""Reading files that others may have written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dialog_env.io.reading import (
    EXACT,
    attribute,
    data_set,
    open_hdf5,
    parse_json,
    read_array,
    read_json,
    read_text,
    regular_file,
)


@dataclass(frozen=True)
class Shoe:
    __pydantic_config__ = EXACT
    name: str
    sizes: tuple[int, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a shoe has a name")


def read(path: Path) -> Shoe:
    return read_json(path, Shoe, "shoe", "draw one", limit=100_000)


def test_json_becomes_the_dataclass_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "shoe.json"
    path.write_text(json.dumps({"name": "boot", "sizes": [41, 42], "extra": {"x": [None, 1.5]}}))
    assert read(path) == Shoe("boot", (41, 42), {"x": [None, 1.5]})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Invalid JSON"),
        ('{"name": "boot"', "Invalid JSON"),
        ("[" * 50_000 + "]" * 50_000, "Invalid JSON: recursion limit"),
        ('{"name": "boot", "extra": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}", "Invalid JSON: recursion limit"),
        ("[]", "all of it"),
        ("null", "all of it"),
        ("{}", "it lacks 'name'"),
        ('{"name": 5}', "name: Input should be a valid string, and it is 5"),
        ('{"name": ""}', "a shoe has a name"),
        ('{"name": "boot", "sizes": [1.5]}', r"sizes\.0: Input should be a valid integer"),
        ('{"name": "boot", "sizes": [true]}', r"sizes\.0: Input should be a valid integer"),
        ('{"name": "boot", "sizes": ["1"]}', r"sizes\.0: Input should be a valid integer"),
        ('{"name": "boot", "sizes": ' + "9" * 5000 + "}", "Invalid JSON|sizes"),
        ('{"name": "boot", "colour": "red"}', "colour: Unexpected keyword"),
        ('{"name": "\\ud800"}', "Invalid JSON"),
    ],
)
def test_json_of_another_form_is_one_sentence_with_file_problem_and_remedy(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "shoe.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{path} is no shoe \(.*({problem}).*\); draw one$") as caught:
        read(path)
    assert len(str(caught.value)) < 500


def test_text_that_is_not_utf_8_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "shoe.json"
    path.write_bytes(b'{"name": "\xff"}')
    with pytest.raises(ValueError, match=rf"^{path} is no shoe"):
        read(path)
    with pytest.raises(ValueError, match=f"^{path} is no text: byte 10 is not of UTF-8"):
        read_text(path, "text", "write one")


def test_a_text_with_half_of_a_character_is_refused_in_a_header_too() -> None:
    with pytest.raises(ValueError, match=r"^header is no shoe"):
        parse_json('{"name": "\udcff"}', Shoe, "header", "shoe", "draw one")


def test_only_regular_files_of_expected_size_are_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"^no shoe at {tmp_path / 'none'}; draw one"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=f"^{tmp_path} is a folder and no shoe; draw one"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match=f"^{name} is a pipe, device or socket and no shoe"):
            read(Path(name))
    (tmp_path / "large").write_bytes(b" " * 100_001)
    with pytest.raises(ValueError, match=r"large has 100,001 bytes, and no shoe has more than 100,000"):
        read(tmp_path / "large")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "large" / "within")
    with pytest.raises(ValueError, match="names no file"):
        regular_file("a\0b", "shoe", "draw one")


def store(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["plain"] = np.arange(6).reshape(2, 3)
        file.create_dataset("packed", data=np.zeros((1000, 10), np.int32), compression="gzip", shuffle=True)
        file.create_dataset("bomb", (10**9,), np.int64, compression="gzip", chunks=(1 << 20,))
        file.create_dataset("lean", (10**9,), np.int64)
        file.create_dataset("words", data=np.array(["a"], dtype=object), dtype=h5py.string_dtype())
        file.create_dataset("nothing", data=h5py.Empty("f4"))
        file.create_group("group")
        file["group/within"] = np.arange(3)
        file["link"] = h5py.ExternalLink("/dev/zero", "/x")
        file["soft"] = h5py.SoftLink("/plain")
        file.create_dataset("outside", (100,), np.uint8, external=[("/dev/zero", 0, 100)])
        file.attrs.update(text="abc", raw=np.bytes_(b"abc"), number=3, real=0.5, several=[1, 2])
    return path


def test_data_sets_are_read_as_they_were_stored(tmp_path: Path) -> None:
    with open_hdf5(store(tmp_path / "a.h5"), "store", "make one") as file:
        np.testing.assert_array_equal(read_array(file, "plain", "iu", (None, 3)), [[0, 1, 2], [3, 4, 5]])
        assert read_array(file, "packed", "i", (1000, None)).shape == (1000, 10)
        assert read_array(file, "group/within", "i", (3,)).tolist() == [0, 1, 2]
        assert (attribute(file, "text", str), attribute(file, "raw", str)) == ("abc", "abc")
        assert (attribute(file, "number", int), attribute(file, "number", float)) == (3, 3.0)
        assert attribute(file, "real", float) == 0.5


@pytest.mark.parametrize(
    ("name", "kinds", "shape", "problem"),
    [
        ("none", "i", (None,), "it lacks 'none'"),
        ("plain/none", "i", (None,), "it lacks 'plain/none'"),
        ("group", "i", (None,), "'group' is not a data set"),
        ("nothing", "f", (None,), "'nothing' is not a data set"),
        ("plain", "f", (None, None), "'plain' has numbers of type int64"),
        ("words", "iuf", (None,), "'words' has numbers of type object"),
        ("plain", "i", (None,), r"'plain' has shape \(2, 3\), not \(any\)"),
        ("plain", "i", (None, 4), r"'plain' has shape \(2, 3\), not \(any, 4\)"),
        ("bomb", "i", (None,), "'bomb' is declared as 8,000,000,000 bytes and stores 0"),
        ("lean", "i", (None,), "'lean' is declared as 8,000,000,000 bytes and stores 0"),
        ("link", "u", (None,), "'link' refers to something elsewhere"),
        ("soft", "i", (None, None), "'soft' refers to something elsewhere"),
        ("outside", "u", (None,), "'outside' refers to other files"),
    ],
)
def test_data_sets_of_another_kind_are_refused_before_they_are_read(
    tmp_path: Path, name: str, kinds: str, shape: tuple[int | None, ...], problem: str
) -> None:
    path = store(tmp_path / "a.h5")
    with (
        pytest.raises(ValueError, match=rf"^{path} is no store \({problem}.*\); make one$"),
        open_hdf5(path, "store", "make one") as file,
    ):
        data_set(file, name, kinds, shape)


@pytest.mark.parametrize(("name", "kind"), [("none", str), ("text", int), ("number", str), ("several", int)])
def test_attributes_of_another_kind_are_refused(tmp_path: Path, name: str, kind: type) -> None:
    with (
        pytest.raises(ValueError, match=rf"is no store \(.*{name}.*\); make one$"),
        open_hdf5(store(tmp_path / "a.h5"), "store", "make one") as file,
    ):
        attribute(file, name, kind)


def test_files_that_are_no_hdf5_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = store(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:1000])
    for content in (path.read_bytes(), b"", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        with (
            pytest.raises(ValueError, match=rf"^{path} is truncated or no store \(.*\); make one$"),
            open_hdf5(path, "store", "make one"),
        ):
            pass
