"""The page in a real browser: Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dialog_env import agents
from dialog_env.catalog import load_catalog
from dialog_env.evaluate.records import RecordFile, read_records
from dialog_env.sessions import Partner, Session
from dialog_env.sessions.rooms import Place
from dialog_env.sessions.store import Limits
from dialog_env.simulators import make_simulator
from tests.sessions.people import sentence
from tests.sessions.web import served

pytestmark = pytest.mark.slow

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; the extra `dev` has it")
page_module = pytest.importorskip("dialog_env.sessions.page.app")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

if CHROMIUM is None:
    pytest.skip("no chromium here; `apt-get install chromium` gives one", allow_module_level=True)

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def place() -> Place:
    gallery = load_catalog("synthetic:60:1")
    user = make_simulator("captioner", gallery)
    return Place(Partner(agents.create("ceiling", vocabulary=user.vocabulary), gallery, user=user), user)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A tab of a new browser, at a server with a record of its own, that fails at what a person would not see."""

    def __init__(self, chromium: Any, place: Place, folder: Path, **settings: Any) -> None:
        self.file = folder / "records.jsonl"
        self.record = RecordFile(self.file)
        self._served = served(page_module.page_app(Place(place.partner, place.user, self.record), Limits()))
        self.base = f"http://127.0.0.1:{self._served.__enter__()}/"
        self.context = chromium.new_context(**settings)
        self.problems: list[str] = []
        self.tab = self.new_tab()

    def new_tab(self) -> Any:
        tab = self.context.new_page()
        tab.set_default_timeout(20_000)
        tab.on("pageerror", lambda error: self.problems.append(str(error)))
        tab.on("console", lambda told: self.problems.append(told.text) if told.type == "error" else None)
        tab.on("dialog", lambda dialog: self.problems.append(dialog.message))
        return tab

    def agree(self) -> None:
        self.tab.goto(self.base)
        self.tab.get_by_role("button", name="Yes, record it").click()
        self.tab.locator("#sentence").wait_for()

    def say(self, text: str) -> None:
        steps = self.tab.locator(".trail li").count()
        self.tab.locator("#sentence").fill(text)
        self.tab.keyboard.press("Enter")
        self.tab.locator(".trail li").nth(max(1, steps)).wait_for()

    def image(self, selector: str) -> int:
        source: str = self.tab.locator(f"{selector} img").get_attribute("src")
        return int(source.rsplit("/", 1)[1].removesuffix(".png"))

    def stop(self) -> None:
        self._served.__exit__(None, None, None)

    def records(self) -> list[Any]:
        return [each for each in read_records(self.file) if each.turns]

    def close(self) -> None:
        self.context.close()
        self.stop()
        self.record.close()


@pytest.fixture
def visit(chromium: Any, place: Place, tmp_path: Path) -> Iterator[Visit]:
    visit = Visit(chromium, place, tmp_path)
    visit.agree()
    yield visit
    visit.close()
    assert visit.problems == []


def test_the_target_is_found_by_typing_what_the_describer_says_and_the_record_gives_the_same_ranks(
    visit: Visit, place: Place
) -> None:
    describer = make_simulator("describer", place.partner.gallery)
    for _ in range(12):
        visit.say(sentence(describer, visit.image(".target"), visit.image(".candidate")))
        if visit.tab.get_by_role("heading", name="Found").count():
            break
    visit.tab.get_by_role("heading", name="Found").wait_for()
    visit.tab.keyboard.press("5")  # outside of a text, a key rates
    visit.tab.get_by_text("Thank you.").wait_for()
    (record,) = visit.records()
    assert record.end.found
    assert record.end.rating == 5
    session = Session(place.partner, first=record.begin.first, target=record.begin.target)
    for turn in record.turns:
        answer = session.say(turn.said)
        assert answer.rank == turn.rank
        assert answer.candidate.id == turn.shown
    assert session.found


def test_the_agent_is_played_by_keys(visit: Visit) -> None:
    visit.tab.goto(visit.base + "guess")
    for number in range(1, 9):
        visit.tab.keyboard.press(str(number))
        visit.tab.locator(".trail li").nth(number - 1).wait_for()
        if visit.tab.get_by_role("heading", name="Found after").count():
            break
    assert f"Found after {number} choice" in visit.tab.locator("h1").inner_text()
    visit.tab.keyboard.press("n")
    visit.tab.get_by_role("heading", name="Which one is meant?").wait_for()
    (record,) = visit.records()
    assert (record.begin.role, len(record.turns), record.end.found) == ("guess", number, True)


def test_sentences_are_judged_by_keys_and_none_is_executed(visit: Visit) -> None:
    visit.tab.goto(visit.base + "judge")
    text = "<script>alert(1)</script><img src=x onerror=alert(2)> يا أحمر \u202e red"
    visit.tab.locator("#sentence").fill(text)
    visit.tab.keyboard.press("Enter")
    visit.tab.locator(".sentences").wait_for()
    assert visit.tab.locator("dd q").first.inner_text() == text
    visit.tab.keyboard.press("1")
    visit.tab.get_by_role("heading", name="Thank you").wait_for()
    (record,) = visit.records()
    assert (record.turns[0].said, record.turns[0].verdict) == (text, "person")


def test_double_clicks_the_back_button_two_tabs_and_a_reload_do_no_harm(visit: Visit) -> None:
    tab = visit.tab
    tab.locator("#sentence").fill("is red")
    tab.get_by_role("button", name="Say it").dblclick()
    tab.locator(".trail li").nth(1).wait_for()
    assert tab.locator(".trail q").all_inner_texts() == ["is red"]
    other = visit.new_tab()
    other.goto(visit.base + "find")
    assert other.locator(".trail q").all_inner_texts() == ["is red"]
    visit.say("has a higher heel")
    other.locator("#sentence").fill("is blue")
    other.keyboard.press("Enter")
    other.get_by_text("out of date").wait_for()
    assert other.locator(".trail q").all_inner_texts() == ["is red", "has a higher heel"]
    tab.reload()
    tab.get_by_role("link", name="Guess").click()
    tab.locator(".options").wait_for()
    tab.go_back()
    tab.locator("#sentence").wait_for()
    assert tab.locator(".trail q").all_inner_texts() == ["is red", "has a higher heel"]
    tab.get_by_role("button", name="Take back").click()
    tab.locator(".trail li").nth(2).wait_for(state="detached")
    assert [turn.said for turn in visit.records()[0].turns] == ["is red"]


def test_a_second_click_that_comes_late_presses_nothing_on_the_new_page(visit: Visit) -> None:
    tab = visit.tab
    visit.say("is red")
    seen = tab.locator("#main").inner_html()
    for pressed in [*tab.locator("#main button:enabled").all(), *tab.locator("nav a").all()]:
        pressed.scroll_into_view_if_needed()
        box = pressed.bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tab.mouse.down(click_count=2)
        tab.mouse.up(click_count=2)
        assert not tab.evaluate("busy")
    assert tab.url == visit.base + "find"
    assert tab.locator("#main").inner_html() == seen
    visit.say("is blue")


def test_what_was_typed_is_kept_where_the_server_does_not_answer(chromium: Any, place: Place, tmp_path: Path) -> None:
    visit = Visit(chromium, place, tmp_path)
    visit.agree()
    visit.say("is red")
    visit.stop()
    visit.tab.locator("#sentence").fill("has a higher heel")
    visit.tab.keyboard.press("Enter")
    visit.tab.get_by_text("The server does not answer.").wait_for()
    assert visit.tab.locator("#sentence").input_value() == "has a higher heel"
    assert [turn.said for turn in visit.records()[0].turns] == ["is red"]
    visit.context.close()
    visit.record.close()


def test_without_script_the_page_does_the_same(chromium: Any, place: Place, tmp_path: Path) -> None:
    visit = Visit(chromium, place, tmp_path, java_script_enabled=False)
    visit.agree()
    visit.say("is red")
    visit.tab.locator(".strip button").nth(1).click()
    visit.tab.locator(".trail li").nth(2).wait_for()
    visit.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(scheme: str, chromium: Any, place: Place, tmp_path: Path) -> None:
    visit = Visit(chromium, place, tmp_path, color_scheme=scheme, **PHONE)
    visit.agree()
    visit.say("has a higher heel and is red and wonderfullywonderfullywonderfullywonderfullylongwonderfully")
    for room in ("", "find", "guess", "judge"):
        visit.tab.goto(visit.base + room)
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= 390
        heights = visit.tab.evaluate(
            "[...document.querySelectorAll('button, input:not([type=hidden])')].map(e => e.offsetHeight)"
        )
        assert min(heights, default=44) >= 44
    background = visit.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(20, 21, 26)") == (scheme == "dark")
    visit.close()
    assert visit.problems == []


def test_all_can_be_reached_by_the_tab_key_and_seen_where_it_is(visit: Visit) -> None:
    visit.say("is red")
    wanted = visit.tab.locator("a, button:not(:disabled), input:not([type=hidden])").count()
    visit.tab.locator("body").click(position={"x": 2, "y": 2})
    seen = set()
    for _ in range(wanted + 3):
        visit.tab.keyboard.press("Tab")
        focused = "document.activeElement"
        seen.add(visit.tab.evaluate(f"{focused}.outerHTML"))
        outline = visit.tab.evaluate(f"getComputedStyle({focused}).outlineStyle + {focused}.tagName")
        assert outline.startswith("solid") or outline.endswith("BODY")
    assert len(seen) >= wanted
