"""Fixtures: a registry's storage with a small API beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.registry.registry_world import RegistryWorld
from tests.sandbox.registry.tiny_api import TinyApi


@pytest.fixture
def api() -> Iterator[TinyApi]:
    """An empty API that listens."""
    with TinyApi() as listening:
        yield listening


@pytest.fixture
def world(tmp_path: Path, api: TinyApi) -> RegistryWorld:
    """An empty registry."""
    return RegistryWorld(tmp_path / "state", api)
