"""Feedback other than language: relevance, attributes of the target, relative attributes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dialog_env.catalog import Catalog, Contents
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators import make_simulator
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import MAX_WORDS
from tests.attribute_worlds import shoe_table, world

SPECS = ("relevance", *(f"{kind}:{count}" for kind in ("attributes", "relative") for count in (1, 3, 10)))


def small_table() -> AttributeTable:
    """Three shoes whose answers can be worked out by hand."""
    return AttributeTable(
        ("shiny", "open"),
        np.array([[0.9, 0.5], [0.1, 0.45], [np.nan, 0.0]], dtype=np.float32),
        ("class", "colour"),
        (("boots", "pumps"), ("red", "black")),
        np.array([[0, 0], [0, 1], [1, -1]], dtype=np.int16),
    )


def ask(user: UserSimulator, targets: list[int], candidates: list[int], previous: list[int] | None = None) -> list[str]:
    before = torch.tensor(previous or [-1] * len(targets))
    return user.vocabulary.decode(user.feedback(torch.tensor(targets), torch.tensor(candidates), before))


def random_turns(size: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets, candidates = torch.randint(size, (2, count), generator=generator)
    return targets, candidates, torch.randint(-1, size, (count,), generator=generator)


def gallery_on_a_line() -> Catalog:
    features = np.array([[0.0], [1.0], [3.0], [-1.0]], dtype=np.float32)
    return Catalog(Contents("line", np.array(list("abcd")), features))


def test_relevance_says_whether_the_candidate_came_closer() -> None:
    user = make_simulator("relevance", gallery_on_a_line())
    assert ask(user, [0, 0, 0, 0, 2], [1, 2, 3, 0, 1], [2, 1, 1, 1, 1]) == [
        "closer",
        "farther",
        "same",
        "closer",
        "same",
    ]
    assert ask(user, [0, 0], [0, 1], [-1, -1]) == ["first", "first"]


def test_relevance_is_turned_round_when_the_images_are_exchanged(tiny_catalog: Catalog) -> None:
    user = make_simulator("relevance", tiny_catalog)
    targets, candidates, previous = random_turns(24, 300)
    previous = previous.clamp(min=0)
    forth = user.vocabulary.decode(user.feedback(targets, candidates, previous))
    back = user.vocabulary.decode(user.feedback(targets, previous, candidates))
    turned = {"closer": "farther", "farther": "closer", "same": "same"}
    assert [turned[word] for word in forth] == back
    assert {"closer", "farther"} <= set(forth)


def test_relative_attributes_compare_the_target_with_the_candidate() -> None:
    gallery = world(small_table())
    assert ask(make_simulator("relative:10", gallery), [0, 1, 0], [1, 0, 2]) == [
        "more-shiny as-open",
        "less-shiny as-open",
        "more-open",
    ]
    assert ask(make_simulator("relative:1", gallery), [0, 2, 0], [1, 0, 0]) == ["more-shiny", "less-open", "as-shiny"]


def test_relative_attributes_tell_the_largest_differences() -> None:
    table = shoe_table()
    grades = np.nan_to_num(table.graded, nan=0.3)
    table = AttributeTable(table.graded_names, grades, table.categorical_names, table.values, table.categorical)
    user = make_simulator("relative:1", world(table))
    targets, candidates, previous = random_turns(400, 200)
    words = user.vocabulary.decode(user.feedback(targets, candidates, previous))
    apart = (grades[targets] - grades[candidates]) / grades.std(axis=0)
    largest = np.abs(apart).argmax(axis=1)
    for word, change, column in zip(words, apart, largest, strict=True):
        relation = (
            "as" if abs(change[column] * grades.std(axis=0)[column]) < 0.1 else "more" if change[column] > 0 else "less"
        )
        top_two = np.sort(np.abs(change))[-2:]
        if top_two[1] - top_two[0] > 0.01:
            assert word == f"{relation}-{table.graded_names[column].replace(' ', '-')}"


def test_attributes_are_the_targets_and_first_those_that_the_candidate_lacks() -> None:
    gallery = world(small_table())
    assert ask(make_simulator("attributes:10", gallery), [2], [0]) == ["hardly-open class-pumps"]
    assert ask(make_simulator("attributes:3", gallery), [0], [1]) == ["very-shiny very-open colour-red"]
    table = shoe_table()
    user = make_simulator("attributes:3", world(table))
    targets, candidates, previous = random_turns(400, 300)
    sentences = user.vocabulary.decode(user.feedback(targets, candidates, previous))
    shared = told = 0
    for target, candidate, sentence in zip(targets.tolist(), candidates.tolist(), sentences, strict=True):
        for word in sentence.split():
            column = next((c for c, n in enumerate(table.categorical_names) if word.startswith(n)), None)
            if column is not None:
                value = table.values[column][table.categorical[target, column]]
                assert word == f"{table.categorical_names[column]}-{value.replace(' ', '-')}"
                told += 1
                shared += int(table.categorical[target, column] == table.categorical[candidate, column])
    assert told > 300
    assert shared < 0.05 * told


@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("kind", ["attributes", "relative"])
def test_as_many_statements_as_asked_for_if_so_many_are_known(kind: str, count: int) -> None:
    table = shoe_table()
    user = make_simulator(f"{kind}:{count}", world(table))
    targets, candidates, previous = random_turns(400, 200)
    told = (user.feedback(targets, candidates, previous) != 0).sum(dim=1).numpy()
    known = np.isfinite(table.graded)
    if kind == "relative":
        available = (known[targets] & known[candidates]).sum(axis=1)
    else:
        available = (known.sum(axis=1) + (table.categorical >= 0).sum(axis=1))[targets]
    assert (told == np.maximum(np.minimum(available, count), 1)).all()


def test_an_attribute_without_values_is_passed_over() -> None:
    codes = np.array([[0, -1], [1, -1]], dtype=np.int16)
    table = AttributeTable((), np.zeros((2, 0), np.float32), ("colour", "brand"), (("red", "tan"), ()), codes)
    assert ask(make_simulator("attributes:3", world(table)), [0], [1]) == ["colour-red"]
    assert ask(make_simulator("describer", world(table)), [0], [1])[0].split()[1] == "red"


def test_nothing_known_is_said_so() -> None:
    table = AttributeTable(("shiny",), np.full((2, 1), np.nan, np.float32), (), (), np.zeros((2, 0), np.int16))
    for spec in ("relative:3", "attributes:3"):
        assert ask(make_simulator(spec, world(table)), [0], [1]) == ["nothing-known"]


def test_a_share_of_the_attributes_is_told_wrongly_and_still_of_the_same_attribute() -> None:
    table = shoe_table(300, seed=3)
    gallery = world(table)
    targets, candidates, previous = random_turns(300, 3000)
    right, wrong = (
        make_simulator(spec, gallery).feedback(targets, candidates, previous)
        for spec in ("attributes:10", "attributes:10,error=0.2")
    )
    user = make_simulator("attributes:10,error=0.2", gallery)
    assert user.id != make_simulator("attributes:10", gallery).id
    told = right > 0
    assert torch.equal(told, wrong > 0)
    assert (right != wrong)[told].double().mean() == pytest.approx(0.2, abs=0.01)
    names = [*table.graded_names, *table.categorical_names]
    for before, after in zip(*(user.vocabulary.decode(each[:200]) for each in (right, wrong)), strict=True):
        for said, instead in zip(before.split(), after.split(), strict=True):
            about = [{name for name in names if _about(word, name)} for word in (said, instead)]
            assert about[0] & about[1], (said, instead)


def _about(statement: str, name: str) -> bool:
    joined = "-".join(name.split())
    return statement.startswith(f"{joined}-") or statement.endswith(f"-{joined}")


@pytest.mark.parametrize("error", [-0.1, 1.5])
def test_a_senseless_share_of_errors_is_refused(error: float, tiny_catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="share of the statements"):
        make_simulator("attributes:3", tiny_catalog, error=error)


@pytest.mark.parametrize("spec", SPECS)
def test_answers_depend_on_nothing_but_the_images(spec: str) -> None:
    whole = Catalog(
        Contents(
            "seen",
            np.array([f"item-{i}" for i in range(60)]),
            np.random.default_rng(0).random((60, 5), dtype=np.float32),
            attributes=shoe_table(60),
            splits={"late": np.arange(59, 29, -1)},
        )
    )
    late, user = make_simulator(spec, whole.split("late")), make_simulator(spec, whole)
    assert isinstance(user, UserSimulator)
    assert late.id == user.id
    assert late.vocabulary == user.vocabulary
    targets, candidates, previous = random_turns(30, 200)
    answers = late.feedback(targets, candidates, previous)
    assert answers.shape == (200, MAX_WORDS)
    assert torch.equal(
        user.feedback(59 - targets, 59 - candidates, torch.where(previous < 0, -1, 59 - previous)), answers
    )
    one_by_one = [late.feedback(targets[i : i + 1], candidates[i : i + 1], previous[i : i + 1]) for i in range(9)]
    assert torch.equal(torch.cat(one_by_one), answers[:9])
    assert torch.equal(torch.from_numpy(late.vocabulary.encode(late.vocabulary.decode(answers))), answers)


@pytest.mark.parametrize("spec", ["attributes:0", "relative:17", "relative:many", "attributes:-1"])
def test_a_senseless_number_of_attributes_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="give a number from 1 to 16"):
        make_simulator(spec, world(shoe_table(5)))


def test_catalogues_without_the_attributes_are_refused() -> None:
    with pytest.raises(ValueError, match="'line' has no attributes to tell; build it"):
        make_simulator("attributes:3", gallery_on_a_line())
    table = AttributeTable((), np.zeros((2, 0), np.float32), ("class",), (("a", "b"),), np.zeros((2, 1), np.int16))
    with pytest.raises(ValueError, match="no graded attributes to compare; use the simulator attributes:n"):
        make_simulator("relative:3", world(table))


@pytest.mark.parametrize("spec", ["describer:5", "relevance:3"])
def test_an_argument_for_a_user_without_one_is_refused(spec: str, tiny_catalog: Catalog) -> None:
    with pytest.raises(ValueError, match=f"takes no argument; write '{spec.split(':')[0]}' instead of '{spec}'"):
        make_simulator(spec, tiny_catalog)


def test_answers_change_only_with_the_version() -> None:
    """Whoever makes this fail raises `VERSION` in the simulator's file and records the answers anew."""
    gallery = world(shoe_table(24))
    attributes, relative = make_simulator("attributes:3", gallery), make_simulator("relative:3", gallery)
    assert attributes.id == "attributes:3-1:bf52bded0479"
    assert relative.id == "relative:3-1:e635ab6b0d90"
    assert make_simulator("relevance", gallery).id == "relevance-1"
    assert ask(attributes, [0, 1, 2, 3], [12, 13, 14, 15]) == [
        "class-clogs colour-red material-leather",
        "fairly-shiny colour-silver pattern-plain",
        "colour-blue closure-buckle straps-none",
        "fairly-high-at-the-heel class-boots closure-zipper",
    ]
    assert ask(relative, [0, 1, 2, 3], [12, 13, 14, 15]) == [
        "as-high-at-the-heel more-shiny as-open",
        "less-shiny less-open less-cosy",
        "more-high-at-the-heel more-shiny more-cosy",
        "less-high-at-the-heel less-open less-cosy",
    ]
