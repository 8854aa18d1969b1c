"""What stands before every request from the network, and around every answer."""

from __future__ import annotations

import asyncio
import hmac
import sys
import traceback
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 16_384
"""Of the body of a request."""
PATIENCE = 15.0
"""Seconds that a body may take to arrive."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
TOKEN_COOKIE = "dialog_token"

FAILED = "Something went wrong here, and nothing was changed. Try it again."

HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" browsers do not say where a form comes from
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class RefusedError(Exception):
    """A request that gets no more than a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


Refusal = Callable[[int, str], Response]
"""Makes the answer to a request that is refused."""


class Guard:
    """Lets through who may ask: from this machine by one of its names, or with the token.

    A page of somebody else cannot ask in the name of a person: not by a form (the origin is compared), not by a name of
    its own that it points to this machine (the host is compared where no token is needed), not in a frame.

    Args:
        app: what is guarded.
        refusal: makes answers to those who are refused.
        token: that has to be known; None where everybody on this machine may ask.
    """

    def __init__(self, app: ASGIApp, refusal: Refusal, token: str | None = None) -> None:
        self._app, self._refusal, self._token = app, refusal, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})

        begun = False

        async def guarded_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            response = self._checked(HTTPConnection(scope))
            if response is None:
                return await self._app(scope, receive, guarded_send)
        except RefusedError as error:
            response = self._refusal(error.status, error.sentence)
        except Exception as error:
            # What it says may be somebody else's words, which are escaped.
            print("".join(traceback.format_tb(error.__traceback__)) + repr(error), file=sys.stderr)
            if begun:
                return
            response = self._refusal(500, FAILED)
        await response(scope, receive, guarded_send)

    def _checked(self, asked: HTTPConnection) -> Response | None:
        """None for who may ask, the answer for who brings the token in the address.

        Raises:
            RefusedError: the others.
        """
        host = asked.headers.get("host", "")
        origin = asked.headers.get("origin")
        if asked.headers.get("sec-fetch-site") == "cross-site" and asked.scope["method"] != "GET":
            raise RefusedError(403, "This was asked by a page of somebody else.")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RefusedError(403, "This was asked by a page of somebody else.")
        if self._token is None:
            if urlsplit(f"//{host}").hostname not in LOOPBACK:
                raise RefusedError(421, "This machine is asked by a name that it does not know; use localhost.")
            return None
        known = asked.cookies.get(TOKEN_COOKIE, "")
        scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
        if self._is_token(known) or (scheme.lower() == "bearer" and self._is_token(bearer)):
            return None
        query = parse_qs(asked.url.query, max_num_fields=10)
        if asked.scope["method"] == "GET" and self._is_token(query.get("token", [""])[0]):
            response = RedirectResponse(asked.url.path, HTTPStatus.SEE_OTHER)
            response.set_cookie(TOKEN_COOKIE, self._token, httponly=True, samesite="strict", path="/")
            return response
        raise RefusedError(401, "A token is needed: add ?token=… to the address, as whoever runs this has told you.")

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), (self._token or "").encode())


async def body_of(request: Request) -> bytes:
    """The body of a request; RefusedError where it is too long or does not arrive."""
    body = bytearray()

    async def read() -> None:
        async for chunk in request.stream():
            body.extend(chunk)
            if len(body) > MOST_BYTES:
                raise RefusedError(413, f"That is too long: {MOST_BYTES:,} bytes may be sent at once.")

    try:
        await asyncio.wait_for(read(), PATIENCE)
    except asyncio.TimeoutError:
        raise RefusedError(408, "The request did not arrive whole. Send it again.") from None
    return bytes(body)
