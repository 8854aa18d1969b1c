"""Ray as this project starts it: nothing is reported to anybody, and no token is left in the home folder."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

INSTALL = "pip install 'dialog-retrieval[ray]'"
OBJECT_STORE_BYTES = 80 << 20
"""What is handed between processes; little more than the least that Ray takes."""
STARTS = 3
"""How often Ray is asked to start."""
PATIENCE = 10.0
"""Seconds in which a cluster has to answer."""


def one_address(given: Sequence[str]) -> str | None:
    """What stands after `--ray`, None for this machine; ValueError for more than one address."""
    if len(given) > 1:
        raise ValueError(f"--ray takes one address, not {len(given)}")
    return given[0] if given else None


def import_ray(what: str, instead: str = "") -> ModuleType:
    """The package; ImportError, in one sentence, where it is not installed.

    Args:
        what: needs it.
        instead: what else can be done.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as later releases do, without a warning
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"{what} needs Ray, which is not installed; {INSTALL}{instead}") from error
    return ray


@contextmanager
def ray_at(address: str | None, what: str, instead: str = "", **resources: Any) -> Iterator[ModuleType]:
    """Ray, connected until the block ends.

    Args:
        address: of a cluster, as `ray.init` takes it; None starts Ray on this machine, in a folder that is removed in
            the end, guarded by a token that is nowhere but in the environment of its processes. Where the program has
            connected Ray before, that is taken and left as it is.
        what: needs it.
        instead: what else can be done where Ray is not installed.
        resources: `num_cpus` and `num_gpus` of a Ray that is started; those of the machine where left out.

    Raises:
        ImportError: Ray is not installed.
        OSError: nobody answers at the address.
    """
    if address is None and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    ray = import_ray(what, instead)
    if ray.is_initialized():
        yield ray
        return
    if address is not None:
        _require_answer(address)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        own: dict[str, Any] = {
            **resources,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": folder,
            "_system_config": {"task_oom_retries": 3},
        }
        try:
            if address is None:
                _start(ray, {**quiet, **own})
            else:
                ray.init(address, **quiet)
        except Exception as error:  # Ray raises that itself
            raise _unreachable("on this machine" if address is None else f"at {address}", error) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _start(ray: ModuleType, settings: dict[str, Any]) -> None:
    """Starts Ray here; it gives up after 30 seconds, which a busy machine may need, so that it is asked again."""
    for number in range(STARTS):
        try:
            ray.init("local", **settings)
            return
        except Exception:
            ray.shutdown()
            if number == STARTS - 1:
                raise


def _require_answer(address: str) -> None:
    """OSError where nobody listens at host:port; Ray itself would wait for minutes, and may end the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return  # "auto", which Ray looks up
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(f"at {address}", error) from error


def _unreachable(where: str, error: Exception) -> OSError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return OSError(f"Ray could not be reached {where} ({first}); start it there with `ray start --head`")
