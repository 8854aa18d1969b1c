"""The file of a catalogue: sealed, read back, and refused in one sentence where it is damaged or of another kind."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dialog_env.catalog import Catalog, Contents, catalog_file
from dialog_env.catalog.catalog_file import TITLE
from dialog_env.io import seals
from dialog_env.io.seals import seal
from tests.catalog_files import outcomes, summary, write_version_1
from tests.conftest import tiny_contents
from tests.damage import damaged, flipped

Change = Callable[[h5py.File], Any]


def changed_and_sealed(path: Path, change: Change) -> Path:
    """The file after a change by somebody who seals it anew."""
    with h5py.File(path, "r+") as file:
        change(file)
    seal(path, TITLE)
    return path


def replaced(name: str, **part: Any) -> Change:
    """Puts another data set in place of a part."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, **part).attrs.update(attributes)

    return change


def linked(name: str, link: Any) -> Change:
    """Puts a link in place of a part."""

    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return change


def with_attribute(part: str, **attributes: Any) -> Change:
    return lambda file: file[part].attrs.update(attributes)


def test_the_layout_in_the_file_is_the_documented_one(tiny_file: Path) -> None:
    with h5py.File(tiny_file) as file:
        assert set(file) == {"ids", "features", "regions", "splits", "attributes", "images"}
        assert set(file.attrs) == {"format", "version", "name", "fingerprint", "provenance"}
        assert json.loads(file["images"].attrs["source"]) == {"kind": "encoded", "size": [16, 12]}
        assert file["features"].dtype == np.float32
        assert file["regions"].dtype == np.float16
        assert (file["images/bytes"].dtype, file["images/offsets"].shape) == (np.uint8, (25,))
    first = tiny_file.read_bytes()[:512]
    assert first.startswith(b"dialog-retrieval catalog 2\nsha256 ")


def test_a_file_of_version_1_is_read_and_written_as_version_2_with_its_fingerprint(tmp_path: Path) -> None:
    contents = tiny_contents()
    write_version_1(contents, tmp_path / "old.h5")
    old = Catalog.open(tmp_path / "old.h5")
    assert summary(old) == summary(Catalog(contents))
    old.write(tmp_path / "new.h5")
    new = Catalog.open(tmp_path / "new.h5")
    assert (new.fingerprint, new.name, new.provenance) == (contents.fingerprint, contents.name, contents.provenance)
    assert summary(new) == summary(old)


def test_every_flipped_bit_is_noticed(tiny_file: Path) -> None:
    for changed in flipped(tiny_file.read_bytes(), seed=0, count=200):
        tiny_file.write_bytes(changed)
        with pytest.raises(ValueError, match=r"tiny\.h5 is (a damaged|truncated or no) catalogue .*; build it again"):
            Catalog.open(tiny_file)


@pytest.mark.parametrize("part", ["ids", "features", "regions", "splits/test", "attributes/graded", "images/encoded"])
def test_changed_contents_of_version_1_are_noticed(tmp_path: Path, part: str) -> None:
    path = tmp_path / "old.h5"
    write_version_1(tiny_contents(), path)
    with h5py.File(path, "r+") as file:
        if part == "images/encoded":
            file[part][3] = np.arange(9, dtype=np.uint8)
        else:
            file[part][-1] = b"another" if part == "ids" else 0
    with pytest.raises(ValueError, match=r"old\.h5 is no catalogue \(its contents have fingerprint .*damaged"):
        Catalog.open(path)


@pytest.mark.parametrize("version", [1, 2])
def test_damage_of_any_kind_gives_the_right_contents_or_one_sentence(tmp_path: Path, version: int) -> None:
    check_damage(tmp_path, version, 80)


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_much_damage_of_any_kind_gives_the_right_contents_or_one_sentence(tmp_path: Path, version: int) -> None:
    check_damage(tmp_path, version, 1500)


def check_damage(folder: Path, version: int, count: int) -> None:
    """Looks at damaged files of a version; those of version 2 are looked at with a new seal as well."""
    contents, path = tiny_contents(), folder / "whole.h5"
    (write_version_1 if version == 1 else lambda contents, path: Catalog(contents).write(path))(contents, path)
    paths, sealed_anew = [], set()
    for number, content in enumerate(damaged(path.read_bytes(), version, count)):
        paths.append(folder / f"damaged-{number}.h5")
        paths[-1].write_bytes(content)
        if version == 2 and number % 2 and len(content) > 512:
            seal(paths[-1], TITLE)
            sealed_anew.add(paths[-1])
    [whole, *found] = outcomes([path, *paths])
    refused = 0
    for path, each in zip(paths, found, strict=True):
        if "refused" in each:
            refused += 1
            assert each["refused"].startswith(str(path)), each
            assert "\n" not in each["refused"], each
            assert "build it again" in each["refused"], each
        elif path not in sealed_anew:
            assert version == 1, path
            assert each["summary"] == whole["summary"], path
    assert refused > count / 4


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (replaced("ids", data=np.arange(24)), "'ids' has numbers of type int64"),
        (replaced("ids", data=np.array([b"x" * 2000] * 24)), "has the id|id of"),
        (replaced("features", data=np.zeros((24, 8), np.int32)), "'features' has numbers of type int32"),
        (replaced("features", data=np.zeros((24, 8, 1), np.float32)), r"'features' has shape \(24, 8, 1\)"),
        (replaced("features", data=np.zeros((23, 8), np.float32)), r"has shape .* not \(23"),
        (replaced("features", data=np.full((24, 8), np.nan, np.float32)), "NaN or infinite features at image 0"),
        (replaced("features", data=np.full((24, 8), 1e30, np.float32)), "whose squares float32 cannot hold"),
        (replaced("regions", data=np.zeros((24, 4), np.float16)), r"'regions' has shape \(24, 4\)"),
        (replaced("splits/test", data=np.zeros(0, np.int64)), "split 'test' .* are .*; give a list of 1 or more"),
        (replaced("splits/test", data=np.zeros(3)), "'splits/test' has numbers of type float64"),
        (replaced("splits/test", data=np.arange(25)), "split 'test' has 25 positions among 24 images"),
        (replaced("attributes/categorical", data=np.full((24, 2), 9, np.int16)), "code outside"),
        (replaced("images/offsets", data=np.arange(25)), "do not divide"),
        (replaced("images/offsets", data=np.full(25, 1 << 60)), "do not divide"),
        (replaced("images/bytes", data=np.zeros(9, np.uint8)), "do not divide"),
        (replaced("images", data=np.zeros(3)), "'images' is not a group"),
        (replaced("splits", data=np.zeros(3)), "'splits' is not a group"),
        (lambda file: file.pop("ids"), "it lacks 'ids'"),
        (lambda file: file.pop("features"), "it lacks 'features'"),
        (lambda file: file.pop("attributes/graded"), "it lacks 'attributes/graded'"),
        (lambda file: file.pop("images/bytes"), "it lacks 'images/bytes'"),
        (lambda file: file.attrs.pop("format"), "it says to be something else"),
        (lambda file: file.attrs.pop("name"), "lacks the attribute 'name'"),
        (lambda file: file["regions"].attrs.pop("scale"), "lacks the attribute 'scale'"),
        (with_attribute("/", version=0), "it is of version 0, and this release reads 1 and 2"),
        (with_attribute("/", version=99), "it is of version 99"),
        (with_attribute("/", version=1), "it lacks the seal of its version"),
        (with_attribute("/", version="two"), "attribute 'version' is 'two', no int"),
        (with_attribute("/", name=5), "attribute 'name' is 5, no str"),
        (with_attribute("/", provenance="[" * 9999 + "]" * 9999), "'provenance' is no part of a catalogue"),
        (with_attribute("/", provenance="[]"), "'provenance' is no part of a catalogue"),
        (with_attribute("regions", scale=np.nan), "region features of scale nan"),
        (with_attribute("attributes/graded", names='["one", 2]'), "'names' is no part"),
        (with_attribute("attributes/categorical", values='{"a": 1}'), "'values' is no part"),
        (with_attribute("images", source='{"kind": "encoded", "size": [1000000, 1000000]}'), "cannot be"),
        (with_attribute("images", source='{"kind": "painted", "size": [16, 12]}'), "'source' is no part"),
        (with_attribute("images", source='{"kind": "encoded"}'), "it lacks 'size'"),
        (linked("images", h5py.ExternalLink("other.h5", "/images")), "'images' is not a group of this file"),
        (linked("splits", h5py.SoftLink("/images")), "'splits' is not a group of this file"),
        (linked("regions", h5py.ExternalLink("other.h5", "/regions")), "'regions' refers to something elsewhere"),
        (linked("attributes", h5py.SoftLink("/splits")), "'attributes/graded' refers to something elsewhere"),
        (replaced("features", shape=(24, 8), dtype="f4", external=[("other.bin", 0, 768)]), "refers to other files"),
        (replaced("regions", shape=(24, 4, 6), dtype="u1", chunks=True, compression="lzf"), "refers to other files"),
    ],
)  # fmt: skip
def test_parts_of_another_kind_are_refused(tiny_file: Path, change: Change, complaint: str) -> None:
    changed_and_sealed(tiny_file, change)
    with pytest.raises(ValueError, match=rf"^{tiny_file} is no catalogue \(.*({complaint}).*\); build it again"):
        Catalog.open(tiny_file)


def bomb(shape: tuple[int, ...], name: str) -> Change:
    """Zeros that take a thousandth of their size in the file: chunks of 16 MiB, each stored without being made."""

    def change(file: h5py.File) -> None:
        del file[name]
        chunk = (1, *shape[1:])
        data = file.create_dataset(name, shape, np.uint8, chunks=chunk, compression="gzip")
        data.attrs["scale"] = 1.0
        packed = zlib.compress(bytes(int(np.prod(chunk))), 9)
        for number in range(shape[0]):
            data.id.write_direct_chunk((number, *[0] * (len(shape) - 1)), packed)

    return change


def declared(name: str, shape: tuple[int, ...], kind: str, **settings: Any) -> Change:
    """Declares a part and stores nothing of it."""
    return replaced(name, shape=shape, dtype=kind, **settings)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (declared("ids", (10**9,), "S11"), r"'ids' has shape \(1000000000,\), not \(24\)"),
        (declared("ids", (24,), "S1000000000", chunks=(1,), compression="gzip"), "'ids' is declared as 24,000,000,000"),
        (declared("features", (10**9, 8), "f4"), "'features' is declared as 32,000,000,000 bytes and stores 0"),
        (declared("features", (10**9, 8), "f4", chunks=(1000, 8)), "'features' is declared as 32,000,000,000"),
        (declared("images/bytes", (10**12,), "u1"), "'images/bytes' is declared as 1,000,000,000,000 bytes"),
        (declared("splits/test", (10**12,), "i8"), "'splits/test' is declared as"),
        (declared("attributes/graded", (24, 10**9), "f4", chunks=(24, 1000)), "'attributes/graded' is declared as"),
        (bomb((24, 16, 1 << 20), "regions"), "'regions' is declared as 402,653,184 bytes and stores"),
    ],
)  # fmt: skip
def test_parts_that_are_declared_far_larger_than_stored_are_refused_unread(
    tiny_file: Path, change: Change, complaint: str
) -> None:
    changed_and_sealed(tiny_file, change)
    assert tiny_file.stat().st_size < 600_000
    with pytest.raises(ValueError, match=rf"^{tiny_file} is no catalogue \({complaint}"):
        Catalog.open(tiny_file)


def test_old_pictures_that_are_declared_larger_than_their_file_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    write_version_1(tiny_contents(), path)
    with h5py.File(path) as file:
        offset = file["images/encoded"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="are declared larger than the file is"):
        Catalog.open(path)


def test_zeros_among_old_pictures_or_texts_do_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    write_version_1(tiny_contents(), path)
    content = path.read_bytes()
    heaps = [at for at in range(len(content)) if content[at : at + 4] == b"GCOL"]
    assert len(heaps) > 1
    for number, heap in enumerate(heaps):
        changed = bytearray(content)
        changed[heap + 16 : heap + 2000] = bytes(1984)
        (tmp_path / f"{number}.h5").write_bytes(changed)
    for found in outcomes([tmp_path / f"{number}.h5" for number in range(len(heaps))]):
        assert "has no end: it was damaged); build it again" in found["refused"]


@pytest.mark.parametrize("content", [b"", b"not a catalogue", b"\x89HDF\r\n\x1a\n", b"dialog-retrieval catalog 2\n"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.h5 is (truncated or no|a damaged) catalogue .*; build it again"):
        Catalog.open(tmp_path / "notes.h5")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no catalogue at nowhere\.h5; build it"):
        Catalog.open("nowhere.h5")
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(ValueError, match="pipe, device or socket"):
        Catalog.open(tmp_path / "pipe.h5")
    with pytest.raises(ValueError, match="is a folder"):
        Catalog.open(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"other\.h5 is no catalogue \(it says to be something else"):
        Catalog.open(tmp_path / "other.h5")


def test_the_beginning_may_not_be_lost(tiny_file: Path) -> None:
    content = tiny_file.read_bytes()
    tiny_file.write_bytes(bytes(512) + content[512:])
    with pytest.raises(ValueError, match="it lacks the seal of its version"):
        Catalog.open(tiny_file)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """What files had their seal checked, with an empty cache folder, where files of any age and size are remembered."""
    checked: list[Path] = []
    real = catalog_file.is_sealed

    def counting(path: Path, title: str) -> bool:
        checked.append(path)
        return real(path, title)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(seals, "_verified", {})
    monkeypatch.setattr(seals, "LARGE", 0)
    monkeypatch.setattr(seals, "SETTLED", 0)
    monkeypatch.setattr(catalog_file, "is_sealed", counting)
    return checked


def test_a_file_is_checked_once_until_it_changes(tiny_file: Path, checks: list[Path]) -> None:
    first = Catalog.open(tiny_file)
    Catalog.open(tiny_file)
    assert checks == [tiny_file]
    seals._verified.clear()
    assert summary(Catalog.open(tiny_file)) == summary(first)
    assert checks == [tiny_file]
    first.verify()
    assert len(checks) == 2
    before = tiny_file.stat()
    content = bytearray(tiny_file.read_bytes())
    content[len(content) // 2] ^= 1
    with tiny_file.open("rb+") as file:
        file.write(content)
    os.utime(tiny_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ValueError, match="damaged"):
        Catalog.open(tiny_file)


def test_the_features_of_a_file_that_was_found_whole_are_not_read_when_it_is_opened(
    tiny_file: Path, checks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Contents] = []
    monkeypatch.setattr(Contents, "_check_features", lambda contents: checked.append(contents))
    Catalog.open(tiny_file)
    assert len(checked) == 1
    again = Catalog.open(tiny_file)
    assert len(checked) == 1
    again.verify()
    assert len(checked) == 2


def test_a_cache_folder_that_is_damaged_or_cannot_be_written_only_costs_time(
    tiny_file: Path, checks: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "cache" / "dialog_retrieval").mkdir(parents=True)
    memory = tmp_path / "cache" / "dialog_retrieval" / "verified.json"
    for damage in ('{"a": [1, 2]', "[]", '{"a": [1, 2, 3, "x"]}'):
        memory.write_text(damage)
        seals._verified.clear()
        Catalog.open(tiny_file)
    assert len(checks) == 3
    memory.unlink()
    memory.parent.rmdir()
    memory.parent.write_text("in the way")
    seals._verified.clear()
    Catalog.open(tiny_file)
    assert len(checks) == 4


def test_a_file_so_new_that_its_time_may_not_tell_a_change_is_not_remembered(
    tiny_file: Path, checks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "SETTLED", 3600 * 10**9)
    Catalog.open(tiny_file)
    Catalog.open(tiny_file)
    assert len(checks) == 2


def test_the_memory_does_not_grow_for_ever(tiny_file: Path, checks: list[Path]) -> None:
    content = tiny_file.read_bytes()
    for number in range(seals.MOST_REMEMBERED + 5):
        path = tiny_file.with_name(f"{number}.h5")
        path.write_bytes(content)
        seals.remember(path, seals.Stamp.of(path))
    kept = json.loads((seals.cache_folder() / "verified.json").read_text())
    assert len(kept) == seals.MOST_REMEMBERED
    assert list(kept)[-1] == str(path)


def test_what_is_opened_is_what_was_checked(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Catalog(tiny_contents(seed=1)).write(tiny_file.with_name("other.h5"))

    def replace(path: Path) -> None:
        tiny_file.with_name("other.h5").replace(path)

    monkeypatch.setattr(catalog_file, "refuse_endless_heaps", replace)
    with pytest.raises(ValueError, match=r"tiny\.h5 was changed while it was read; read it again"):
        Catalog.open(tiny_file)


def test_a_gallery_sent_elsewhere_does_not_show_another_catalogue(tiny_file: Path) -> None:
    gallery = Catalog.open(tiny_file).split("test")
    packed, whole = pickle.dumps(gallery), summary(gallery)
    Catalog(tiny_contents(seed=1)).write(tiny_file)
    with pytest.raises(ValueError, match=r"tiny\.h5 holds another catalogue than when this gallery was made"):
        _ = pickle.loads(packed).features
    assert summary(gallery) == whole
    assert len(gallery.split("all")) == 24


def test_verification_reads_everything_anew(tiny_file: Path) -> None:
    catalog = Catalog.open(tiny_file)
    catalog.verify()
    with h5py.File(tiny_file, "r+") as file:
        file.attrs["fingerprint"] = "0" * 16
    seal(tiny_file, TITLE)
    with pytest.raises(ValueError, match=r"its contents have fingerprint .* and not 0000000000000000"):
        catalog.verify()
    contents = tiny_contents()
    contents.features[3, 3] += 1
    with pytest.raises(ValueError, match="was changed after it was made"):
        Catalog(contents).verify()


def test_a_failed_write_leaves_the_old_file(tiny_file: Path) -> None:
    before = tiny_file.read_bytes()
    broken = tiny_contents(seed=1)
    broken.provenance = {"source": {1, 2}}
    with pytest.raises(TypeError):
        Catalog(broken).write(tiny_file)
    changed = tiny_contents(seed=2)
    changed.features[3, 3] += 1
    with pytest.raises(ValueError, match="catalogue 'tiny' was changed after it was made"):
        Catalog(changed).write(tiny_file)
    assert tiny_file.read_bytes() == before
    assert [path.name for path in tiny_file.parent.iterdir()] == ["tiny.h5"]


@pytest.mark.parametrize("lost", ["features", "regions", "images/bytes", "name", "provenance"])
def test_what_does_not_reach_the_disk_is_noticed_before_the_file_takes_its_place(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    before, real = tiny_file.read_bytes(), catalog_file._write_parts

    def losing(contents: Contents, path: Path) -> None:
        real(contents, path)
        with h5py.File(path, "r+", locking=False) as file:
            if lost in file:
                file[lost][...] = 0
            else:
                file.attrs[lost] = "{}"

    monkeypatch.setattr(catalog_file, "_write_parts", losing)
    with pytest.raises(OSError, match=rf"^{tiny_file} cannot be written, for it does not read back"):
        Catalog(tiny_contents(seed=1)).write(tiny_file)
    assert tiny_file.read_bytes() == before
    assert [path.name for path in tiny_file.parent.iterdir()] == ["tiny.h5"]
