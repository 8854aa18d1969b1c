"""The page: its rooms, by forms alone, and what bad input gets."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dialog_env.catalog import Catalog
from dialog_env.evaluate.records import RecordFile, read_records
from dialog_env.sessions.rooms import Find, Guess, Place
from dialog_env.sessions.serving import Serving
from dialog_env.sessions.store import Limits
from tests.conftest import tiny_contents
from tests.sessions.people import Listening, ToyPerson, partner_of, sentence
from tests.sessions.test_words import STRANGE
from tests.sessions.web import Browser, served

page = pytest.importorskip("dialog_env.sessions.page.app")

GALLERY = Catalog(tiny_contents(size=30))
ROOMS = ("find", "guess", "judge")


@pytest.fixture(scope="module")
def place() -> Place:
    user = ToyPerson(GALLERY)
    return Place(partner_of(GALLERY, user=user), user)


@contextmanager
def opened(place: Place, token: str | None = None, **limits: Any) -> Iterator[int]:
    with served(page.page_app(place, Limits(**{"rate": 1e6, **limits}), token, seeds=count(3).__next__)) as port:
        yield port


@pytest.fixture(scope="module")
def port(place: Place) -> Iterator[int]:
    with opened(place) as port:
        yield port


@pytest.fixture
def browser(port: int) -> Browser:
    return Browser(port)


def shown(got: Any) -> list[int]:
    """Gallery positions of the images on a page."""
    return [int(each) for each in re.findall(r"/image/\w+/(\d+)\.png", got.text)]


def test_the_target_is_found_by_saying_how_it_differs(browser: Browser, place: Place) -> None:
    first = browser.get("/find")
    target, candidate = shown(first)
    got = first
    for _ in range(12):
        got = browser.do("/find", "say", sentence=sentence(place.user, target, candidate) + " please")
        assert "please" in got.words
        assert "The image is number" in got.words
        if "Found" in got.words:
            break
        assert shown(got)[0] == target
        candidate = shown(got)[1]
    assert "Found" in got.words
    assert "Thank you." in browser.do("/find", "rate", rating="4").notice
    assert "Lead the agent to the image" in browser.do("/find", "new").words


def test_what_was_said_is_taken_back_and_another_image_spoken_of(browser: Browser) -> None:
    first = browser.get("/find")
    assert "Take back" in first.words
    said = browser.do("/find", "say", sentence="more0 less1")
    other = next(image for image in shown(said)[2:7] if image != shown(said)[1])
    liked = browser.do("/find", "like", image=str(GALLERY.ids[other]))
    assert shown(liked)[1] == other
    assert shown(browser.do("/find", "undo"))[1] == shown(said)[1]
    assert shown(browser.do("/find", "undo"))[:2] == shown(first)[:2]
    assert "Nothing was said yet" in browser.do("/find", "undo").notice


def test_an_image_of_ones_own_is_found_or_given_up(browser: Browser) -> None:
    own = browser.do("/find", "new", own="yes")
    assert "in your mind" in own.words
    assert len(shown(own)) == 1
    assert "The image is number" not in browser.do("/find", "say", sentence="more0").words
    assert "Found" in browser.do("/find", "found").words
    assert "over; begin another" in browser.do("/find", "say", sentence="more0").notice
    browser.do("/find", "new")
    assert "Not found" in browser.do("/find", "give-up").words


def test_who_plays_the_agent_chooses_among_eight_until_it_is_the_one(browser: Browser) -> None:
    first = browser.get("/guess")
    options = shown(first)[1:9]
    assert len(set(options)) == 8
    for number, option in enumerate(options, 1):
        got = browser.do("/guess", "pick", image=str(GALLERY.ids[option]))
        if "Found after" in got.words:
            assert f"Found after {number} choice" in got.words
            assert "needs 4.5 on average" in got.words
            break
        assert "no choice any more" in browser.do("/guess", "pick", image=str(GALLERY.ids[option])).notice
    else:
        pytest.fail("the target is none of the eight")
    assert "Which one is meant?" in browser.do("/guess", "new").words


def test_who_judges_writes_first_and_then_sees_the_other_sentence(browser: Browser, place: Place) -> None:
    first = browser.get("/judge")
    target, candidate = shown(first)
    other = sentence(place.user, target, candidate)
    assert other not in first.words
    assert "can be done here" in browser.do("/judge", "judge", verdict="person").notice
    assert "no word in it" in browser.do("/judge", "write", sentence="?!").notice
    got = browser.do("/judge", "write", sentence="is much redder")
    assert "is much redder" in got.words
    assert other in got.words
    assert "choose one of the three" in browser.do("/judge", "judge", verdict="both").notice.lower()
    assert "Thank you" in browser.do("/judge", "judge", verdict="person").words
    assert shown(browser.do("/judge", "new")) != [target, candidate]


def test_options_are_the_target_its_nearest_and_others(place: Place) -> None:
    rounds = [Guess(place, seed, recorded=False) for seed in range(20)]
    for each in rounds:
        distance = ((GALLERY.features - GALLERY.features[each.target]) ** 2).sum(axis=1)
        near = [image for image in distance.argsort() if image not in (each.target, each.candidate)][:3]
        assert set(near) <= set(each.all_options)
        assert each.target in each.all_options
        assert each.candidate not in each.all_options
    assert len({each.all_options.index(each.target) for each in rounds}) > 4
    small = Catalog(tiny_contents(size=4))
    user = ToyPerson(small)
    assert len(Guess(Place(partner_of(small, user=user), user), 0, recorded=False).all_options) == 3


@pytest.mark.parametrize("text", [*STRANGE.values(), '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "%s %n"])
def test_strange_sentences_are_shown_as_text(text: str, browser: Browser) -> None:
    text = text.replace("\ud800", "\ufffd")
    got = browser.do("/find", "say", sentence=f"{text} more0")
    assert escape(text, quote=False).split("\x00")[0] in got.text.replace("&#39;", "'").replace("&#34;", '"')
    assert not re.search(r"<script>alert|<img src=x", got.text)
    assert "49" not in browser.do("/judge", "write", sentence=text + " word").words.replace("of 49", "")


@pytest.mark.parametrize("text", ["", "   ", "crimson", "👠"])
def test_a_sentence_of_which_nothing_is_understood_leaves_all_as_it_is(text: str, browser: Browser) -> None:
    before = shown(browser.get("/find"))
    got = browser.do("/find", "say", sentence=text)
    assert "No word of that was understood" in got.notice
    assert shown(got) == before
    assert browser.get("/find").notice == ""


def test_a_sentence_that_is_too_long_is_told(browser: Browser) -> None:
    browser.get("/find")
    assert "10,000 characters; say it in at most 1,000" in browser.do("/find", "say", sentence="x" * 10_000).notice
    refused = browser.post("/find", do="say", sentence="x" * 20_000)
    assert refused.status == 413
    assert "16,384 bytes" in refused.words


def test_a_form_that_is_sent_twice_counts_once(browser: Browser) -> None:
    step = browser.get("/find").step
    once = browser.post("/find", do="say", step=step, sentence="more0")
    twice = browser.post("/find", do="say", step=step, sentence="more0")
    assert "out of date" in twice.notice
    assert shown(twice) == shown(once)


def test_two_tabs_and_a_reload_see_the_same_dialog(browser: Browser) -> None:
    tab = browser.get("/find")
    said = browser.do("/find", "say", sentence="more0 less1")
    assert shown(browser.get("/find")) == shown(said) == shown(browser.get("/find"))
    stale = browser.post("/find", do="undo", step=tab.step)
    assert "out of date" in stale.notice
    assert shown(stale) == shown(said)


def test_visitors_do_not_see_each_other(port: int) -> None:
    one, other = Browser(port), Browser(port)
    one.do("/find", "say", sentence="more0 less1 unheardof")
    assert "unheardof" not in other.get("/find").words
    other.cookies = {page.COOKIE: "../../etc/passwd"}
    assert "unheardof" not in other.get("/find").words
    assert other.cookies[page.COOKIE] != "../../etc/passwd"


def test_a_dialog_that_was_left_alone_is_forgotten_and_that_is_told(place: Place) -> None:
    with opened(place, idle=0.3) as port:
        browser = Browser(port)
        step = browser.get("/find").step
        time.sleep(0.5)
        got = browser.post("/find", do="say", step=step, sentence="more0")
        assert got.status == 200
        assert "no longer here" in got.notice


def test_too_many_people_and_too_many_requests_are_told(place: Place) -> None:
    with opened(place, sessions=2, rate=0.001, burst=3) as port:
        browsers = [Browser(port) for _ in range(3)]
        got = [browser.get("/find") for browser in browsers]
        assert [each.status for each in got] == [200, 200, 503]
        assert "Too many people" in got[2].words
        answers = [browsers[0].get("/find") for _ in range(4)]
        assert answers[-1].status == 429
        assert "Wait a second" in answers[-1].words


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/image/{}/30.png",
            "/image/{}/-1.png",
            "/image/{}/1e1.png",
            "/image/other/1.png",
            "/image/{}/1.png/..%2f..%2fx",
        ),
        *("/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/etc/passwd"),
        *(
            "/image/{}/99999999999999999999999.png",
            "/find/../../etc/passwd",
            "/%00",
            "/docs",
            "/<script>alert(1)</script>",
        ),
    ],
)
def test_what_is_not_there_is_told(path: str, browser: Browser) -> None:
    got = browser.ask("GET", path.format(GALLERY.fingerprint))
    assert got.status == 404
    assert "root:" not in got.text
    assert "<script>alert" not in got.text


def test_images_are_pictures_of_the_gallery(browser: Browser) -> None:
    got = browser.get(f"/image/{GALLERY.fingerprint}/3.png")
    assert got.headers["content-type"] == "image/png"
    assert got.body.startswith(b"\x89PNG")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(method: str, browser: Browser) -> None:
    assert browser.ask(method, "/find").status == 405


@pytest.mark.parametrize("body", [b"{}", b"\xff\xfe\x00", b"a=1&" * 3000, b"&" * 10_000, b"do=say;step=0"])
def test_a_body_that_is_no_form_does_nothing(body: bytes, browser: Browser) -> None:
    before = shown(browser.get("/find"))
    got = browser.ask("POST", "/find", body)
    assert got.status in (303, 400)
    assert shown(browser.get("/find")) == before


def test_every_answer_forbids_scripts_of_others(browser: Browser) -> None:
    for path in ("/", "/find", "/nowhere", "/static/style.css", f"/image/{GALLERY.fingerprint}/3.png"):
        headers = browser.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert browser.get("/find").headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?! src=\"/static/)|\son\w+=|style=|https?://", browser.get("/find").text)


def test_pages_of_others_cannot_ask(browser: Browser) -> None:
    step = browser.get("/find").step
    body = f"do=say&step={step}&sentence=more0"
    assert browser.ask("POST", "/find", body, origin="https://evil.example").status == 403
    assert browser.ask("POST", "/find", body, origin="null").status == 403
    assert browser.ask("POST", "/find", body, sec_fetch_site="cross-site").status == 403
    assert browser.ask("GET", "/find", host="evil.example:80").status == 421
    assert browser.get("/find").step == step
    assert browser.ask("POST", "/find", body, origin=f"http://127.0.0.1:{browser.port}").status == 303


def test_with_a_token_nobody_gets_in_without_it(place: Place) -> None:
    token = "a-long-token-of-letters"
    with opened(place, token) as port:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": token}, {"authorization": "Bearer é"}):
            got = Browser(port).ask(
                "GET", "/find", **{k: v.encode("latin-1").decode("latin-1") for k, v in headers.items()}
            )
            assert got.status == 401
            assert "A token is needed" in got.words
        assert Browser(port).ask("GET", "/?token=wrong").status == 401
        assert Browser(port).ask("POST", f"/?token={token}", "agree=no").status == 401
        assert Browser(port).get("/find", authorization=f"Bearer {token}").status == 200
        browser = Browser(port)
        got = browser.ask("GET", f"/find?token={token}", host="shoes.example")
        assert (got.status, got.headers["location"]) == (303, "/find")
        assert "HttpOnly" in got.headers["set-cookie"]
        assert browser.get("/find").status == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0"}, "give --token as well"),
        ({"host": "192.0.2.1"}, "give --token as well"),
        ({"host": "::"}, "give --token as well"),
        ({"host": "shoes.example"}, "give --token as well"),
        ({"token": "short"}, "16 letters"),
        ({"token": "long enough but \n not a word"}, "16 letters"),
        ({"port": 70_000}, "give 0 to 65535"),
        ({"sessions": 0}, "give 1 or more"),
        ({"idle": float("nan")}, "give 1 or more"),
    ],
)
def test_what_would_let_others_in_does_not_start(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said), Serving(**{"port": 0, **options}).listening():
        pass


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: .*give another --port"), Serving(port=port).listening():
            pass
    with Serving(port=0, host="localhost").listening() as bound:
        assert Serving(host="localhost").address(bound) == f"http://localhost:{bound.getsockname()[1]}/"


def recording(place: Place, path: Path) -> Place:
    return Place(place.partner, place.user, RecordFile(path))


def test_nothing_is_recorded_before_a_yes(place: Place, tmp_path: Path) -> None:
    place = recording(place, tmp_path / "r.jsonl")
    with opened(place) as port:
        for answer in (None, "no"):
            browser = Browser(port)
            for room in ROOMS:
                assert "May it be recorded?" in browser.get(f"/{room}").words
            if answer:
                browser.post("/", agree=answer)
                assert "Nothing you do is recorded" in browser.do("/find", "say", sentence="more0").words
                browser.do("/judge", "write", sentence="is red")
        assert (tmp_path / "r.jsonl").read_bytes() == b""
        browser = Browser(port)
        assert "Say first whether" in browser.get("/judge").notice
        assert "recorded under a random number" in browser.post("/", agree="yes").words
        browser.do("/find", "say", sentence="more0 crimson")
        browser.do("/find", "give-up")
        browser.do("/find", "rate", rating="2")
        options = shown(browser.get("/guess"))[1:9]
        browser.do("/guess", "pick", image=str(GALLERY.ids[options[0]]))
        browser.do("/guess", "new")
        browser.do("/judge", "write", sentence="is <b>red</b>")
        browser.do("/judge", "judge", verdict="same")
    assert place.file is not None
    place.file.close()
    records = [each for each in read_records(tmp_path / "r.jsonl") if each.turns]
    assert [each.begin.role for each in records] == ["find", "guess", "judge"]
    find, guess, judge = records
    assert (find.turns[0].said, find.begin.user) == ("more0 crimson", "person")
    assert find.end is not None
    assert (find.end.gave_up, find.end.rating) == (not find.end.found, 2)
    assert guess.begin.agent == "person"
    assert guess.turns[0].options == tuple(str(GALLERY.ids[each]) for each in options)
    assert (judge.turns[0].said, judge.turns[0].verdict) == ("is <b>red</b>", "same")
    assert judge.turns[0].other
    text = (tmp_path / "r.jsonl").read_text()
    assert "127.0.0.1" not in text
    assert browser.cookies[page.COOKIE] not in text


class Full:
    def append(self, *lines: object) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_and_the_dialog_goes_on(place: Place) -> None:
    with opened(Place(place.partner, place.user, Full())) as port:  # type: ignore[arg-type]
        browser = Browser(port)
        browser.post("/", agree="yes")
        browser.do("/find", "new")
        got = browser.do("/find", "say", sentence="more0")
        assert "Heard: more0" in got.words
        told = (
            browser.do("/judge", "write", sentence="is red").notice
            + browser.do("/judge", "judge", verdict="same").notice
        )
        assert "No space left on device. The dialog goes on, but nothing more of it is recorded." in told
        assert "No space left" in browser.do("/guess", "new").notice
    room = Find(Place(place.partner, place.user, Full()), 1, recorded=True)  # type: ignore[arg-type]
    assert "No space left on device" in room.notice


def test_an_agent_that_fails_is_told_and_nothing_has_changed() -> None:
    agent, user = Listening(vocabulary=ToyPerson(GALLERY).vocabulary), ToyPerson(GALLERY)
    place = Place(partner_of(GALLERY, user=user), user)
    place.partner.agent = agent
    agent.bind(GALLERY)
    with opened(place) as port:
        browser = Browser(port)
        said = browser.do("/find", "say", sentence="more0")
        agent.broken = True
        got = browser.do("/find", "say", sentence="more1")
        assert "contain nan" in got.notice
        assert shown(got) == shown(said)


def test_what_goes_wrong_in_the_server_tells_nothing_of_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Find) -> None:
        raise RuntimeError("secret")

    with opened(place) as port:
        browser = Browser(port)
        browser.get("/find")
        monkeypatch.setattr(Find, "look", fail)
        got = browser.get("/find")
        assert got.status == 500
        assert "nothing was changed" in got.words
        assert "secret" not in got.text
    assert "secret" in capfd.readouterr().err


def test_colours_can_be_told_apart_by_who_sees_little() -> None:
    css = (Path(page.__file__).parent / "static" / "style.css").read_text()
    for theme in re.findall(r":root \{(.*?)\}", css, re.DOTALL):
        colour = dict(re.findall(r"--([\w-]+): (#\w{6});", theme))
        pairs = [("ink", "paper"), ("ink", "card"), ("faint", "paper"), ("faint", "card"), ("on-main", "main")]
        pairs += [("main", "paper"), ("bad", "paper"), ("note-ink", "note"), ("ink", "soft")]
        assert [pair for pair in pairs if contrast(*(colour[name] for name in pair)) < 4.5] == []
        assert contrast(colour["line"], colour["card"]) >= 3
        assert contrast(colour["hit"], colour["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_image_has_words_and_every_field_a_label(browser: Browser) -> None:
    browser.do("/find", "say", sentence="more0 less1")
    for room in ROOMS:
        text = browser.get(f"/{room}").text
        assert all(re.search(r'alt="[^"]{10,}"', image) for image in re.findall(r"<img[^>]*>", text))
        for field in re.findall(r'<input id="(\w+)"', text):
            assert f'<label for="{field}">' in text
        assert text.count("<h1>") == 1
        assert 'lang="en"' in text
