"""Reading files that others may have written: regular, of a bounded size, of the expected form, or one sentence."""

from __future__ import annotations

import json
import reprlib
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dialog_env.io.atomic import DIGEST, json_digest

T = TypeVar("T")

TEXT_BYTES = 64 << 20
"""Largest text that is read, unless the reader says otherwise."""
MOST_LETTERS = 400
"""Of an error that is quoted: it may hold part of a file."""
JSON_BYTES = 16 << 20
"""Largest JSON that is read, unless the reader says otherwise: parsed, it can take twenty times as much memory."""
MOST_COMPRESSED = 1040
"""Bytes that one compressed byte may stand for; deflate reaches 1032."""
FIRST_PLUG_IN = 256
"""Filters of HDF5 from this number on are not its own: it looks for them in libraries elsewhere."""
EXACT = ConfigDict(extra="forbid")
"""As `__pydantic_config__` of a dataclass: keys that it does not have are refused, not passed over."""


def regular_file(path: str | Path, what: str, remedy: str, *, limit: int | None = None) -> Path:
    """The path of a file that can be read to its end: no folder, pipe or device, and no larger than expected.

    Args:
        path: of the file.
        what: it should be, such as "catalogue".
        remedy: what to do where it is not, the end of the sentence.
        limit: most bytes that it may have; None for as many as the disk holds.

    Raises:
        FileNotFoundError: there is none.
        ValueError: something else lies there, or the file is larger.
        OSError: it cannot be looked at.
    """
    path = Path(path)
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        shown = path if str(path).isprintable() else repr(str(path))
        raise FileNotFoundError(f"no {what} at {shown}; {remedy}") from None
    except ValueError as error:
        raise ValueError(f"{str(path)!r} names no file ({error}); {remedy}") from error
    if stat.S_ISDIR(found.st_mode):
        raise ValueError(f"{path} is a folder and no {what}; {remedy}")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is a pipe, device or socket and no {what}; {remedy}")
    if limit is not None and found.st_size > limit:
        raise ValueError(f"{path} has {found.st_size:,} bytes, and no {what} has more than {limit:,}; {remedy}")
    return path


def read_bytes(path: str | Path, what: str, remedy: str, *, limit: int) -> bytes:
    """The content of a regular file; arguments and errors as for `regular_file`."""
    return regular_file(path, what, remedy, limit=limit).read_bytes()


def read_text(path: str | Path, what: str, remedy: str, *, limit: int = TEXT_BYTES) -> str:
    """The UTF-8 text in a regular file, line ends as they are; ValueError for other text, else as `regular_file`."""
    content = read_bytes(path, what, remedy, limit=limit)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no {what}: byte {error.start} is not of UTF-8 text; {remedy}") from error


def read_json(path: str | Path, schema: type[T], what: str, remedy: str, *, limit: int = JSON_BYTES) -> T:
    """What a JSON file holds, in the form that `schema` asks for.

    Args:
        path: of the file.
        schema: a dataclass, or a type of built-in containers such as `list[str]`; see `parse_json`.
        what: it should be, such as "vocabulary".
        remedy: what to do where it is not, the end of the sentence.
        limit: most bytes that it may have.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no regular file, a larger one, no JSON, or JSON of another form.
    """
    return parse_json(read_bytes(path, what, remedy, limit=limit), schema, str(path), what, remedy)


def parse_json(text: str | bytes, schema: type[T], where: str, what: str, remedy: str) -> T:
    """What a JSON text holds, in the form that `schema` asks for; nothing is converted but lists to tuples or sets.

    Args:
        text: JSON, in UTF-8 where it is bytes.
        schema: a dataclass, whose own checks count as well, or a type of built-in containers. A dataclass refuses
            keys that it does not have if its `__pydantic_config__` is `EXACT`.
        where: the file, and the place in it, that the text is from.
        what: it should be.
        remedy: what to do where it is not, the end of the sentence.

    Raises:
        ValueError: no JSON, JSON nested beyond some 200 levels, or of another form.
    """
    try:
        return understand(text, schema)
    except ValueError as error:
        raise ValueError(f"{where} is no {what} ({error}); {remedy}") from error


def understand(text: str | bytes, schema: type[T]) -> T:
    """As `parse_json`; the ValueError says what is wrong and no more."""
    try:
        value: T = _adapter(schema).validate_json(text, strict=True)  # type: ignore[arg-type]
        return value
    except ValidationError as error:
        raise ValueError(_problem(error)) from error


def parse_signed(text: str | bytes, schema: type[T], where: str, what: str, remedy: str) -> T:
    """As `parse_json`, for JSON objects that `files.signed` made; those of before that have no digest.

    Raises:
        ValueError: as there, or the digest is of other content.
    """
    content = parse_json(text, dict[str, Any], where, what, remedy)
    if DIGEST in content:
        if content[DIGEST] != json_digest(content):
            raise ValueError(f"{where} is a damaged {what}: its {DIGEST} is of other content; {remedy}")
        del content[DIGEST]
    return parse_json(json.dumps(content), schema, where, what, remedy)


@contextmanager
def one_sentence(where: str | Path, what: str, remedy: str, *, folder: Path | None = None) -> Iterator[None]:
    """Whatever goes wrong while content from a file is taken up becomes one sentence that names the file.

    Args:
        where: the file; errors that name it already are passed on as they are.
        what: it should be.
        remedy: what to do where it is not, the end of the sentence.
        folder: of the files that errors may name as well.

    Raises:
        ValueError: the block raised an error that content of the wrong form can cause.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and str(folder or where) in str(error):
            raise
        raise ValueError(f"{where} is no {what} ({first_line(error)}); {remedy}") from error


def some(texts: Collection[Any], most: int = 5) -> str:
    """A few of many texts, each cut short, for a sentence."""
    shown = [text if len(text) <= 80 else f"{text[:77]}…" for text in map(str, islice(texts, most))]
    return ", ".join([*shown, *(["…"] if len(texts) > most else [])])


def first_line(error: BaseException) -> str:
    """The first line of an error's message, and what follows where that ends in a colon.

    The kind of the error where it has no message; a missing key is called that.
    """
    found = f"it lacks {error}" if isinstance(error, KeyError) else ""
    for line in [] if found else str(error).splitlines():
        found = f"{found} {line.strip()}".strip()
        if not found.endswith(":"):
            break
    found = found or type(error).__name__
    return found if len(found) <= MOST_LETTERS else f"{found[:MOST_LETTERS]}…"


@lru_cache(maxsize=128)
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def _problem(error: ValidationError) -> str:
    """The first thing that is wrong, in a few words."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"it lacks {place!r}"
    if first["type"] == "json_invalid":
        return first["msg"]
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    return f"{place or 'all of it'}: {first['msg']}, and it is {reprlib.repr(first['input'])}"


@contextmanager
def open_hdf5(path: str | Path, what: str, remedy: str) -> Iterator[h5py.File]:
    """An HDF5 file open for reading; what goes wrong with it in the block becomes one sentence that names it.

    Args:
        path: of the file.
        what: it should be, such as "catalogue".
        remedy: what to do where it is not, the end of the sentence.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no regular file, no HDF5, or a part of it that is missing, damaged or refused in the block.
    """
    path = regular_file(path, what, remedy)
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} is truncated or no {what} ({first_line(error)}); {remedy}") from error
    with file, one_sentence(path, what, remedy):
        try:
            yield file
        except OSError as error:  # of a damaged piece of the file
            raise ValueError(first_line(error)) from error


def data_set(file: h5py.Group, name: str, kinds: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    """A data set of an open file, known to be what it should be before any of it is read.

    Args:
        file: open.
        name: path within it.
        kinds: letters of the numpy kinds that will do, such as "iu" for whole numbers.
        shape: expected; None for an axis of any length.

    Raises:
        ValueError: it is missing or no data set, of another kind or shape, kept in another file, or declared larger
            than what is stored can be.
    """
    here: Any = file
    for part in name.split("/"):
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            raise ValueError(f"it lacks {name!r}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name!r} refers to something elsewhere")
        here = here[part]
    if not isinstance(here, h5py.Dataset) or here.shape is None:
        raise ValueError(f"{name!r} is not a data set with numbers in it")
    filters = here.id.get_create_plist()
    plug_ins = [n for n in range(filters.get_nfilters()) if filters.get_filter(n)[0] >= FIRST_PLUG_IN]
    if here.is_virtual or here.external or plug_ins:
        raise ValueError(f"{name!r} refers to other files")
    wanted = tuple("any" if length is None else length for length in shape)
    if here.dtype.kind not in kinds:
        raise ValueError(f"{name!r} has numbers of type {here.dtype}")
    if len(here.shape) != len(shape) or any(w not in ("any", s) for w, s in zip(wanted, here.shape, strict=True)):
        raise ValueError(f"{name!r} has shape {here.shape}, not ({', '.join(map(str, wanted))})")
    chunk = here.dtype.itemsize * int(np.prod(here.chunks or (0,), dtype=object))
    stored = here.id.get_storage_size()
    if max(here.nbytes, chunk) > stored * (1 if here.chunks is None else MOST_COMPRESSED):
        raise ValueError(f"{name!r} is declared as {here.nbytes:,} bytes and stores {stored:,}")
    return here


def read_array(file: h5py.Group, name: str, kinds: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """All of a data set; arguments and errors as for `data_set`."""
    return np.asarray(data_set(file, name, kinds, shape)[()])


def attribute(part: h5py.Group | h5py.Dataset, name: str, kind: type[T]) -> T:
    """An attribute, a text or one number.

    Raises:
        ValueError: it is missing or of another kind than `kind` (str, int or float; a whole number is a float too).
    """
    if name not in part.attrs:
        raise ValueError(f"{part.name!r} lacks the attribute {name!r}")
    value = part.attrs[name]
    if isinstance(value, bytes):
        value = value.decode()
    value = value.item() if isinstance(value, np.generic) else value
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"attribute {name!r} is {reprlib.repr(value)}, no {kind.__name__}")
    return value
