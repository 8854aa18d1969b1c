"""Tests that train for many minutes are left out unless they are asked for."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "learning" not in config.getoption("markexpr"):
        left_out = pytest.mark.skip(reason="takes many minutes; run pytest -m learning, or make learning")
        for item in items:
            if item.get_closest_marker("learning"):
                item.add_marker(left_out)
