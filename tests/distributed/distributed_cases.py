"""Whole runs on a distributed Airflow: a cluster, its entry in clusters.yaml and its DAG for each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml

from faults.arena.guards import kubectl
from faults.arena.observers import ReadOnlyClock
from local_airflow.distributed.distributed_airflow import WORKERS, DistributedAirflow, chart_configuration
from local_airflow.distributed.services import Services
from local_airflow.instance.airflow_instance import free_port
from local_airflow.instance.environment import AirflowSettings
from local_airflow.instance.rest import FINISHED_RUN_STATES, FINISHED_TASK_STATES, AirflowApi, TaskInstance, wait_for
from sandbox.base.names import CLUSTER, CONFIGS
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.object_storage.server import ObjectStorageServer
from sandbox.registry.seed.seed import SeedPlan

PROJECT = Path(__file__).parents[2]
VALUES = (PROJECT / "deploy" / "values.yaml", PROJECT / "deploy" / "values" / "celery.yaml")
BUCKET = "registry-prune"
IMAGES, ORPHANS = 12, 60
SMALL_IMAGE = "registry.test/registry-prune-small:1"
CONF: dict[str, Any] = {"base_prune": False, "min_blobs": 10}
LEASE = {"lease": "180s", "settle_limit": "1m", "pruner_stop": "5s"}
"""Long enough for Airflow to notice that a worker is gone."""
RUN_SECONDS = 600.0
HEARTBEAT_SECONDS = 30
"""A task without a sign of life for this time is taken for dead; 300 s by default."""


class ApprovingApi(AirflowApi):
    """With what a person does who is asked."""

    def questions(self, dag_id: str) -> list[dict[str, Any]]:
        """What waits for an answer, and has begun to wait."""
        found = self._request("GET", f"/api/v2/dags/{dag_id}/dagRuns/~/hitlDetails")["hitl_details"]
        return [each for each in found if each["task_instance"]["state"] == "awaiting_input"]

    def answer(self, question: Mapping[str, Any], chosen: str) -> None:
        """Answer one of these."""
        task = question["task_instance"]
        path = f"{self._run_path(task['dag_id'], task['dag_run_id'])}/taskInstances/{task['task_id']}/-1/hitlDetails"
        self._request("PATCH", path, {"chosen_options": [chosen], "params_input": {}})


class Case:
    """One cluster with one run.

    :ivar clock: measures how long its registry is read-only.
    """

    def __init__(self, api: ApprovingApi, name: str, sandbox: Sandbox, clock: ReadOnlyClock) -> None:
        self.api = api
        self.sandbox = sandbox
        self.clock = clock
        self.dag_id = f"registry_prune_{name}"
        self.run_id = ""

    def trigger(self, **conf: Any) -> None:
        """Begin the run."""
        self.api.unpause(self.dag_id)
        self.run_id = self.api.trigger(self.dag_id, {**CONF, **conf})

    def tasks(self) -> dict[str, TaskInstance]:
        """Its tasks as Airflow has them now."""
        return {each.task_id: each for each in self.api.task_instances(self.dag_id, self.run_id)}

    def await_task(self, task_id: str, *states: str) -> None:
        """Wait until a task is in one of these states."""
        wait_for(lambda: self.tasks()[task_id].state in states, RUN_SECONDS, pause_seconds=0.1)

    def state(self) -> str:
        """The run's state, once it and all of its tasks have ended."""
        wait_for(self._ended, RUN_SECONDS)
        return self.api.run_state(self.dag_id, self.run_id)

    def _ended(self) -> bool:
        if self.api.run_state(self.dag_id, self.run_id) not in FINISHED_RUN_STATES:
            return False
        return all(task.state in FINISHED_TASK_STATES for task in self.tasks().values())

    def result(self, task_id: str) -> dict[str, Any]:
        """What a task handed over."""
        found = self.api.xcom(self.dag_id, self.run_id, task_id)
        assert isinstance(found, dict), task_id
        return found

    def problems(self) -> list[str]:
        """What went wrong, task by task, for a test that fails."""
        return [f"{name}: {task.state}, try {task.try_number}" for name, task in self.tasks().items()]

    def assert_whole(self, *, orphans_left: int) -> None:
        """No blob is lost that an image needs; the registry takes pushes; nothing of the run is left."""
        verified = self.sandbox.verify()
        assert verified.ok, verified.problems
        assert verified.orphans_left == orphans_left
        assert not self.sandbox.get_object(CONFIGS, CLUSTER)["spec"].get("readOnly")
        assert self.sandbox.pruners_alive() == 0
        self.sandbox.wait_until_settled()


def bucket_client(server: ObjectStorageServer) -> Any:
    """Boto3's client of this server."""
    return boto3.client(
        "s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="key"
    )


def bucket_connection(server: ObjectStorageServer) -> str:
    """The Airflow connection to this server, as its environment variable holds it."""
    extra = {"endpoint_url": server.url, "region_name": "us-east-1"}
    return json.dumps({"conn_type": "aws", "login": "key", "password": "key", "extra": extra})


class Bench:
    """The Airflow and the bucket that all cases share.

    :param folder: new and empty.
    :param entries: of clusters.yaml, by name.
    """

    def __init__(self, folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder = folder
        self._entries = entries
        self.bucket = ObjectStorageServer()

    @contextmanager
    def running(self) -> Iterator[Bench]:
        """All of it, from entering to leaving the ``with`` block."""
        with ExitStack() as stack:
            stack.enter_context(self.bucket)
            bucket_client(self.bucket).create_bucket(Bucket=BUCKET)
            self._write_clusters()
            self.services = stack.enter_context(Services({"PATH": "/usr/bin:/bin"}).running())
            self.airflow = DistributedAirflow(self._settings(), chart_configuration(*VALUES), self.services)
            stack.enter_context(self.airflow.healthy())
            self.api = ApprovingApi(self.airflow.settings.url, timeout_seconds=120)
            wait_for(lambda: all(self.api.knows_dag(f"registry_prune_{name}") for name in self._entries), 180)
            yield self

    def _settings(self) -> AirflowSettings:
        return AirflowSettings(
            home=self._folder / "airflow",
            project=PROJECT,
            dags_folder=PROJECT / "dags",
            port=free_port(),
            clusters_file=self._folder / "clusters.yaml",
            recommended=False,
            overrides={
                **{f"AIRFLOW_CONN_KUBERNETES_{name.upper()}": self._connection(name) for name in self._entries},
                "AIRFLOW_CONN_BUCKET": bucket_connection(self.bucket),
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_SECONDS),
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            },
        )  # fmt: skip

    def _kubeconfig(self, name: str) -> Path:
        return self._folder / f"{name}.kubeconfig"

    def _connection(self, name: str) -> str:
        return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config_path": str(self._kubeconfig(name))}})

    def _write_clusters(self) -> None:
        entries = {
            name: {"connection": f"kubernetes_{name}", "artifacts": f"s3://bucket@{BUCKET}/{name}", **LEASE, **settings}
            for name, settings in self._entries.items()
        }
        (self._folder / "clusters.yaml").write_text(yaml.safe_dump(entries), encoding="utf-8")

    @contextmanager
    def case(self, name: str) -> Iterator[Case]:
        """A new cluster with images and orphans, and the DAG of this entry for it."""
        self.airflow.start_missing()
        with Sandbox(self._folder / name, SandboxSettings.quick(replicas=2, nodes=5, real_registry=False)) as sandbox:
            sandbox.seed(SeedPlan(images=IMAGES, orphans=ORPHANS))
            for rights in ("rbac.yaml", "exact-delete-rbac.yaml"):
                kubectl(sandbox.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / rights))
            shutil.copy(sandbox.service_account_kubeconfig("registry-prune", "registry-prune"), self._kubeconfig(name))
            with ReadOnlyClock(sandbox) as clock:
                yield Case(self.api, name, sandbox, clock)

    def lists(self, name: str) -> list[str]:
        """The names of what is in the bucket for one entry."""
        client = bucket_client(self.bucket)
        return [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET, Prefix=f"{name}/").get("Contents", [])]

    def worked(self, name: str) -> set[str]:
        """The parts that have logs of an entry's runs: workers, and the triggerer."""
        parts = (*WORKERS, "triggerer")
        return {part for part in parts if list(self.airflow.home(part).glob(f"logs/dag_id=registry_prune_{name}"))}
