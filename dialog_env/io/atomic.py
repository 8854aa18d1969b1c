"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not POSIX: nothing is locked, and what a dead process left behind stays
    fcntl = None

DIGEST = "sha256"
"""Key under which JSON of ours keeps the digest of all its other keys."""


def cache_folder() -> Path:
    """Where what can be made again is kept: `$XDG_CACHE_HOME/dialog_retrieval`, by default below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dialog_retrieval"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` and moves it there when the block ends well, removes it otherwise.

    Temporary files for `path` that a killed process left behind are removed first; one of a process at work carries
    a shared lock.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    handle, temporary = _locked_temporary(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes bytes beside `path`, then renames: a reader sees the old file or the new one.

    Raises:
        OSError: the disk is full or cannot be written; the old file stays.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror}); what it held before is kept, "
            "make room and give the same command again",
        ) from error


def file_digest(path: str | Path) -> str:
    """SHA-256 (hex) of the bytes of a file; 0.7 to 1.5 GB/s where it was measured, a core with SHA instructions."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def json_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of what JSON holds, however it is spaced and ordered, its own `DIGEST` left out."""
    kept = {key: value for key, value in content.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON makes of the content, with its digest, which `reading.parse_signed` checks."""
    plain = json.loads(json.dumps(content))
    return {**plain, DIGEST: json_digest(plain)}


def lock(handle: int) -> bool:
    """Locks an open file until it is closed; False where another process has it, True where no lock can be had."""
    try:
        _flock(handle, "LOCK_EX", "LOCK_NB")
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _locked_temporary(path: Path) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with suppress(OSError):
            _flock(handle, "LOCK_SH")
        if Path(name).exists():  # else another process took it for a leftover before it was locked
            return handle, Path(name)
        os.close(handle)


def _remove_leftovers(path: Path) -> None:
    for beside in path.parent.iterdir():
        if not (beside.name.startswith(f".{path.name}.") and beside.name.endswith(".part") and beside.is_file()):
            continue
        with suppress(OSError):  # gone meanwhile, of another user, or locked by the process that writes it
            handle = os.open(beside, os.O_RDWR)
            try:
                _flock(handle, "LOCK_EX", "LOCK_NB")
                beside.unlink()
            finally:
                os.close(handle)


def _flock(handle: int, *flags: str) -> None:
    if fcntl is None:
        raise OSError("this system has no locks")
    fcntl.flock(handle, sum(getattr(fcntl, flag) for flag in flags))


@contextmanager
def locked(folder: str | Path, name: str = "") -> Iterator[None]:
    """Keeps all others who lock it from writing to a folder, or to the file `name` in it, until the block ends.

    The lock is the kernel's, so that it ends with the process, however that ends. The file that carries it is removed
    unless the process is killed, and does no harm then.

    Raises:
        BlockingIOError: another process (or thread) has it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    carrier = folder / (f".{name}.lock" if name else ".lock")
    handle = _take(carrier, folder / name)
    try:
        yield
    finally:
        carrier.unlink(missing_ok=True)
        os.close(handle)


def _take(carrier: Path, what: Path) -> int:
    """An open handle of the file that carries a lock, with the lock."""
    while True:
        handle = os.open(carrier, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise BlockingIOError(
                f"{what} is in use by another process that writes there; wait until that has ended, "
                "or give another output"
            ) from error
        except OSError as error:
            warnings.warn(f"{what} cannot be locked ({error.strerror}); let no other process write there", stacklevel=4)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # who had it removed the file after it was opened here


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
