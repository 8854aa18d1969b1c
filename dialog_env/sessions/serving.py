"""How `play` and `serve` are started: where they listen, whom they let in, how much is allowed."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dialog_env.evaluate.records import RecordFile
from dialog_env.sessions.choice import Choice
from dialog_env.sessions.rooms import Place
from dialog_env.sessions.store import Limits

BACKLOG = 1024
"""Connections that may wait to be taken."""


@dataclass
class Serving(Choice):
    """Where to listen, and whom to let in."""

    host: str = "127.0.0.1"
    """Address to listen at; beyond this machine only with a token."""
    port: int = 8765
    """Port to listen at; 0 for any that is free."""
    token: str | None = None
    """What everybody has to know who asks, of 16 characters or more; needed to listen beyond this machine."""
    record: Path | None = None
    """File to which dialogs of those who agree are appended; nothing is recorded where left out."""
    sessions: int = 2_000
    """Dialogs kept at once."""
    idle: float = 3_600.0
    """Seconds after which a dialog that nobody goes on with is forgotten."""

    @property
    def limits(self) -> Limits:
        """What is allowed."""
        return Limits(sessions=self.sessions, idle=self.idle)

    @contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """The socket, bound.

        Raises:
            ValueError: an address beyond this machine without a token, a token that is too short, limits below 1.
            OSError: the address cannot be used.
        """
        if self.sessions < 1 or not self.idle > 0:
            raise ValueError(f"sessions is {self.sessions} and idle {self.idle}; give 1 or more, and seconds above 0")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; give 0 to 65535")
        if self.token is not None and (
            len(self.token) < 16 or not self.token.isascii() or not self.token.isprintable()
        ):
            raise ValueError("the token can be guessed or typed wrongly; give 16 letters and digits or more")
        if self.token is None and not _is_loopback(self.host):
            raise ValueError(
                f"{self.host} is an address that others can reach; give --token as well, or stay at 127.0.0.1"
            )
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind((self.host, self.port))
            except OSError as error:
                raise OSError(error.errno, f"{self.host}:{self.port}: {error.strerror}; give another --port") from error
            bound.listen(BACKLOG)
            yield bound

    @contextmanager
    def place(self) -> Iterator[Place]:
        """The agent, the simulator and the file, which is closed afterwards."""
        partner, user = self.open()
        if self.record is None:
            yield Place(partner, user)
        else:
            with RecordFile(self.record) as file:
                yield Place(partner, user, file)

    def address(self, bound: socket.socket) -> str:
        """Of the first page, without the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{bound.getsockname()[1]}/"


def serve(app: Any, bound: socket.socket) -> None:
    """Answers requests until Ctrl-C. Nothing of a request is logged."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[bound])


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
