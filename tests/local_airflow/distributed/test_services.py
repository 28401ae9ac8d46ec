"""Where PostgreSQL or Redis is not installed, `make distributed` says so and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_airflow.distributed import services
from local_airflow.distributed.distributed_airflow import chart_configuration

VALUES = Path(__file__).parents[3] / "deploy"


def test_what_is_missing_is_named_with_the_package_that_has_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(services, "program", lambda name: None if name == "redis-server" else f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert services.main() == 2
    assert capsys.readouterr().out.splitlines() == [
        "redis-server is not there (Debian's package redis-server)",
        "Install it: apt-get install -y --no-install-recommends postgresql redis-server",
    ]


def test_root_needs_another_user_for_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(services, "ACCOUNT", "nobody-of-this-name")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert services.missing() == []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert services.missing() == [
        "PostgreSQL does not run as root, and there is no user nobody-of-this-name (Debian's package postgresql)"
    ]


def test_a_later_file_of_values_decides() -> None:
    found = chart_configuration(VALUES / "values.yaml", VALUES / "values" / "celery.yaml")
    assert found["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert found["AIRFLOW__CORE__MP_FORKSERVER_PRELOAD"] == ""
    assert found["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "0.1"
