"""Settings of a sandbox."""

from __future__ import annotations

import pytest

from sandbox.base.settings import SandboxSettings


@pytest.mark.parametrize(("values", "told"), [({"replicas": -1}, "replicas is -1"), ({"port": 70000}, "port is 70000")])
def test_settings_that_cannot_be_are_refused(values: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SandboxSettings.quick(**values)


def test_settings_survive_json() -> None:
    settings = SandboxSettings.real(replicas=3)
    assert SandboxSettings.from_json(settings.to_json()) == settings
