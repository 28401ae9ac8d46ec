"""The DAG registry_guard against the sandbox."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.role import grant_role, revoke_role
from include.registry_prune.cluster.settling import wait_until_settled
from include.registry_prune.fleet.claims import own_claim, write_claim
from include.registry_prune.fleet.turn import claim_of
from include.registry_prune.page.airflow_runs import guard_seen
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE, ClustersFile
from include.registry_prune.window.guard import guard
from include.registry_prune.window.guard_round import Found
from include.registry_prune.window.opening import arm
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.alerts.receivers import http_receiver
from tests.registry_prune.conftest import kubectl
from tests.registry_prune.preflight.test_rights import roles_in
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, connection, run_dag
from tests.registry_prune.window.test_guard import EXPIRED, HOLDER, assert_as_before, leave_window_open, never
from tests.registry_prune.window.test_opening import LIMITS

pytestmark = pytest.mark.usefixtures("airflow_database")


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def run_guard(caplog: Any, conf: dict[str, Any] | None = None, **settings: Any) -> str:
    from dags.registry_guard import build_guard
    from include.registry_prune.settings.clusters import ClusterSettings

    caplog.set_level(logging.INFO)
    return str(build_guard(ClusterSettings.from_mapping("default", settings)).test(run_conf=conf).state)


def test_the_dag_closes_the_window_of_a_run_that_is_gone_and_says_so(
    seeded: Sandbox, cluster: Cluster, caplog: Any, tmp_path: Path
) -> None:
    """And it gives its turn to the next one."""
    settings = ClusterSettings.from_mapping("default", {"windows_at_once": 1, "artifacts": str(tmp_path / "artifacts")})
    write_claim(claim_of(None, cluster="default", run=HOLDER.run, now=datetime.now(UTC)), settings)
    leave_window_open(cluster)
    assert run_guard(caplog, windows_at_once=1, artifacts=settings.artifacts) == "success"
    assert f"ALERT guard: The guard closed the window of {HOLDER.run}" in caplog.text
    assert own_claim(settings) is None
    assert_as_before(seeded)


def test_a_round_knows_whom_the_round_before_has_told(sandbox: Sandbox, cluster: Cluster, caplog: Any) -> None:
    """Guards the handing over from round to round: each would else tell the same again."""
    sandbox.configure_registry(readOnly=True)
    wait_until_settled(cluster, read_only=True, limit_seconds=300)
    for _ in range(3):
        # The limit has passed by the first round, and not since the last alert by the others.
        assert run_guard(caplog, unexplained_read_only="1h" if "ALERT" in caplog.text else "0s") == "success"
    assert caplog.text.count("ALERT guard: The registry has been read-only for at least") == 1


def test_the_role_stays_while_the_next_run_is_at_work(
    sandbox: Sandbox, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has taken the binding over, and its survey needs it."""
    leave_window_open(cluster)
    monkeypatch.setattr(Run, "is_over", lambda run, holder: holder == HOLDER)
    with another_run("registry_prune"):
        assert run_guard(caplog) == "success"
    assert f"ALERT guard: The guard closed the window of {HOLDER.run}" in caplog.text
    assert revoke_role(cluster), "it is still there"
    assert_as_before(sandbox)


@contextmanager
def another_run(dag_id: str) -> Iterator[None]:
    """A run of this DAG is at work."""
    now = datetime.now(UTC)
    with create_session() as session:
        run = DagRun(
            dag_id=dag_id,
            run_id="manual__at_work",
            logical_date=now,
            run_after=now,
            run_type=DagRunType.MANUAL,
            state=DagRunState.RUNNING,
        )
        session.add(run)
    yield
    with create_session() as session:
        session.query(DagRun).filter_by(dag_id=dag_id, run_id="manual__at_work").delete()


def test_a_run_that_takes_a_dead_ones_window_over_keeps_its_role_for_its_dry_run(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    """The dead run's binding is this run's since its survey; closing the dead window must not take it away."""
    grant_role(cluster)
    arm(
        cluster,
        holder=HOLDER,
        run_url="",
        lasts=EXPIRED,
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=True,
        limits=LIMITS,
    )
    run = run_dag(caplog, conf={"min_blobs": 10, "base_prune": False})
    assert f"The guard closes the window of {HOLDER.run}: its lease ran out" in run.log
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    assert_as_before(seeded)


def test_a_quiet_round_alerts_nobody(sandbox: Sandbox, caplog: Any) -> None:
    assert run_guard(caplog) == "success"
    assert "ALERT" not in caplog.text
    assert_as_before(sandbox)


def cluster_id_of_last_round() -> str:
    with create_session() as session:
        last = guard_seen(session, "registry_guard", now=datetime.now(UTC)).last
    assert last is not None
    return last.cluster_id


def test_a_round_says_which_cluster_it_saw_and_goes_on_where_it_may_not_know(
    sandbox: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    """By it the page finds two entries that reach one cluster."""
    assert run_guard(caplog) == "success"
    assert cluster_id_of_last_round() == cluster.cluster_id() != ""
    (role,) = (name for (namespace, name) in roles_in("rbac.yaml") if not namespace)
    number = next(
        number
        for number, rule in enumerate(roles_in("rbac.yaml")["", role])
        if rule["resources"] == ["clusterversions"]
    )
    patch = json.dumps([{"op": "remove", "path": f"/rules/{number}"}])
    kubectl(sandbox.kubeconfig, "patch", "clusterrole", role, "--type=json", f"--patch={patch}")
    assert run_guard(caplog) == "success"
    assert cluster_id_of_last_round() == ""


def test_a_guard_that_cannot_reach_the_cluster_fails_and_alerts(
    sandbox: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.write_text(sandbox.kubeconfig.read_text().replace(sandbox.url, "https://127.0.0.1:1"))
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(gone))
    assert run_guard(caplog) == "failed"
    assert "ALERT guard: The guard could not look after the registry of cluster default" in caplog.text


def test_a_run_keeps_its_window_as_long_as_it_works_however_short_its_lease(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    """Guards the renewal: the delete takes longer than the lease lasts, and a guard looks all the time."""
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.2))
    seen: set[Found] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            seen.add(guard(cluster, limits=LIMITS, run_is_over=never).found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        run = run_dag(caplog, conf={"min_blobs": 10, "base_prune": False}, lease="8s")
    finally:
        ended.set()
        thread.join()
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    assert seen == {Found.NOTHING, Found.AT_WORK}
    assert_as_before(seeded)


def test_a_test_of_the_alerts_goes_to_every_channel_and_names_those_that_do_not_take_it(
    sandbox: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http_receiver() as good, http_receiver() as bad:
        bad.status = 500
        for name, server in (("GOOD", good), ("BAD", bad)):
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", f"http://127.0.0.1:{server.server_port}")
        channels = [{"channel": "http", "connection": name, "kinds": []} for name in ("good", "bad")]  # type: ignore[var-annotated]
        assert run_guard(caplog, {"alert_test": True}, alert_channels=channels) == "failed"
        assert [body["alert"] for body in good.bodies] == ["test"]
        assert "3 channels were tried, and these did not take the test:\n  - http bad: " in caplog.text
        assert "- event" not in caplog.text, "it took the test"
        bad.status = 200
        assert run_guard(caplog, {"alert_test": True}, alert_channels=channels) == "success"
        assert run_guard(caplog, alert_channels=channels) == "success"
        assert len(good.bodies) == 2, "only when it is asked for"


def test_a_token_that_ends_soon_is_told_once_and_its_renewal_ends_that(
    sandbox: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ends = datetime.now(UTC) + timedelta(days=3, hours=1)
    monkeypatch.setattr(Cluster, "token_expires_at", property(lambda cluster: ends))
    with http_receiver() as receiver:
        monkeypatch.setenv("AIRFLOW_CONN_PAGER", f"http://127.0.0.1:{receiver.server_port}")
        settings = {"alert_connection": "pager"}
        assert run_guard(caplog, **settings) == "success"  # type: ignore[arg-type]
        (told,) = receiver.bodies
        assert (told["alert"], told["status"]) == ("token ending", "firing")
        assert "in 3 days. From then on neither runs nor guard reach the cluster." in told["text"]
        ends = datetime.now(UTC) + timedelta(days=300)
        for _ in range(2):
            assert run_guard(caplog, **settings) == "success"  # type: ignore[arg-type]
        assert [(body["alert"], body["status"]) for body in receiver.bodies[1:]] == [("token ending", "resolved")]


def test_the_guard_of_a_renamed_entry_closes_the_window_of_the_old_name(
    seeded: Sandbox, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The old name's DAGs are gone with their runs; the lease is on the cluster, and runs out."""
    from dags.registry_guard import build_guard

    file = tmp_path / "clusters.yaml"
    file.write_text("renamed: {connection: kubernetes_default}\n", encoding="utf-8")
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(file))
    leave_window_open(cluster)
    caplog.set_level(logging.INFO)
    assert str(build_guard(ClustersFile.read().settings("renamed")).test().state) == "success"
    assert f"The guard closed the window of {HOLDER.run}" in caplog.text
    assert_as_before(seeded)
