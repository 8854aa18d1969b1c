"""Parts are found by name, by place or by themselves, and refused where they are something else."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from dialog_env import registry
from dialog_env.agents import AGENTS
from dialog_env.catalog.sources import SOURCES
from dialog_env.registry import Parts, Spec
from dialog_env.simulators import SIMULATORS


class Whole:
    size = 1


class Lacking:
    pass


@pytest.fixture
def parts() -> Parts:
    return Parts("toy", "toys", {"whole": f"{__name__}:Whole"}, required=("size",))


def test_a_part_is_found_by_name_by_place_and_by_itself(parts: Parts) -> None:
    for meant in ("whole", f"{__name__}:Whole", f"{__name__}.Whole", Whole):
        assert parts.find(meant) is Whole
    own = Whole()
    assert parts.find(own) is own


@pytest.mark.parametrize(
    ("meant", "told"),
    [
        ("nothing", "no toy 'nothing'; known are whole, and module:Class for your own"),
        ("no.such:Thing", "no toy 'no.such:Thing' (No module named 'no'); give module:Class of a file that is there"),
        (f"{__name__}:Nothing", f"no toy '{__name__}:Nothing' (module"),
        (Lacking, "'Lacking' is no toy: it has no size; give it what is missing"),
        (f"{__name__}:Lacking", "is no toy: it has no size"),
    ],
)
def test_what_is_no_part_is_refused_in_one_sentence(parts: Parts, meant: Any, told: str) -> None:
    with pytest.raises(ValueError, match="toy") as caught:
        parts.find(meant)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_registered_part_has_a_name_and_keeps_it(parts: Parts) -> None:
    parts.register("mine", Whole)
    assert parts.find("mine") is Whole
    assert sorted(parts) == ["mine", "whole"]
    with pytest.raises(ValueError, match="toy 'mine' is already"):
        parts.register("mine", "other:Class")
    with pytest.raises(ValueError, match="it has no size"):
        parts.register("lacking", Lacking)


def test_an_installed_package_offers_parts_by_entry_points(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def offered(group: str) -> list[EntryPoint]:
        return [EntryPoint("theirs", f"{__name__}:Whole", group)] if group == "dialog_retrieval.toys" else []

    monkeypatch.setattr(registry, "entry_points", offered)
    assert "theirs" in parts
    assert parts.find("theirs") is Whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("captioner", Spec("", "captioner")),
        ("captioner:runs/a=b,c", Spec("", "captioner", argument="runs/a=b,c")),
        ("captioner:runs/x,half=true", Spec("", "captioner", argument="runs/x", settings={"half": True})),
        ("attributes:3", Spec("", "attributes", argument="3")),
        ("describer:seed=4", Spec("", "describer", settings={"seed": 4})),
        ("mine.deep:Mine", Spec("", "mine.deep:Mine")),
        (
            'mine:Mine:a=[1, 2],b={"c": "d,e"},f=text',
            Spec("", "mine:Mine", settings={"a": [1, 2], "b": {"c": "d,e"}, "f": "text"}),
        ),
    ],
)
def test_a_user_with_settings_or_an_argument_is_understood(text: str, expected: Spec) -> None:
    found = SIMULATORS.parse(text)
    assert (found.name, found.argument, found.settings) == (expected.name, expected.argument, expected.settings)
    assert found.text == text


def test_a_part_within_a_part_that_lacks_its_quotes_is_refused() -> None:
    within = "recorded:argument=pairs.csv,inner=captioner"
    with pytest.raises(ValueError, match="sets inner twice; if one is of a part within it, put that part in quotes"):
        SIMULATORS.parse(f"noisy:inner={within},dropped=0.2")
    assert SIMULATORS.parse(f'noisy:inner="{within}",dropped=0.2').settings == {"inner": within, "dropped": 0.2}


def test_an_agent_with_a_configuration_is_understood() -> None:
    found = AGENTS.parse("supervised@paper:epochs=5,margin=0.2")
    assert (found.name, found.configuration) == ("supervised", "paper")
    assert found.settings == {"epochs": 5, "margin": 0.2}
    assert AGENTS.parse("mine:Mine@paper").configuration == "paper"


@pytest.mark.parametrize("text", ["", ":x", "supervised@", "supervised:epochs=1,x", "@paper"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not understood; write name, name@configuration or name:key=value"):
        AGENTS.parse(text)


@pytest.mark.parametrize("parts_here", [AGENTS, SIMULATORS, SOURCES])
def test_every_name_leads_to_a_part(parts_here: Parts) -> None:
    assert len(parts_here) > 2
    for name in parts_here:
        assert parts_here.find(name) is parts_here[name]
