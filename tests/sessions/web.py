"""A server in a thread, and somebody who asks it, byte by byte if need be."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed; the extra `web` has it")
pytest.importorskip("starlette", reason="starlette is not installed; the extra `web` has it")
pytest.importorskip("jinja2", reason="jinja2 is not installed; the extra `web` has it")


@contextmanager
def served(app: Any) -> Iterator[int]:
    """The port at which an app is served by uvicorn, as `dialog_env.sessions.serving.serve` does."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(1024)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            thread.join(20)


@dataclass
class Got:
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def words(self) -> str:
        """What a person reads of a page."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<head>.*?</head>", "", self.text))).split())

    @property
    def notice(self) -> str:
        found = re.search(r'(?s)<div class="notice"[^>]*>(.*?)</div>', self.text)
        return unescape(re.sub(r"<[^>]*>", "", found[1])).strip() if found else ""

    @property
    def step(self) -> str:
        return re.findall(r'name="step" value="(\d+)"', self.text)[0]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Browser:
    """Keeps cookies, follows redirections, runs no script."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Got:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(method, path, body, given)
        response = connection.getresponse()
        got = Got(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                key, _, kept = value.split(";")[0].partition("=")
                self.cookies[key] = kept
        connection.close()
        return got

    def get(self, path: str, **headers: str) -> Got:
        got = self.ask("GET", path, **headers)
        return self.get(got.headers["location"]) if got.status == 303 else got

    def post(self, path: str, **fields: str) -> Got:
        """Sends a form; the page that follows."""
        got = self.ask("POST", path, urlencode(fields), content_type="application/x-www-form-urlencoded")
        return self.get(got.headers["location"]) if got.status == 303 else got

    def do(self, path: str, do: str, **fields: str) -> Got:
        """Sends a form of the page as it is now."""
        return self.post(path, do=do, step=self.get(path).step, **fields)
