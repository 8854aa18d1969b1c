"""Pictures of the page for the documents: `python -m tools.screenshots docs/play` drives Chromium through the rooms."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
import uvicorn
from playwright.sync_api import sync_playwright

from dialog_env.sessions.choice import Choice
from dialog_env.sessions.page.app import page_app
from dialog_env.sessions.rooms import Place
from dialog_env.sessions.store import Limits
from dialog_env.simulators import make_simulator

WIDE: dict[str, Any] = {"viewport": {"width": 960, "height": 640}, "color_scheme": "light"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 760},
    "color_scheme": "dark",
    "is_mobile": True,
    "has_touch": True,
}
SEED = 21
"""Of the first round of each picture."""


@contextmanager
def served(place: Place) -> Iterator[str]:
    """The address of the page, whose rounds have seeds in a row."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        app = page_app(place, Limits(), seeds=count(SEED).__next__)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def find(tab: Any, address: str, says: Any, turns: int) -> None:
    """Holds a dialog in which the describer speaks."""
    tab.goto(f"{address}/find")
    for turn in range(turns):
        if not tab.locator("#sentence").count():
            break
        tab.locator("#sentence").fill(says(tab, ".target", ".candidate"))
        tab.keyboard.press("Enter")
        tab.locator(".trail li").nth(turn + 1).wait_for()


def main(folder: Path) -> None:
    """Writes find.png, guess.png, judge.png and phone.png."""
    partner, user = Choice().open()
    describer = make_simulator("describer", partner.gallery)

    def says(tab: Any, *where: str) -> str:
        sources = [tab.locator(f"{each} img").get_attribute("src") for each in where]
        target, shown = (torch.tensor([int(source.rsplit("/", 1)[1][:-4])]) for source in sources)
        return describer.vocabulary.decode(describer.feedback(target, shown, torch.tensor([-1])).numpy())[0]

    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, served(Place(partner, user)) as address:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def picture(tab: Any, name: str, **settings: Any) -> None:
            tab.wait_for_load_state("networkidle")
            tab.screenshot(path=folder / f"{name}.png", **settings)

        tab = browser.new_context(**WIDE).new_page()
        find(tab, address, says, turns=1)
        picture(tab, "find", full_page=True)
        tab.goto(f"{address}/guess")
        picture(tab, "guess", full_page=True)
        tab.goto(f"{address}/judge")
        tab.locator("#sentence").fill(says(tab, ".target", ".candidate"))
        tab.keyboard.press("Enter")
        tab.locator(".sentences").wait_for()
        picture(tab, "judge", full_page=True)
        tab = browser.new_context(**PHONE).new_page()
        find(tab, address, says, turns=1)
        picture(tab, "phone")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
