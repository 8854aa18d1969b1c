"""Sessions as a JSON service, for a front end of one's own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import dialog_env
from dialog_env.io.reading import understand
from dialog_env.sessions.desk import Desk
from dialog_env.sessions.guard import FAILED, Guard, RefusedError, body_of
from dialog_env.sessions.pictures import Pictures
from dialog_env.sessions.recording import CONSENT, Recording
from dialog_env.sessions.requests import SUMMARIES, Ended, Forgotten, Liked, NewSession, Said, Undone
from dialog_env.sessions.rooms import Place
from dialog_env.sessions.session import Session
from dialog_env.sessions.store import BusyError, FullError, Limits, Store

T = TypeVar("T")


@dataclass
class Kept:
    """A session of the service; one thing at a time is done with it.

    Args:
        session: itself.
        recording: its record, if there is one.
        warning: what its person has to know, such as that the disk is full; "" for nothing.
        seen: when its person was last answered, in seconds.
    """

    session: Session
    recording: Recording | None = None
    warning: str = ""
    seen: float = field(default_factory=time.monotonic)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Service:
    """The service.

    Args:
        place: where dialogs are held.
        limits: what is allowed.
    """

    def __init__(self, place: Place, limits: Limits) -> None:
        self.place = place
        self.pictures = Pictures(place.partner.gallery)
        self._kept: Store[Kept] = Store(limits)
        self._desk = Desk()

    def routes(self) -> list[Route]:
        """What there is."""
        served: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "GET /gallery": self._gallery,
            "GET /image/{image}": self._image,
            "POST /sessions": self._begin,
            "GET /sessions/{session}": self._look,
            "DELETE /sessions/{session}": self._drop,
            "POST /sessions/{session}/say": self._say,
            "POST /sessions/{session}/like": self._like,
            "POST /sessions/{session}/undo": self._undo,
            "POST /sessions/{session}/forget": self._forget,
            "POST /sessions/{session}/end": self._end,
        }
        return [
            Route("/", self._documentation),
            Route("/openapi.json", self._openapi),
            *(
                Route(path.replace("{image}", "{image:path}"), served[f"{method} {path}"], methods=[method])
                for path, method in SUMMARIES
            ),
        ]

    async def _documentation(self, request: Request) -> Response:
        rows = "".join(
            f"<tr><td>{method}</td><td><code>{escape(path)}</code></td><td>{escape(summary)}</td>"
            f"<td>{escape(', '.join(_fields(body)))}</td></tr>"
            for (path, method), (summary, body) in SUMMARIES.items()
        )
        return HTMLResponse(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            "<meta name=color-scheme content='light dark'><title>Dialogs as a service</title>"
            f"<h1>Dialogs as a service</h1><p>{escape(self._about())} "
            "All of it is told by <a href=/openapi.json>openapi.json</a> (OpenAPI 3.1).</p><table>"
            f"<tr><th>method<th>path<th>what it does<th>JSON</tr>{rows}</table>"
        )

    def _about(self) -> str:
        partner = self.place.partner
        return f"A person talks to agent {partner.agent.name} about {len(partner.gallery):,} images."

    async def _openapi(self, request: Request) -> Response:
        paths: dict[str, Any] = {}
        schemas: dict[str, Any] = {}
        for (path, method), (summary, body) in SUMMARIES.items():
            names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
            described: dict[str, Any] = {
                "summary": summary,
                "operationId": f"{method.lower()}{path.replace('/', '_').replace('{', '').replace('}', '')}",
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
                ],
                "responses": {
                    "default": {"$ref": "#/components/responses/refused"},
                    **({"200": {"description": "done"}} if path != "/sessions" else {"201": {"description": "begun"}}),
                },
            }
            if body is not None:
                schemas[body.__name__] = {**TypeAdapter(body).json_schema(), "description": body.__doc__}
                reference = {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
                described["requestBody"] = {"content": {"application/json": reference}}
            paths.setdefault(path, {})[method.lower()] = described
        refused = {
            "description": "what was wrong, in a sentence",
            "content": {
                "application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}
            },
        }
        return JSONResponse(
            {
                "openapi": "3.1.0",
                "info": {
                    "title": "Dialogs as a service",
                    "version": dialog_env.__version__,
                    "description": self._about(),
                },
                "paths": paths,
                "components": {
                    "schemas": schemas,
                    "responses": {"refused": refused},
                    "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                },
            }
        )

    async def _gallery(self, request: Request) -> Response:
        partner = self.place.partner
        return JSONResponse(
            {
                "agent": partner.agent.name,
                "gallery": partner.gallery.fingerprint,
                "images": len(partner.gallery),
                "words": list(partner.vocabulary.words[:-1]),
                "consent": CONSENT if self.place.file else None,
            }
        )

    async def _image(self, request: Request) -> Response:
        position = self.place.partner.positions.get(request.path_params["image"])
        if position is None:
            raise RefusedError(404, "There is no such image.")
        content = await asyncio.to_thread(self.pictures.encoded, position)
        return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=86400"})

    async def _begin(self, request: Request) -> Response:
        asked = await body_as(request, NewSession)
        if asked.record and self.place.file is None:
            raise RefusedError(409, "Nothing is recorded here; leave out record, or start the service with --record.")
        seed = secrets.randbits(31) if asked.seed is None else asked.seed

        def begin() -> Kept:
            session = Session(self.place.partner, first=asked.first, target=self._target(asked, seed), seed=seed)
            return Kept(session)

        try:
            made = await self._desk.run(begin)
            key, kept = self._kept.add(lambda: made)
        except ValueError as error:
            raise RefusedError(422, f"{error}") from error
        except FullError:
            raise RefusedError(503, "Too many sessions are held just now. Try again in a few minutes.") from None
        if asked.record and self.place.file is not None:
            await asyncio.to_thread(self._record, kept, seed)
        return JSONResponse({"id": key, **_state(kept)}, HTTPStatus.CREATED)

    def _target(self, asked: NewSession, seed: int) -> str | int | None:
        if asked.target != "drawn":
            return asked.target
        gallery, first = self.place.partner.gallery, self.place.partner.positions.get(asked.first or "")
        drawn = int(torch.randint(len(gallery), (), generator=torch.Generator().manual_seed(seed)))
        return (drawn + 1) % len(gallery) if drawn == first else drawn

    def _record(self, kept: Kept, seed: int) -> None:
        assert self.place.file is not None
        try:
            kept.recording = Recording(self.place.file, kept.session, seed=seed)
        except OSError as error:
            kept.warning = f"{error.strerror}; nothing of this session is recorded"

    async def _look(self, request: Request) -> Response:
        _, kept = self._found(request)
        return JSONResponse(_state(kept))

    async def _drop(self, request: Request) -> Response:
        key, _ = self._found(request)
        self._kept.drop(key)
        return JSONResponse({})

    async def _say(self, request: Request) -> Response:
        asked = await body_as(request, Said)
        return await self._change(request, asked.events, lambda session: self._desk.say(session, asked.sentence))

    async def _like(self, request: Request) -> Response:
        asked = await body_as(request, Liked)
        return await self._change(request, asked.events, lambda session: self._desk.run(session.like, asked.image))

    async def _undo(self, request: Request) -> Response:
        asked = await body_as(request, Undone)
        return await self._change(request, asked.events, lambda session: self._desk.run(session.undo))

    async def _forget(self, request: Request) -> Response:
        asked = await body_as(request, Forgotten)
        return await self._change(request, asked.events, lambda session: self._desk.run(session.forget, asked.event))

    async def _end(self, request: Request) -> Response:
        asked = await body_as(request, Ended)
        key, kept = self._found(request)
        async with kept.lock:
            self._kept.drop(key)
            if kept.recording is not None and not kept.recording.failed:
                try:
                    await asyncio.to_thread(kept.recording.end, found=asked.found, rating=asked.rating)
                except OSError as error:
                    kept.warning = f"{error.strerror}; the end of this session is not recorded"
        return JSONResponse(_state(kept))

    async def _change(self, request: Request, events: int | None, do: Callable[[Session], Awaitable[Any]]) -> Response:
        """Does something with a session; it is on the disk, where it is recorded, before that is answered."""
        _, kept = self._found(request)
        async with kept.lock:
            session = kept.session
            if events not in (None, len(session.events)):
                raise RefusedError(
                    409, f"The session has {len(session.events)} events and not {events}; look at it again."
                )
            milliseconds = round(1000 * (time.monotonic() - kept.seen))
            try:
                answer = await do(session)
            except ValueError as error:
                raise RefusedError(422, f"{error}") from error
            if kept.recording is not None and not kept.recording.failed:
                try:
                    await asyncio.to_thread(kept.recording.follow, milliseconds)
                except OSError as error:
                    kept.warning = f"{error.strerror}; nothing more of this session is recorded"
            state = _state(kept)
            kept.seen = time.monotonic()
        if hasattr(answer, "as_dict"):  # that of a sentence of which nothing was understood is kept nowhere else
            state["answer"] = answer.as_dict()
        return JSONResponse(state)

    def _found(self, request: Request) -> tuple[str, Kept]:
        key = request.path_params["session"]
        try:
            kept = self._kept.get(key)
        except BusyError:
            raise RefusedError(429, "That was too much at once. Wait a second.") from None
        if kept is None:
            raise RefusedError(404, "There is no such session: it has ended, or was left alone for too long.")
        return key, kept


def _state(kept: Kept) -> dict[str, Any]:
    state = {"events": len(kept.session.events), **kept.session.as_dict()}
    return {**state, "recorded": kept.recording is not None and not kept.recording.failed, "warning": kept.warning}


def _fields(body: type[Any] | None) -> list[str]:
    return [] if body is None else list(body.__dataclass_fields__)


async def body_as(request: Request, schema: type[T]) -> T:
    """The JSON in the body of a request; RefusedError where it is of another form."""
    content = await body_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content and kind != "application/json":
        raise RefusedError(415, "The body is not said to be JSON; send content-type: application/json.")
    try:
        return understand(content or b"{}", schema)
    except ValueError as error:
        raise RefusedError(422, f"The body is not what is expected here ({error}); see /openapi.json.") from error


def refusal(status: int, sentence: str) -> Response:
    """What is wrong, as JSON."""
    return JSONResponse({"error": sentence}, status)


def service_app(place: Place, limits: Limits, token: str | None = None) -> ASGIApp:
    """The service, guarded."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        return refusal(error.status, error.sentence)

    async def failed(request: Request, error: Exception) -> Response:
        return refusal(500, FAILED)

    async def unknown(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return refusal(status, "There is nothing here; see /openapi.json.")

    handlers: dict[Any, Any] = {RefusedError: refused, 404: unknown, 405: unknown, 500: failed}
    return Guard(Starlette(routes=Service(place, limits).routes(), exception_handlers=handlers), refusal, token)
