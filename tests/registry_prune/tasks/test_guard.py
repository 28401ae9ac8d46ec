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
import yaml
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType

from faults.in_process.dag_test import run_in_process
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.role import grant_role, revoke_role
from include.registry_prune.cluster.settling import wait_until_settled
from include.registry_prune.fleet.claims import own_claim, write_claim
from include.registry_prune.fleet.turn import claim_of
from include.registry_prune.page.airflow_runs import guard_seen
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE, ClustersFile
from include.registry_prune.tasks.before_window import IntegrityBefore
from include.registry_prune.window import guard as window_guard
from include.registry_prune.window.config_lease import change_own_lease
from include.registry_prune.window.guard import guard
from include.registry_prune.window.guard_round import Found, GuardRound
from include.registry_prune.window.opening import arm, open_window
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.alerts.receivers import Told, http_receiver
from tests.registry_prune.conftest import kubectl
from tests.registry_prune.preflight.test_rights import roles_in
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, connection, run_dag
from tests.registry_prune.window.test_guard import EXPIRED, HOLDER, assert_as_before, leave_window_open, never
from tests.registry_prune.window.test_opening import LIMITS, armed, pruner_at_work

pytestmark = pytest.mark.usefixtures("airflow_database")
ENOUGH = {"min_blobs": 10, "base_prune": False, "integrity_check": False}


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def run_guard(caplog: Any, conf: dict[str, Any] | None = None, **settings: Any) -> str:
    from dags.registry_guard import build_guard
    from include.registry_prune.settings.clusters import ClusterSettings

    caplog.set_level(logging.INFO)
    guard_dag = build_guard(ClusterSettings.from_mapping("default", settings))
    return str(run_in_process(guard_dag, conf or {}).state)


def test_the_dag_closes_the_window_of_a_run_that_is_gone_and_says_so(
    seeded: Sandbox, cluster: Cluster, caplog: Any, tmp_path: Path, told: Told
) -> None:
    """And it gives its turn to the next one."""
    settings = ClusterSettings.from_mapping("default", {"windows_at_once": 1, "artifacts": str(tmp_path / "artifacts")})
    write_claim(claim_of(None, cluster="default", run=HOLDER.run, now=datetime.now(UTC)), settings)
    leave_window_open(cluster)
    assert run_guard(caplog, windows_at_once=1, artifacts=settings.artifacts, **told.settings) == "success"
    assert f"guard: The guard closed the window of {HOLDER.run}" in told.text
    assert told.alerts() == ["guard, said"]
    assert own_claim(settings) is None
    assert_as_before(seeded)


def test_a_window_that_nobody_closes_is_told_before_its_end_and_when_the_guard_had_to(
    seeded: Sandbox, cluster: Cluster, caplog: Any, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_window_open(cluster, lasts=timedelta(hours=1))
    looked: list[datetime] = []

    def look(*given: Any, **named: Any) -> GuardRound:
        """The end comes soon after the guard's first look, however late that is."""
        if not looked:
            looked.append(ends := datetime.now(UTC) + timedelta(seconds=8))
            change_own_lease(cluster, HOLDER, lambda lease: lease.model_copy(update={"must_end_by": ends}))
        return guard(*given, **named)

    monkeypatch.setattr(window_guard, "guard", look)
    assert run_guard(caplog, **told.settings) == "success"
    assert f"window ending: The read-only window must end by {looked[0]:%Y-%m-%d %H:%M:%S} UTC" in told.text
    assert f"guard: The guard closed the window of {HOLDER.run}" in told.text
    assert told.alerts() == ["guard, said", "window ending, firing", "window ending, resolved"]
    assert_as_before(seeded)


def test_a_round_knows_whom_the_round_before_has_told(
    sandbox: Sandbox, cluster: Cluster, caplog: Any, told: Told
) -> None:
    """Guards the handing over from round to round: each would else tell the same again."""
    sandbox.configure_registry(readOnly=True)
    wait_until_settled(cluster, read_only=True, limit_seconds=300)
    for limit in ("0s", "1h", "1h"):
        # The limit has passed by the first round, and not since the last alert by the others.
        assert run_guard(caplog, unexplained_read_only=limit, **told.settings) == "success"
    assert "guard: The registry has been read-only for at least" in told.text
    assert told.alerts() == ["guard, firing"]


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
    run = run_dag(caplog, conf=ENOUGH)
    assert f"The guard closes the window of {HOLDER.run}: its lease ran out" in run.log
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    assert_as_before(seeded)


def test_a_dead_runs_delete_ends_before_the_next_run_begins_anything(
    seeded: Sandbox, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the first task's look: two pruners at once end each other, and a base prune needs a registry that takes
    pushes."""
    close_dead_window = Run.close_dead_window

    def close(run: Run) -> None:
        close_dead_window(run)
        seeded.order_pruner(PrunerFaults())  # the run's own delete is not slow

    leave_window_open(cluster)
    pruner_at_work(seeded, cluster, HOLDER)
    monkeypatch.setattr(Run, "close_dead_window", close)
    run = run_dag(caplog, conf=ENOUGH)
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    deletes = [line for line in seeded.pruner_journal() if line.get("mode") == "delete"]
    assert len(deletes) == 2, "the dead run's, and the run's own"
    assert seeded.most_pruners_at_once() == 1
    assert_as_before(seeded)


def test_a_window_whose_run_dies_while_another_waits_is_closed_at_the_right_moment(
    seeded: Sandbox, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the look of `right_moment`: between the first task and it may lie hours, in which a person approves."""
    integrity = IntegrityBefore.work

    def work(self: IntegrityBefore, run: Run) -> Any:
        found = integrity(self, run)
        armed(cluster, HOLDER, binding_ours=False)
        open_window(cluster, holder=HOLDER, limit_seconds=300)
        change_own_lease(cluster, HOLDER, lambda lease: lease.renewed(datetime.now(UTC) + EXPIRED))
        return found

    monkeypatch.setattr(IntegrityBefore, "work", work)
    run = run_dag(caplog, conf={**ENOUGH, "integrity_check": True}, moment_wait="0s")
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
    sandbox: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: Told
) -> None:
    gone = tmp_path / "gone"
    gone.write_text(sandbox.kubeconfig.read_text().replace(sandbox.url, "https://127.0.0.1:1"))
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(gone))
    assert run_guard(caplog, **told.settings) == "failed"
    assert "guard: The guard could not look after the registry of cluster default" in told.text
    assert told.alerts() == ["guard, firing"]


def test_a_run_keeps_its_window_as_long_as_it_works_however_short_its_lease(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    """Guards the renewal: the delete takes longer than the lease lasts, and a guard looks all the time."""
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.2))
    seen: set[Found] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            seen.add(guard(cluster, limits=LIMITS, run_is_over=never).found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        run = run_dag(caplog, conf=ENOUGH, lease="8s")
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
    sandbox: Sandbox, account: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    for hours, expected in (
        (73, ["token ending, firing"]),
        (24 * 300, ["token ending, resolved"]),
        (24 * 299, []),
    ):
        monkeypatch.setenv(CONNECTION_VARIABLE, connection(with_token(sandbox, account, hours)))
        assert run_guard(caplog, **told.settings) == "success"
        if hours == 73:
            assert "in 3 days. From then on neither runs nor guard reach the cluster." in told.text
        assert told.alerts() == expected


def with_token(sandbox: Sandbox, account: Path, hours: int) -> Path:
    """The account's kubeconfig with a token that ends."""
    token = kubectl(
        sandbox.kubeconfig, "create", "token", "registry-prune", "-n", "registry-prune", f"--duration={hours}h"
    )
    content = yaml.safe_load(account.read_text())
    content["users"][0]["user"]["token"] = token.strip()
    path = account.with_name(f"{hours}-hours")
    path.write_text(yaml.safe_dump(content))
    return path


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
    assert str(run_in_process(build_guard(ClustersFile.read().settings("renamed")), {}).state) == "success"
    assert f"The guard closed the window of {HOLDER.run}" in caplog.text
    assert_as_before(seeded)
