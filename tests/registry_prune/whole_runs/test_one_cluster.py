"""Two entries that reach one cluster: the run of the second ends at its first task, and changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.preflight.entry import NotedEntry, note_entry, noted_entry
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE
from sandbox.cluster import Sandbox
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")
QUIET = {"base_prune": False, "survey": True, "integrity_check": False, "min_blobs": 1_000_000, "min_size": "1000GiB"}


def test_verify_access_names_both_entries_until_one_of_them_is_gone(
    seeded: Sandbox, account: Path, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "clusters.yaml"
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(file))
    for variable in (CONNECTION_VARIABLE, "AIRFLOW_CONN_KUBERNETES_BERLIN"):
        monkeypatch.setenv(variable, connection(account))
    note_entry(cluster, "berlin", airflow="", now=datetime.now(UTC))
    file.write_text("default: {}\nberlin: {connection: kubernetes_berlin}\n", encoding="utf-8")
    run = run_dag(caplog, conf=QUIET)
    assert run.tasks["verify_access"] == "failed"
    assert "'berlin', which pruned it last, and 'default'" in run.errors["verify_access"]
    assert noted_entry(cluster.config()) == NotedEntry("berlin")
    assert seeded.pruner_journal() == []
    file.write_text("default: {}\n", encoding="utf-8")
    run = run_dag(caplog, conf=QUIET)
    assert run.state == "success", run.errors
    assert noted_entry(cluster.config()) == NotedEntry("default")
    verified = seeded.verify()
    assert verified.ok, verified.problems


def test_an_entry_of_another_airflow_is_a_warning_and_stops_nothing(
    seeded: Sandbox, account: Path, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards runs: whoever may annotate the Config could stop them."""
    here, there = "https://here.example.com", "https://there.example.com"
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", here)
    note_entry(cluster, "default", airflow=there, now=datetime.now(UTC))
    run = run_dag(caplog, conf=QUIET)
    assert run.state == "success", run.errors
    assert f"The Airflow at {there} prunes this cluster, too" in " ".join(run.results["verify_access"]["notes"])
    noted = noted_entry(cluster.config())
    assert noted is not None
    assert noted.airflow == here
    assert seeded.verify().ok
