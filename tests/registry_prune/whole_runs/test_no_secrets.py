"""No run, good or bad, writes its token anywhere: searched for in all that it leaves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.registry_prune.tasks.hard_prune import HardPrune
from sandbox.cluster import Sandbox
from tests.registry_prune.alerts.receivers import HttpReceiver, http_receiver
from tests.registry_prune.whole_runs.test_one_alert import before
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")
REFUSED_TOKEN = "sha256~recognisable-and-not-to-be-seen"


def connection_of(kubeconfig: Path, token: str | None = None) -> tuple[str, str]:
    """The connection with an embedded kubeconfig, as docs/connection.md recommends it, and its token."""
    content = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    user = content["users"][0]["user"]
    user["token"] = token or user["token"]
    return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": content}}), user["token"]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    with http_receiver() as server:
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS", f"http://127.0.0.1:{server.server_port}")
        yield server


def places(run: Ended, receiver: HttpReceiver, *folders: Path) -> Iterator[tuple[str, bytes]]:
    """All that a run leaves: its log, the alerts that were sent, and every file below some folders, such as Airflow's
    home with its database (XComs, rendered fields, the DAG, what tasks keep) and the reports and lists."""
    yield "the log", run.log.encode()
    yield "the errors", json.dumps(run.errors).encode()
    yield "the alerts", json.dumps(receiver.bodies).encode()
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                yield str(path), gzip.decompress(data) if path.suffix == ".gz" else data


def found(run: Ended, receiver: HttpReceiver, token: str, artifacts: Path) -> list[str]:
    from airflow.configuration import AIRFLOW_HOME

    secrets = (token.encode(), token.rpartition(".")[2].encode(), b"authorization:", b"bearer ")
    seen = list(places(run, receiver, artifacts, Path(AIRFLOW_HOME)))
    assert any(b"blobs/sha256" in data or b"sha256:" in data for _, data in seen), "the lists are among them"
    assert any(run.report["run_id"].encode() in data for place, data in seen if ".db" in place), "the database"
    # Headers have any case; what Airflow's own schema calls a column is no header.
    return [f"{secret!r} in {place}" for place, data in seen for secret in secrets if _has(data, secret)]


def _has(data: bytes, secret: bytes) -> bool:
    return secret in data or (secret.endswith((b":", b" ")) and secret in data.lower())


def settings(artifacts: Path) -> dict[str, Any]:
    return {"artifacts": str(artifacts), "alert_channels": [{"channel": "http", "connection": "alerts"}]}


def test_a_good_run_shows_its_token_nowhere(
    seeded: Sandbox,
    account: Path,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
    receiver: HttpReceiver,
    tmp_path: Path,
) -> None:
    connection, token = connection_of(account)
    monkeypatch.setenv(CONNECTION_VARIABLE, connection)
    run = run_dag(caplog, conf={"min_blobs": 10}, **settings(tmp_path / "artifacts"))
    assert run.state == "success"
    assert receiver.bodies
    assert found(run, receiver, token, tmp_path / "artifacts") == []


def test_a_run_whose_token_is_refused_in_mid_window_shows_it_nowhere(
    seeded: Sandbox,
    account: Path,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
    receiver: HttpReceiver,
    tmp_path: Path,
) -> None:
    """Errors of clients carry their requests, headers and all: none of that is in what is said of them."""
    connection, _ = connection_of(account)
    monkeypatch.setenv(CONNECTION_VARIABLE, connection)
    refused, token = connection_of(account, REFUSED_TOKEN)
    before(monkeypatch, HardPrune, lambda: monkeypatch.setenv(CONNECTION_VARIABLE, refused))
    run = run_dag(
        caplog,
        conf={"min_blobs": 10, "base_prune": False, "integrity_check": False},
        **settings(tmp_path / "artifacts"),
    )
    assert run.state == "failed"
    assert "401" in run.errors["restore_read_write"]
    assert found(run, receiver, token, tmp_path / "artifacts") == []
