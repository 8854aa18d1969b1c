"""Sessions as a JSON service, and what bad input gets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from dialog_env.catalog import Catalog
from dialog_env.evaluate.records import RecordFile, read_records
from dialog_env.sessions import Session
from dialog_env.sessions.rooms import Place
from dialog_env.sessions.store import Limits
from tests.conftest import REPOSITORY, tiny_contents
from tests.sessions.people import Listening, ToyPerson, partner_of, sentence
from tests.sessions.test_words import STRANGE
from tests.sessions.web import Browser, Got, served

service = pytest.importorskip("dialog_env.sessions.service")

GALLERY = Catalog(tiny_contents(size=30))


@pytest.fixture(scope="module")
def place() -> Place:
    user = ToyPerson(GALLERY)
    return Place(partner_of(GALLERY, user=user), user)


@contextmanager
def opened(place: Place, token: str | None = None, **limits: Any) -> Iterator[int]:
    with served(service.service_app(place, Limits(**{"rate": 1e6, **limits}), token)) as port:
        yield port


class Client(Browser):
    def send(self, path: str, method: str = "POST", **fields: Any) -> Got:
        return self.ask(method, path, json.dumps(fields), content_type="application/json")

    def begin(self, **fields: Any) -> str:
        got = self.send("/sessions", **fields)
        assert got.status == 201, got.text
        return f"/sessions/{got.json()['id']}"


@pytest.fixture(scope="module")
def port(place: Place) -> Iterator[int]:
    with opened(place) as port:
        yield port


@pytest.fixture
def client(port: int) -> Client:
    return Client(port)


def without_numbers(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key not in ("id", "recorded", "warning", "events")}


def test_a_session_answers_as_in_python(client: Client, place: Place) -> None:
    path = client.begin(first="tiny-003", target="tiny-009", seed=1)
    session = Session(place.partner, first="tiny-003", target="tiny-009")
    said = sentence(place.user, 9, 3) + " crimson"
    steps = [
        ("say", {"sentence": said}, lambda: session.say(said)),
        ("like", {"image": "tiny-011"}, lambda: session.like("tiny-011")),
        ("say", {"sentence": "less1", "events": 2}, lambda: session.say("less1")),
        ("forget", {"event": 0}, lambda: session.forget(0)),
        ("undo", {}, session.undo),
    ]
    for name, fields, do in steps:
        got = client.send(f"{path}/{name}", **fields)
        do()
        assert got.status == 200
        assert without_numbers(got.json()) == json.loads(json.dumps(session.as_dict()))
        assert got.json()["events"] == len(session.events)
        assert client.get(path).json() == got.json()
    assert client.send(f"{path}/forget").json()["session"]["events"] == []
    assert client.send(path, "DELETE").status == 200
    assert client.get(path).status == 404


def test_what_there_is_can_be_asked(client: Client) -> None:
    facts = client.get("/gallery").json()
    assert (facts["agent"], facts["images"], facts["consent"]) == ("ceiling", 30, None)
    assert "more0" in facts["words"]
    assert client.get("/image/tiny-003").body.startswith(b"\x89PNG")
    assert "openapi.json" in client.get("/").text


def test_the_description_tells_of_every_path_and_field(client: Client) -> None:
    told = client.get("/openapi.json").json()
    routes = {(path, method) for path, methods in told["paths"].items() for method in methods}
    assert routes == {(path, method.lower()) for path, method in service.SUMMARIES}
    assert set(told["components"]["schemas"]) == {"NewSession", "Said", "Liked", "Undone", "Forgotten", "Ended"}
    assert set(told["components"]["schemas"]["Said"]["properties"]) == {"sentence", "events"}
    references = [each for each in json.dumps(told).split('"') if each.startswith("#/")]
    for reference in references:
        found: Any = told
        for key in reference.split("/")[1:]:
            found = found[key]
    operations = [each["operationId"] for methods in told["paths"].values() for each in methods.values()]
    assert len(set(operations)) == len(operations)


def test_a_drawn_target_is_another_than_the_first_image(client: Client) -> None:
    drawn = [client.send("/sessions", target="drawn", first="tiny-003", seed=seed).json() for seed in range(40)]
    targets = [each["session"]["target"] for each in drawn]
    assert "tiny-003" not in targets
    assert len(set(targets)) > 10
    assert client.send("/sessions", target="drawn", first="tiny-003", seed=7).json()["session"]["target"] == targets[7]


def test_what_is_sent_twice_counts_once(client: Client) -> None:
    path = client.begin(first="tiny-003")
    once = client.send(f"{path}/say", sentence="more0", events=0)
    twice = client.send(f"{path}/say", sentence="more0", events=0)
    assert (once.status, twice.status) == (200, 409)
    assert "has 1 events and not 0" in twice.json()["error"]
    assert client.get(path).json()["events"] == 1


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_strange_sentences_come_back_as_they_are(text: str, client: Client) -> None:
    path = client.begin(first="tiny-003")
    got = client.send(f"{path}/say", sentence=f"{text} more0")
    if "\ud800" in text:
        assert got.status == 422  # no JSON
        return
    assert got.json()["answer"]["sentence"] == f"{text} more0"
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize("text", ["", "crimson", "👠"])
def test_a_sentence_of_which_nothing_is_understood_is_told_and_changes_nothing(text: str, client: Client) -> None:
    path = client.begin(first="tiny-003")
    got = client.send(f"{path}/say", sentence=text).json()
    assert (got["events"], got["answer"]["understood"], got["answer"]["sentence"]) == (0, [], text)
    assert client.get(path).json()["answer"] is None


@pytest.mark.parametrize(
    ("name", "body", "status", "said"),
    [
        ("say", b"", 422, "it lacks 'sentence'"),
        ("say", b"{", 422, "not what is expected here"),
        ("say", b"[]", 422, "not what is expected here"),
        ("say", b"\xff\xfe", 422, "not what is expected here"),
        ("say", b"[" * 10_000, 422, "not what is expected here"),
        ("say", b'{"sentence": 3}', 422, "sentence"),
        ("say", b'{"sentence": "a", "events": "0"}', 422, "events"),
        ("say", b'{"sentence": "a", "more": 1}', 422, "more"),
        ("say", b'{"sentence": "' + b"x" * 10_000 + b'"}', 422, "10,000 characters; say it in at most 1,000"),
        ("say", b'{"sentence": "' + b"x" * 20_000 + b'"}', 413, "16,384 bytes"),
        ("like", b'{"image": "../../etc/passwd"}', 422, "no image"),
        ("like", b'{"image": "tiny-099"}', 422, "no image 'tiny-099' in this gallery of 30"),
        ("undo", b"{}", 422, "nothing was said yet"),
        ("forget", b'{"event": 9}', 422, "there is no event 9"),
        ("forget", b'{"event": -1}', 422, "there is no event -1"),
        ("end", b'{"rating": 6}', 422, "rating"),
        ("fly", b"{}", 404, "There is nothing here"),
    ],
)
def test_a_request_that_cannot_be_understood_is_told_and_changes_nothing(
    name: str, body: bytes, status: int, said: str, client: Client
) -> None:
    path = client.begin(first="tiny-003")
    before = client.get(path).json()
    got = client.ask("POST", f"{path}/{name}", body, content_type="application/json; charset=utf-8")
    assert got.status == status
    assert said in got.json()["error"]
    assert client.get(path).json() == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"first": "nobody"}, "no image 'nobody'"),
        ({"target": "/etc/passwd"}, "no image '/etc/passwd'"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"record": "yes"}, "record"),
    ],
)
def test_a_session_that_cannot_begin_is_told(fields: dict[str, Any], said: str, client: Client) -> None:
    got = client.send("/sessions", **fields)
    assert got.status == 422
    assert said in got.json()["error"]


def test_other_bodies_methods_and_sessions_are_refused(client: Client) -> None:
    path = client.begin(first="tiny-003")
    assert client.ask("POST", f"{path}/say", "sentence=more0").status == 415
    assert client.ask("PUT", path, "{}").status == 405
    for other in ("/sessions/x", "/sessions/..%2f..%2fetc", "/sessions/" + "A" * 24, "/sessions/%00"):
        assert client.get(other).status == 404
        assert client.send(f"{other}/say", sentence="more0").status == 404
    for image in ("nobody", "..%2f..%2fetc%2fpasswd", "%00", "../gallery.json"):
        assert client.get(f"/image/{image}").status == 404
    assert client.ask("GET", path, host="evil.example").status == 421
    assert client.ask("POST", "/sessions", "{}", origin="https://evil.example").status == 403


def test_with_a_token_nobody_gets_in_without_it(place: Place) -> None:
    with opened(place, "a-long-token-of-letters") as port:
        assert Client(port).get("/gallery").status == 401
        assert "error" in Client(port).get("/gallery").json()
        assert Client(port, {"authorization": "Bearer a-long-token-of-letters"}).get("/gallery").status == 200


def test_sessions_expire_and_end(place: Place) -> None:
    with opened(place, idle=0.3) as port:
        client = Client(port)
        path, other = client.begin(), client.begin()
        assert client.send(f"{other}/end", found=True).status == 200
        assert client.get(other).status == 404
        time.sleep(0.5)
        got = client.send(f"{path}/say", sentence="more0")
        assert got.status == 404
        assert "left alone for too long" in got.json()["error"]


def test_a_thousand_sessions_at_once_get_an_answer_each(place: Place) -> None:
    with opened(place, sessions=300) as port:
        got: list[int] = []

        def begin() -> None:
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            for _ in range(50):
                connection.request("POST", "/sessions", "{}", {"content-type": "application/json"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
                got.append(answer.status)
                assert ("error" in content) == (answer.status == 503)

        threads = [threading.Thread(target=begin) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(set(got)) == [201, 503]
        assert (len(got), got.count(201)) == (1000, 300)


def test_those_who_speak_at_the_same_time_are_one_batch_and_get_their_own_answers() -> None:
    user = ToyPerson(GALLERY)
    agent = Listening(vocabulary=user.vocabulary)
    place = Place(partner_of(GALLERY, user=user), user)
    place.partner.agent = agent
    agent.bind(GALLERY)
    hold = threading.Event()
    act = agent.act

    def slow(observation: Any, memory: Any) -> Any:
        hold.wait(10)
        return act(observation, memory)

    agent.act = slow  # type: ignore[method-assign]
    place.partner._joins = True
    with opened(place) as port:
        paths = [Client(port).begin(first=f"tiny-{number:03d}") for number in range(20)]
        got: dict[int, str] = {}

        def say(number: int) -> None:
            got[number] = Client(port).send(f"{paths[number]}/say", sentence="more0").json()["candidate"]

        threads = [threading.Thread(target=say, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        hold.set()
        for thread in threads:
            thread.join()
    assert got == {number: "tiny-001" if number == 0 else "tiny-000" for number in range(20)}
    assert len(agent.told) < 6
    assert max(map(len, agent.told)) > 10


def test_what_is_recorded_was_agreed_to_and_is_there_when_it_is_answered(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordFile(path) as file, opened(Place(place.partner, place.user, file)) as port:
        client = Client(port)
        assert "May" not in (client.get("/gallery").json()["consent"] or "May")
        silent = client.begin(first="tiny-003")
        client.send(f"{silent}/say", sentence="more0")
        assert path.read_bytes() == b""
        session = client.begin(first="tiny-003", target="tiny-009", record=True, seed=5)
        for number, text in enumerate(("more0 crimson", "less1"), 1):
            assert client.send(f"{session}/say", sentence=text).json()["recorded"]
            assert len(read_records(path)[0].turns) == number
        client.send(f"{session}/end", found=False, rating=3)
    (record,) = read_records(path)
    assert [turn.said for turn in record.turns] == ["more0 crimson", "less1"]
    assert all(turn.milliseconds is not None for turn in record.turns)
    assert record.end is not None
    assert (record.end.gave_up, record.end.rating, record.begin.seed) == (True, 3, 5)


def test_where_nothing_is_recorded_that_is_said(client: Client) -> None:
    got = client.send("/sessions", record=True)
    assert got.status == 409
    assert "Nothing is recorded here" in got.json()["error"]


class Full:
    def append(self, *lines: object) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_and_the_session_goes_on(place: Place) -> None:
    with opened(Place(place.partner, place.user, Full())) as port:  # type: ignore[arg-type]
        client = Client(port)
        path = client.begin(record=True)
        got = client.send(f"{path}/say", sentence="more0").json()
        assert (got["events"], got["recorded"]) == (1, False)
        assert "No space left on device" in got["warning"]


@pytest.mark.slow
def test_a_server_that_is_killed_loses_no_turn_that_it_has_answered(tmp_path: Path) -> None:
    Catalog(tiny_contents()).write(tmp_path / "tiny.h5")
    words = ["serve", "--catalog", "tiny.h5", "--split", "all", "--simulator", "describer", "--agent", "greedy"]
    command = [sys.executable, "-m", "dialog_env", *words, "--port", "0", "--record", "r.jsonl"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for number in range(3):
        with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            client = Client(int(process.stdout.readline().split("/")[2].split(":")[1]))
            path = client.begin(record=True)
            killer = threading.Timer(0.2 + 0.1 * number, process.send_signal, [signal.SIGKILL])
            killer.start()
            answered = 0
            try:
                while True:
                    answered = client.send(f"{path}/say", sentence="is red").json()["events"]
            except (OSError, ValueError, KeyError, HTTPException):  # what comes of an answer that was cut
                pass
            killer.join()
        kept = read_records(tmp_path / "r.jsonl")[number]
        assert answered > 0
        assert answered <= len(kept.turns) <= answered + 1
