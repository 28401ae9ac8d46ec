"""A sandbox whose registry pods serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from tests.sandbox.real_registry.registry_tools import Skopeo


@pytest.fixture
def settings() -> SandboxSettings:
    """Overridden by tests that need other timings."""
    return SandboxSettings.quick(real_registry=True)


@pytest.fixture
def address(sandbox: Sandbox) -> str:
    """Of one of the registries."""
    return next(iter(sandbox.registry_addresses().values()))


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    home = tmp_path / "skopeo"
    home.mkdir()
    return Skopeo(home)
