"""Pickles of unknown origin, read as data: nothing that they name is imported or called.

Before a pickle is read, its instructions are surveyed: names that are not expected, instructions that no data needs,
and memo tricks by which a few hundred bytes unfold to more than a memory holds are refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch
from torch import Tensor

from dialog_env.io.reading import first_line, one_sentence, read_bytes

MOST_PARTS = 2_000_000
"""Numbers, texts and containers that a pickle may hold, each counted as often as it is reached."""
DATA_BYTES = 64 << 20
TENSOR_NAMES = frozenset(
    {
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_tensor_v3"),
    }
)
REFUSED = frozenset({"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER", "FROZENSET"})
TUPLES = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
KEEPING = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD", "DUP"})
"""Instructions that leave on the stack what they found there."""
PUT = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
GET = frozenset({"GET", "BINGET", "LONG_BINGET"})
ZIP = b"PK\x03\x04"
LEGACY_PICKLES = 5
"""In a PyTorch file of before version 1.6: magic number, protocol, system, the objects, keys of the storages."""

Names = Callable[[str, str], bool]
"""Whether a pickle may refer to a name (module, name)."""


class Opaque:
    """Stands where a pickle would have built an object: what it would have called, with what, and the state given."""

    name: ClassVar[tuple[str, str]] = ("", "")
    arguments: tuple[object, ...] = ()
    state: object = None

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes, names: Names) -> None:
        super().__init__(io.BytesIO(content), encoding="latin-1")
        self.names = names
        self.classes: dict[tuple[str, str], type[Opaque]] = {}

    def find_class(self, module: str, name: str) -> Any:
        _refuse_name(module, name, self.names)
        return self.classes.setdefault((module, name), type("Opaque", (Opaque,), {"name": (module, name)}))


def read_pickled_data(path: str | Path, names: Names, what: str, remedy: str) -> Any:
    """The numbers, texts and containers of a pickle; objects become `Opaque`.

    Args:
        path: of the file.
        names: what it may refer to; even that is only noted.
        what: it should be.
        remedy: what to do where it is not, the end of the sentence.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no regular file, a damaged or larger one, or one that refers to anything else.
    """
    content = read_bytes(path, what, remedy, limit=DATA_BYTES)
    try:
        survey(io.BytesIO(content), names)
        found = _Reader(content, names).load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(f"{path} is no {what} ({first_line(error)}); {remedy}") from error
    with one_sentence(path, what, remedy):
        _refuse_unfolding(found)
    return found


def read_state_dict(content: bytes, where: str | Path, what: str, remedy: str) -> dict[str, Tensor]:
    """The named tensors in a file that `torch.save` wrote; the checksums that newer ones hold are compared.

    Args:
        content: of the file.
        where: the file, and the place in it.
        what: it should be.
        remedy: what to do where it is not, the end of the sentence.

    Raises:
        ValueError: it is damaged, or holds anything but plain tensors under names.
    """
    try:
        for pickled in _zipped(content) if content.startswith(ZIP) else [io.BytesIO(content)] * LEGACY_PICKLES:
            survey(pickled, _of_tensors)
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        raise ValueError(f"{where} is truncated or no {what} ({first_line(error)}); {remedy}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{where} is no {what}: it holds no named tensors; {remedy}")
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
            raise ValueError(f"{where} is no {what}: {name!r} is no plain tensor; {remedy}")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{where} is no {what}: {name!r} is larger than what is stored of it; {remedy}")
    return dict(loaded)


def survey(file: BinaryIO, names: Names) -> None:
    """Looks at the instructions of the next pickle in a file, and leaves the file behind it.

    Raises:
        ValueError: it refers to another name than expected, is no data, or unfolds to too much; others, such as
            IndexError, where it is damaged.
    """
    stack: list[int | None] = []  # parts of each value, None for a mark; lists and dictionaries hide theirs
    memo: dict[int, int] = {}
    parts = 0
    for code, argument, _ in pickletools.genops(file):
        if code.name in REFUSED:
            raise ValueError(f"it has the instruction {code.name}, which is no data")
        if code.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            _refuse_name(module, name, names)
        if code.name in PUT:
            place = len(memo) if argument is None else int(argument)
            if place > MOST_PARTS or stack[-1] is None:
                raise ValueError(f"it notes nothing, or under number {place}")
            memo[place] = stack[-1]
            continue
        taken = _taken(stack, code.stack_before)
        pushed = 1
        if code.name in GET:
            pushed = memo[int(str(argument))]
        elif code.name in TUPLES:
            pushed += sum(taken)
        elif code.name in KEEPING:
            pushed = taken[0]
        for kind in code.stack_after:
            stack.append(None if kind is pickletools.markobject else pushed)
            parts += pushed
        if parts > MOST_PARTS:
            raise ValueError(f"it unfolds to more than {MOST_PARTS:,} parts, do not trust it")


def _taken(stack: list[int | None], before: list[Any]) -> list[int]:
    """Takes what an instruction takes from the stack, the deepest first."""
    taken: list[int] = []
    if pickletools.markobject in before:
        while (size := stack.pop()) is not None:
            taken.append(size)
        before = before[: before.index(pickletools.markobject)]
    taken.extend(stack.pop() or 0 for _ in before)
    return taken[::-1]


def _refuse_name(module: str, name: str, names: Names) -> None:
    if not names(module, name):
        raise ValueError(f"it refers to {module}.{name}, do not trust it")


def _refuse_unfolding(value: Any) -> None:
    """ValueError where lists and dictionaries hold each other so often that nothing could be done with them."""
    waiting, parts = [value], 0
    while waiting:
        part = waiting.pop()
        parts += 1
        if isinstance(part, Opaque):
            waiting += [part.arguments, part.state]
        elif isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set)):
            waiting += part
        if parts + len(waiting) > MOST_PARTS:
            raise ValueError(f"it unfolds to more than {MOST_PARTS:,} parts, do not trust it")


def _of_tensors(module: str, name: str) -> bool:
    """Whether a name stands in files of plain tensors."""
    return (module, name) in TENSOR_NAMES or (
        module == "torch" and (name.endswith("Storage") or isinstance(getattr(torch, name, None), torch.dtype))
    )


def _zipped(content: bytes) -> list[BinaryIO]:
    """The pickles in a PyTorch file, after all its checksums were compared."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
        if len({part.filename.lower() for part in parts}) < len(parts):
            raise ValueError("it has two parts of one name")
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("it has compressed parts, which no tensors need")
        broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"its part {broken!r} is damaged")
        return [io.BytesIO(archive.read(part)) for part in parts if part.filename.lower().endswith(".pkl")]
