"""How much of what users say is true."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dialog_env.catalog import Catalog
from dialog_env.simulators import make_simulator
from dialog_env.simulators.describer.truth import statements_true
from tests.attribute_worlds import shoe_table, world
from tests.conftest import tiny_contents


@pytest.fixture
def gallery() -> Catalog:
    return world(shoe_table(300, seed=1))


def pairs(gallery: Catalog, count: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    targets, candidates = torch.randint(len(gallery), (2, count), generator=torch.Generator().manual_seed(0))
    return targets, candidates


def test_the_describer_states_nothing_but_the_truth(gallery: Catalog) -> None:
    targets, candidates = pairs(gallery)
    stated, true = statements_true(
        gallery, targets, candidates, make_simulator("describer", gallery).sentences(targets, candidates)
    ).T
    assert stated.sum() > len(targets)
    assert (stated == true).all()


def test_sentences_about_other_pairs_are_mostly_false(gallery: Catalog) -> None:
    targets, candidates = pairs(gallery)
    said = make_simulator("describer", gallery).sentences(targets, candidates)
    stated, true = statements_true(gallery, targets, candidates, said[1:] + said[:1]).T
    assert true.sum() < 0.5 * stated.sum()


def test_each_statement_is_judged_by_itself(gallery: Catalog) -> None:
    table = gallery.attributes
    assert table is not None
    colours = table.values[table.categorical_names.index("colour")]
    codes = table.categorical[:, table.categorical_names.index("colour")]
    known = int((codes >= 0).argmax())
    mine = colours[codes[known]]
    other = next(value for value in colours if value != mine and len(value.split()) == 1)
    shiny = table.graded[:, table.graded_names.index("shiny")]
    brighter, duller = int(np.nanargmax(shiny)), int(np.nanargmin(shiny))
    sentences = [f"is {mine}", f"is {other}", f"is {mine} not {other}", "please show me more"]
    counts = statements_true(gallery, torch.full((4,), known), torch.full((4,), known + 1), sentences)
    assert counts.tolist() == [[1, 1], [1, 0], [1, 1], [0, 0]]
    both = statements_true(
        gallery, torch.tensor([brighter, duller]), torch.tensor([duller, brighter]), ["is much shinier"] * 2
    )
    assert both.tolist() == [[1, 1], [1, 0]]


def test_without_attributes_nothing_can_be_true() -> None:
    contents = tiny_contents(size=20)
    gallery = Catalog(type(contents)("bare", contents.ids, contents.features))
    with pytest.raises(ValueError, match="no attributes"):
        statements_true(gallery, torch.tensor([0]), torch.tensor([1]), ["is red"])
