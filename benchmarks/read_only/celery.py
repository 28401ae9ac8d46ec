"""The read-only time with CeleryExecutor, PostgreSQL, Redis and lists in S3, beside that with LocalExecutor."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import boto3
import psutil
import yaml

from benchmarks import PROJECT
from benchmarks.benchmark import Benchmark, Row
from benchmarks.contestants.airflow_run import DAG, SETTINGS, WARM_UP, AirflowRun
from benchmarks.contestants.contestant import Arena, Kubectl
from benchmarks.read_only.measurement import Measured, arena, median, run_once
from local_airflow.distributed.distributed_airflow import DistributedAirflow, chart_configuration
from local_airflow.distributed.services import Services, missing
from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import free_port
from local_airflow.instance.environment import AirflowSettings, KubernetesConnection
from local_airflow.instance.rest import AirflowApi, wait_for
from sandbox.object_storage.server import ObjectStorageServer

BUCKET = "registry-prune"
_START_SECONDS = 180.0
_IMPORTS = "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS"
VALUES = (PROJECT / "deploy" / "values.yaml", PROJECT / "deploy" / "values" / "celery.yaml")


class CeleryRun(AirflowRun):
    """A run on two workers and a triggerer that share no disk.

    :param imports_first: workers import what every task needs before they fork, as ``deploy/values/celery.yaml`` says.
    """

    def __init__(self, *, imports_first: bool) -> None:
        super().__init__(recommended=True)
        self._imports_first = imports_first
        self.name = "CeleryExecutor" + ("" if imports_first else ", each task imports by itself")

    @contextmanager
    def ready(self, arena: Arena) -> Iterator[None]:
        """As for LocalExecutor: an Airflow that has run the DAG once."""
        self._folder = arena.folder / f"airflow-{time.time_ns()}"
        self._folder.mkdir()
        Kubectl(arena).apply(PROJECT / "deploy" / "rbac.yaml")
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            bucket = stack.enter_context(ObjectStorageServer())
            _make_bucket(bucket.url)
            services = stack.enter_context(Services({"PATH": "/usr/bin:/bin"}).running())
            configuration = chart_configuration(*VALUES)
            if not self._imports_first:
                del configuration[_IMPORTS]
            airflow = DistributedAirflow(self._distributed(arena, bucket.url), configuration, services)
            stack.enter_context(airflow.healthy())
            self.api = AirflowApi(airflow.settings.url, timeout_seconds=60)
            wait_for(lambda: self.api.knows_dag(DAG), _START_SECONDS)
            self.api.unpause(DAG)
            # Twice: both workers are to have done something.
            for _ in range(2):
                self._run(WARM_UP)
            yield

    def processes(self) -> Iterable[psutil.Process]:
        """All of Airflow; the servers of PostgreSQL and Redis are not counted."""
        return processes.marked(self._folder, "airflow")

    def _distributed(self, arena: Arena, bucket: str) -> AirflowSettings:
        clusters = self._folder / "clusters.yaml"
        entry = {**SETTINGS, "artifacts": f"s3://bucket@{BUCKET}/lists"}
        clusters.write_text(yaml.safe_dump({"default": entry}), encoding="utf-8")
        account: Path = arena.sandbox.service_account_kubeconfig("registry-prune", "registry-prune")
        extra = {"endpoint_url": bucket, "region_name": "us-east-1"}
        return AirflowSettings(
            home=self._folder,
            project=PROJECT,
            dags_folder=PROJECT / "dags",
            port=free_port(),
            connection=KubernetesConnection(str(account)),
            clusters_file=clusters,
            recommended=False,
            overrides={
                "AIRFLOW_CONN_BUCKET": json.dumps(
                    {"conn_type": "aws", "login": "key", "password": "key", "extra": extra}
                )
            },
        )


def _make_bucket(url: str) -> None:
    boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="key"
    ).create_bucket(Bucket=BUCKET)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """The executors, one after the other on one cluster, with quick pods: rollouts do not hide the rest."""
    if missing() or find_spec("celery") is None:
        print("celery: left out. It needs PostgreSQL, Redis and the virtual environment of `make distributed`.")
        return
    local = AirflowRun(recommended=True)
    local.name = "LocalExecutor"
    orphans = min(options.sizes)
    with arena("quick") as there:
        for contestant in (local, CeleryRun(imports_first=True), CeleryRun(imports_first=False)):
            runs: list[Measured] = []
            for _ in range(options.repetitions or 3):
                runs.append(run_once(there, contestant, orphans=orphans))
                yield _row(contestant.name, orphans, runs)


def _row(name: str, orphans: int, runs: list[Measured]) -> Row:
    found = median(runs)
    return {
        "who": name,
        "orphans": orphans,
        "runs": len(runs),
        "read-only s": found["read_only"],
        "rollouts s": found["rollout_time"],
        "check s": found["check"],
        "delete s": found["delete"],
        "overhead s": found["overhead"],
        "wall s": found["wall"],
        "CPU s": found["cpu"],
    }


BENCHMARK = Benchmark(
    name="celery",
    title="CeleryExecutor",
    about="""
The same day with something to prune, on one cluster with quick pods: LocalExecutor with SQLite, as `make run` has it,
and CeleryExecutor with PostgreSQL, Redis, two workers and a triggerer that share no disk, and lists in a bucket
(`deploy/values/celery.yaml`). *Each task imports by itself*: without `celery_config_options`, by which workers import
before they fork. It runs in the virtual environment of `make distributed`:
`.venv-distributed/bin/python -m benchmarks --only celery`.
""",
    columns=(
        "who", "orphans", "runs", "read-only s", "rollouts s", "check s", "delete s", "overhead s", "wall s", "CPU s",
    ),
    keys=("who", "orphans"),
    measure=measure,
)  # fmt: skip
