"""Every way in which a run is begun, on a real Airflow that asks for a login: CLI, REST, an asset, Alertmanager.

The cluster's default is to force, and it has too few orphans for a window: what an event begins leaves them, what a
person asks for deletes them. The form in the UI: ``tests/dags/test_trigger_form.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import AirflowInstance, free_port
from local_airflow.instance.environment import AirflowSettings, KubernetesConnection, airflow_environment
from local_airflow.instance.rest import FINISHED_RUN_STATES, AirflowApi, wait_for
from local_airflow.interruption import Interruption
from sandbox.cluster import Sandbox
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.alerts.receivers import alertmanager, eventually, needs_alertmanager
from tests.registry_prune.conftest import IMAGES, PROJECT, kubectl, start_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]

DAG, ASSET, ORPHANS = "registry_prune", "registry storage", 20
ENTRY = {
    "schedule": None,
    "on_asset": ASSET,
    "parameters": {"hard_prune": "force", "base_prune": False, "integrity_check": False},
}
TO_FORCE = {"hard_prune": "force", "pass_ceilings": ["orphan_share"], "min_blobs": 1}
PATIENCE_SECONDS = 900.0


class Api(AirflowApi):
    """What these tests ask beyond a user's tool."""

    def runs(self) -> dict[str, Any]:
        """All runs of the DAG, by id, the oldest first."""
        listed = self._request("GET", f"/api/v2/dags/{DAG}/dagRuns", parameters={"order_by": "id"})["dag_runs"]
        return {run["dag_run_id"]: run for run in listed}

    def report(self, run_id: str) -> dict[str, Any]:
        """What a run has reported, once it is over."""
        wait_for(lambda: self.run_state(DAG, run_id) in FINISHED_RUN_STATES, PATIENCE_SECONDS)
        states = {task.task_id: task.state for task in self.task_instances(DAG, run_id)}
        assert self.run_state(DAG, run_id) == "success", states
        return dict(self.xcom(DAG, run_id, "report"))

    def add_event(self, asset: str, extra: Mapping[str, Any]) -> None:
        """As a producer of the asset does, or the button in the UI."""
        (found,) = self._request("GET", "/api/v2/assets", parameters={"name_pattern": asset})["assets"]
        self._request("POST", "/api/v2/assets/events", {"asset_id": found["id"], "extra": dict(extra)})


class Airflow:
    """The Airflow, and the sandbox that it prunes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.sandbox: Sandbox = stack.enter_context(start_sandbox(folder / "sandbox"))
        kubectl(self.sandbox.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "rbac.yaml"))
        self.sandbox.seed(SeedPlan(images=IMAGES, orphans=ORPHANS))
        account = self.sandbox.service_account_kubeconfig("registry-prune", "registry-prune")
        (folder / "clusters.yaml").write_text(
            yaml.safe_dump({"default": {**ENTRY, "artifacts": str(folder / "lists")}})
        )
        self.settings = AirflowSettings(
            home=folder / "airflow",
            project=PROJECT,
            dags_folder=PROJECT / "dags",
            port=free_port(),
            connection=KubernetesConnection(str(account)),
            clusters_file=folder / "clusters.yaml",
            login=True,
            overrides={
                "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,alertmanager:user,reader:viewer",
            },
        )
        instance = AirflowInstance(self.settings, folder, Interruption())
        stack.enter_context(instance.healthy())
        self.environment = airflow_environment(self.settings, instance.secrets, os.environ)
        self.api = Api(self.settings.url, instance.secrets.admin_password, timeout_seconds=120.0)
        stack.callback(self.api.close)
        wait_for(lambda: self.api.knows_dag(DAG), PATIENCE_SECONDS)
        self.api.unpause(DAG)

    def token_of(self, user: str) -> str:
        """A login, by the password that Airflow has made for a user."""
        passwords = json.loads(self.settings.password_file.read_text())
        credentials = {"username": user, "password": passwords[user]}
        answer = requests.post(f"{self.settings.url}/auth/token", json=credentials, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def begun(self, before: Mapping[str, Any]) -> Any:
        """The one run that has begun since; it waits for it."""
        wait_for(lambda: len(self.api.runs()) > len(before), PATIENCE_SECONDS)
        ((run_id, run),) = [(name, run) for name, run in self.api.runs().items() if name not in before]
        return run_id, run

    def assert_left(self, orphans: int) -> None:
        """So many orphans are there, and whatever an image needs."""
        verified = self.sandbox.verify()
        assert verified.ok, verified.problems
        assert verified.orphans_left == orphans


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("ways")
    try:
        with ExitStack() as stack:
            yield Airflow(folder, stack)
    finally:
        processes.end_all(lambda: processes.marked(folder), patience_seconds=0.0)


def receiver(airflow: Airflow, token: Path) -> str:
    """deploy/alertmanager.yaml for this Airflow, and in a hurry."""
    configuration = yaml.safe_load((PROJECT / "deploy" / "alertmanager.yaml").read_text(encoding="utf-8"))
    configuration["route"] |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
    webhook = configuration["receivers"][1]["webhook_configs"][0]
    webhook["url"] = webhook["url"].replace("https://airflow.example.com", airflow.settings.url)
    webhook["http_config"]["authorization"]["credentials_file"] = str(token)
    return yaml.safe_dump(configuration)


def fire(url: str, *, ends_at: datetime | None = None) -> None:
    """As Prometheus posts an alert to Alertmanager."""
    labels = {"alertname": "RegistryStorageFillingUp", "severity": "warning", "hard_prune": "force", "dag_id": "other"}
    alert: dict[str, Any] = {"labels": labels, "annotations": {"conf": json.dumps(TO_FORCE)}}
    if ends_at is not None:
        alert["endsAt"] = ends_at.isoformat()
    requests.post(f"{url}/api/v2/alerts", json=[alert], timeout=30).raise_for_status()


def posts(url: str, *, failed: bool) -> int:
    """How many posts Alertmanager counts to its webhooks, or how many of them failed."""
    name = f'alertmanager_notifications_{"failed_" if failed else ""}total{{integration="webhook"'
    lines = requests.get(f"{url}/metrics", timeout=30).text.splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(name))


def test_an_event_of_the_asset_begins_a_run_whatever_it_says(airflow: Airflow) -> None:
    before = airflow.api.runs()
    airflow.api.add_event(ASSET, {**TO_FORCE, "conf": TO_FORCE})
    run_id, run = airflow.begun(before)
    assert (run["run_type"], run["conf"] or {}) == ("asset_triggered", {})
    report = airflow.api.report(run_id)
    assert (report["outcome"], report["orphaned_blobs"]) == ("not worth it", ORPHANS)
    airflow.assert_left(ORPHANS)


@needs_alertmanager
def test_alertmanager_begins_one_run_as_often_as_it_posts(airflow: Airflow, tmp_path: Path) -> None:
    before = airflow.api.runs()
    token = tmp_path / "token"
    token.write_text(airflow.token_of("reader"))
    with alertmanager(tmp_path, receiver(airflow, token)) as url:
        fire(url)
        eventually(lambda: posts(url, failed=True) > 0)
        assert airflow.api.runs().keys() == before.keys(), "who may only read begins nothing"

        token.write_text(airflow.token_of("alertmanager"))
        run_id, run = airflow.begun(before)
        assert (run["conf"] or {}, run["triggering_user_name"]) == ({}, "alertmanager")
        report = airflow.api.report(run_id)
        assert (report["outcome"], report["orphaned_blobs"]) == ("not worth it", ORPHANS)

        posted, failed = posts(url, failed=False), posts(url, failed=True)
        eventually(lambda: posts(url, failed=False) > posted + 1)
        fire(url, ends_at=datetime.now(UTC) - timedelta(seconds=1))
        eventually(lambda: requests.get(f"{url}/api/v2/alerts", timeout=30).json() == [])
        assert posts(url, failed=True) == failed
    assert len(airflow.api.runs()) == len(before) + 1
    airflow.assert_left(ORPHANS)


def test_the_command_line_begins_a_run_with_parameters(airflow: Airflow) -> None:
    before = airflow.api.runs()
    command = [sys.executable, "-m", "airflow", "dags", "trigger", DAG, "--conf", '{"dry_run_only": true}']
    done = subprocess.run(command, env=airflow.environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    run_id, run = airflow.begun(before)
    assert run["conf"] == {"dry_run_only": True}
    assert airflow.api.report(run_id)["outcome"] == "dry run"
    airflow.assert_left(ORPHANS)


def test_rest_begins_a_run_for_a_person_which_may_force(airflow: Airflow) -> None:
    """The last of them: it deletes."""
    report = airflow.api.report(airflow.api.trigger(DAG, {"delete_by": "dockerregistry"}))
    assert (report["outcome"], report["deleted_blobs"]) == ("pruned", ORPHANS)
    airflow.assert_left(0)
