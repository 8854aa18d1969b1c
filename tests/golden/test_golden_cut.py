"""The cut of the recorded numbers that the tests carry is the reference data itself."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np
import pytest

from tests.conftest import shared_path
from tests.golden.traces import CUT, digest_of, initial_weights

LEFT_OUT = {"/initial_weights", "/ranking/embedded_catalog"}


def leaves(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """All data sets below a group but for those that the cut leaves out."""
    for part in group.values():
        if part.name not in LEFT_OUT:
            yield from leaves(part) if isinstance(part, h5py.Group) else [part]


@pytest.mark.parametrize("name", ["dialog_manager", "captioners"])
def test_every_number_of_the_cut_is_one_of_the_reference_data(name: str) -> None:
    with h5py.File(shared_path("golden", f"{name}.h5")) as whole, h5py.File(CUT) as cut:
        compared = 0
        for recorded in leaves(whole):
            kept = cut[f"{name}{recorded.name}"]
            assert np.array_equal(kept[()], recorded[()]), recorded.name
            assert dict(kept.parent.attrs) == dict(recorded.parent.attrs) or kept.parent == cut[name]
            compared += 1
        assert compared > 20
        if name == "dialog_manager":
            every_20th = cut["dialog_manager/ranking/embedded_catalog_every_20th"][()]
            assert np.array_equal(every_20th, whole["ranking/embedded_catalog"][::20])


def test_the_first_weights_are_drawn_as_they_were_recorded() -> None:
    drawn = initial_weights()
    with h5py.File(shared_path("golden", "dialog_manager.h5")) as whole, h5py.File(CUT) as cut:
        recorded = whole["initial_weights"]
        assert sorted(recorded) == sorted(drawn)
        for name, weight in drawn.items():
            assert np.array_equal(weight.numpy(), np.asarray(recorded[name][()]).reshape(weight.shape)), name
        assert digest_of(drawn) == cut["dialog_manager"].attrs["initial_weights_sha256"]


def test_the_cut_stays_small() -> None:
    assert CUT.stat().st_size < 3_000_000
