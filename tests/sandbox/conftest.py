"""A sandbox of its own for each test that changes things, and one for all that only look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from tests.sandbox.cluster_tools import Kubectl, names


@pytest.fixture
def settings() -> SandboxSettings:
    """Overridden by tests that need other timings."""
    return SandboxSettings.quick()


@pytest.fixture
def sandbox(tmp_path: Path, settings: SandboxSettings) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox", settings) as running:
        yield running


@pytest.fixture
def kubectl(sandbox: Sandbox) -> Kubectl:
    """kubectl as cluster-admin."""
    return Kubectl(sandbox.kubeconfig)


@pytest.fixture
def pod(sandbox: Sandbox) -> str:
    """A registry pod."""
    return names(sandbox.registry_pods())[0]
