"""The page: three rooms, each at one address, whose forms say what is done."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from dialog_env.sessions.desk import Desk
from dialog_env.sessions.guard import FAILED, Guard, RefusedError, body_of
from dialog_env.sessions.pictures import Pictures
from dialog_env.sessions.recording import CONSENT
from dialog_env.sessions.rooms import Find, Guess, Judge, Place, Room
from dialog_env.sessions.store import BusyError, FullError, Limits, Store
from dialog_env.sessions.words import MOST_LETTERS

COOKIE = "dialog_visitor"
STALE = "That was done on a page that is out of date, perhaps twice or in another tab. This is where the dialog is now."
GONE = "The dialog of before is no longer here: it was left alone for too long, or the server was started again."
LABELS = {"find": "Find", "guess": "Guess", "judge": "Judge"}


@dataclass
class Visitor:
    """One browser.

    Args:
        agreed: whether dialogs may be recorded; None where that was not answered yet.
        rooms: name to the round that is under way there.
        notice: what the first page has to say.
        lock: one thing at a time is done for a visitor.
    """

    agreed: bool | None = None
    rooms: dict[str, Room] = field(default_factory=dict)
    notice: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Page:
    """The page.

    Args:
        place: where dialogs are held.
        limits: what is allowed.
        seeds: gives the seed of each round.
    """

    def __init__(self, place: Place, limits: Limits, seeds: Callable[[], int] = lambda: secrets.randbits(31)) -> None:
        self.place, self._seeds = place, seeds
        self.pictures = Pictures(place.partner.gallery)
        self._visitors: Store[Visitor] = Store(limits)
        self._desk = Desk()
        self._templates = Environment(loader=PackageLoader(__package__), autoescape=True, trim_blocks=True)
        self._templates.lstrip_blocks = True
        self._actions: dict[str, Callable[[Visitor, Mapping[str, str]], Awaitable[None]]] = {
            "find": self._find,
            "guess": self._guess,
            "judge": self._judge,
        }

    def routes(self) -> list[Route | Mount]:
        """What there is."""
        return [
            Route("/", self._home, methods=["GET", "POST"]),
            *(Route(f"/{name}", self._room, methods=["GET", "POST"], name=name) for name in LABELS),
            Route(f"/image/{self.place.partner.gallery.fingerprint}/{{position:int}}.png", self._image),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ]

    def refusal(self, status: int, sentence: str) -> Response:
        """The page for who is refused."""
        return self._html("refused.html", status, sentence=sentence, title=HTTPStatus(status).phrase)

    async def _image(self, request: Request) -> Response:
        position = request.path_params["position"]
        if position >= len(self.place.partner.gallery):
            raise RefusedError(404, "There is no such image.")
        content = await asyncio.to_thread(self.pictures.encoded, position)
        return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=86400"})

    async def _home(self, request: Request) -> Response:
        visitor, key = self._visitor(request)
        if request.method == "POST":
            form = await form_of(request)
            async with visitor.lock:
                visitor.agreed = form.get("agree") == "yes"
                visitor.rooms.clear()
            return self._known(RedirectResponse("/find", HTTPStatus.SEE_OTHER), key)
        notice, visitor.notice = visitor.notice, ""
        shown = self._html("home.html", visitor=visitor, notice=notice, room="", title="Talk to an agent")
        return self._known(shown, key)

    async def _room(self, request: Request) -> Response:
        visitor, key = self._visitor(request)
        name = request.scope["path"].strip("/")
        if visitor.agreed is None and self.place.file is not None:
            visitor.notice = "Say first whether it may be recorded."
            return self._known(RedirectResponse("/", HTTPStatus.SEE_OTHER), key)
        form = await form_of(request) if request.method == "POST" else None
        async with visitor.lock:
            if name not in visitor.rooms:
                visitor.rooms[name] = await self._new(name, visitor)
                visitor.rooms[name].notice = GONE if form is not None else ""
            elif form is not None:
                await self._act(name, visitor, form)
            if form is not None:
                return self._known(RedirectResponse(f"/{name}", HTTPStatus.SEE_OTHER), key)
            return self._known(self._shown(name, visitor), key)

    async def _act(self, name: str, visitor: Visitor, form: Mapping[str, str]) -> None:
        """Does what a form says, if it was made where the dialog is now."""
        room = visitor.rooms[name]
        if form.get("do") != "new" and form.get("step") != f"{room.step}":
            room.notice = STALE
            return
        try:
            await self._actions[name](visitor, form)
        except ValueError as error:
            room.notice = f"{error}.".capitalize()

    async def _new(self, name: str, visitor: Visitor, **settings: Any) -> Room:
        kinds: dict[str, type[Room]] = {"find": Find, "guess": Guess, "judge": Judge}
        agreed = bool(visitor.agreed)
        return await self._desk.run(lambda: kinds[name](self.place, self._seeds(), agreed, **settings))

    async def _find(self, visitor: Visitor, form: Mapping[str, str]) -> None:
        room, do = visitor.rooms["find"], form.get("do", "")
        assert isinstance(room, Find)
        if do == "new":
            if not room.over:
                room.end(found=False)
            await asyncio.to_thread(room.close)
            visitor.rooms["find"] = await self._new("find", visitor, own=form.get("own") == "yes")
        elif do == "rate" and room.over:
            rating = form.get("rating", "")
            await asyncio.to_thread(room.rate, int(rating) if rating in set("12345") else None)
        elif room.over:
            raise ValueError("this dialog is over; begin another")
        elif do == "say":
            answer = await self._desk.say(room.session, form.get("sentence", ""))
            await asyncio.to_thread(room.done, answer)
        elif do == "like":
            room.session.like(form.get("image", ""))
            await asyncio.to_thread(room.done)
        elif do == "undo":
            room.session.undo()
            await asyncio.to_thread(room.done)
        elif do in ("found", "give-up"):
            room.end(found=do == "found")
        else:
            raise ValueError("that is nothing that can be done here")

    async def _guess(self, visitor: Visitor, form: Mapping[str, str]) -> None:
        room, do, image = visitor.rooms["guess"], form.get("do", ""), form.get("image", "")
        assert isinstance(room, Guess)
        if do == "new":
            await asyncio.to_thread(room.close)
            visitor.rooms["guess"] = await self._new("guess", visitor)
        elif do == "pick":
            await self._desk.run(room.pick, self.place.partner.positions.get(image, -1))
        else:
            raise ValueError("that is nothing that can be done here")

    async def _judge(self, visitor: Visitor, form: Mapping[str, str]) -> None:
        room, do, verdict = visitor.rooms["judge"], form.get("do", ""), form.get("verdict", "")
        assert isinstance(room, Judge)
        if do == "new":
            visitor.rooms["judge"] = await self._new("judge", visitor)
        elif do == "write" and not room.said:
            await self._desk.run(room.write, form.get("sentence", ""))
        elif do == "judge" and room.said and not room.over:
            if verdict not in ("person", "simulator", "same"):
                raise ValueError("choose one of the three")
            await asyncio.to_thread(room.judge, verdict)  # type: ignore[arg-type]
        else:
            raise ValueError("that is nothing that can be done here")

    def _shown(self, name: str, visitor: Visitor) -> Response:
        room = visitor.rooms[name]
        notice, room.notice = room.notice, ""
        room.look()
        return self._html(f"{name}.html", visitor=visitor, room=name, state=room, notice=notice, title=LABELS[name])

    def _html(self, template: str, status: int = 200, **values: Any) -> Response:
        text = self._templates.get_template(template).render(
            labels=LABELS,
            place=self.place,
            gallery=self.place.partner.gallery,
            pictures=self.pictures,
            consent=CONSENT,
            most_letters=MOST_LETTERS,
            **values,
        )
        return HTMLResponse(text, status)

    def _visitor(self, request: Request) -> tuple[Visitor, str]:
        """Who asks; somebody new where nobody is known by the cookie."""
        key = request.cookies.get(COOKIE, "")
        try:
            visitor = self._visitors.get(key)
            if visitor is None:
                key, visitor = self._visitors.add(Visitor)
        except BusyError:
            raise RefusedError(429, "That was too much at once. Wait a second, then load the page again.") from None
        except FullError:
            raise RefusedError(503, "Too many people are here just now. Try again in a few minutes.") from None
        return visitor, key

    def _known(self, response: Response, key: str) -> Response:
        response.set_cookie(COOKIE, key, httponly=True, samesite="strict", path="/")
        return response


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; RefusedError where it is none."""
    body = await body_of(request)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise RefusedError(400, "That is no form of this page.") from None


def page_app(place: Place, limits: Limits, token: str | None = None, **settings: Any) -> ASGIApp:
    """The page, guarded."""
    page = Page(place, limits, **settings)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        return page.refusal(error.status, error.sentence)

    async def failed(request: Request, error: Exception) -> Response:
        return page.refusal(500, FAILED)

    async def unknown(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return page.refusal(status, "There is nothing here." if status == 404 else "That cannot be done here.")

    app = Starlette(
        routes=page.routes(), exception_handlers={RefusedError: refused, 404: unknown, 405: unknown, 500: failed}
    )
    return Guard(app, page.refusal, token)
