"""Fixtures of the tests of catalogues."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalog.encoders import CONFIGS, write_backbone


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small backbones with random weights."""
    pytest.importorskip("transformers", reason="extraction needs the extra `images`")
    return {kind: write_backbone(tmp_path_factory.mktemp(kind), kind) for kind in CONFIGS}
