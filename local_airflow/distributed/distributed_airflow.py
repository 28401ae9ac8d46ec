"""The processes of one distributed Airflow: started, waited for, killed, started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import requests
import yaml

from local_airflow.distributed.services import Services
from local_airflow.errors import LocalAirflowError
from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import HEALTHY_LIMIT_SECONDS
from local_airflow.instance.environment import AirflowSettings, Secrets, airflow_environment
from local_airflow.instance.rest import loopback_session

WORKERS = ("worker-1", "worker-2")
PARTS: Mapping[str, list[str]] = {
    "api-server": ["api-server"],
    "dag-processor": ["dag-processor"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
    **{name: ["celery", "worker", "--skip-serve-logs", "--celery-hostname", name] for name in WORKERS},
}
_POLL_SECONDS = 0.2
_KILL_SECONDS = 20.0


def chart_configuration(*files: Path) -> dict[str, str]:
    """What Helm values say of Airflow's configuration, as environment variables; a later file decides."""
    found: dict[str, str] = {}
    for file in files:
        values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for section, options in values.get("config", {}).items():
            found |= {f"AIRFLOW__{section}__{name}".upper(): str(value) for name, value in options.items()}
        if "executor" in values:
            found["AIRFLOW__CORE__EXECUTOR"] = values["executor"]
    return found


class DistributedAirflow:
    """CeleryExecutor with Redis and PostgreSQL, two workers, a triggerer; each part has an ``AIRFLOW_HOME`` of its own.

    :param settings: of Airflow; ``home`` is the folder in which the parts have theirs, and marks all processes.
    :param configuration: further environment variables, such as :func:`chart_configuration` gives.
    :param services: running.
    """

    def __init__(self, settings: AirflowSettings, configuration: Mapping[str, str], services: Services) -> None:
        self.settings = settings
        self.folder = settings.home
        mine = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": services.database_url,
            "AIRFLOW__CELERY__BROKER_URL": services.broker_url,
            "AIRFLOW__CELERY__RESULT_BACKEND": services.result_backend,
        }
        environment = airflow_environment(settings, Secrets.generate(), os.environ) | mine | dict(configuration)
        self._environment = processes.with_mark(environment, self.folder, "airflow")
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._session = loopback_session()

    @contextlib.contextmanager
    def healthy(self) -> Iterator[None]:
        """All of it, from an empty database to healthy; it ends with the ``with`` block.

        :raises LocalAirflowError: if it does not get healthy.
        """
        try:
            if self._start("db-migrate", ["db", "migrate"]).wait() != 0:
                raise LocalAirflowError(f"airflow db migrate failed; see {self.log_file('db-migrate')}")
            for name in PARTS:
                self.start(name)
            self.wait_until_healthy()
            yield
        finally:
            processes.end_all(lambda: processes.marked(self.folder, "airflow"), patience_seconds=2.0)

    def home(self, name: str) -> Path:
        """``AIRFLOW_HOME`` of a part."""
        return self.folder / name

    def log_file(self, name: str) -> Path:
        """Where the output of a part goes."""
        return self.folder / f"{name}.log"

    def start(self, name: str) -> None:
        """Start a part, anew if it has ended."""
        self.log_file(name).unlink(missing_ok=True)  # "ready" in it is to be the new one's
        self._children[name] = self._start(name, PARTS[name])

    def start_missing(self) -> None:
        """Start again what has ended, and wait until all is well."""
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                self.start(name)
        self.wait_until_healthy()

    def lose(self, name: str) -> None:
        """The machine of a part is gone: kill -9 of all its processes, and its home with them."""
        lost = [process for process in processes.marked(self.folder, "airflow") if self._is_of(process, name)]
        for process in lost:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(lost, _KILL_SECONDS)
        self._children[name].wait()
        shutil.rmtree(self.home(name), ignore_errors=True)

    def worker_of(self, task_id: str) -> str | None:
        """The worker in which a task is at work; None if it is in none."""
        for name in WORKERS:
            for log in self.home(name).glob(f"logs/**/task_id={task_id}/*.log"):
                if self._writes(name, log):
                    return name
        return None

    def wait_until_healthy(self, limit_seconds: float = HEALTHY_LIMIT_SECONDS) -> None:
        """Wait until every part has said that it is ready.

        :raises LocalAirflowError: if one ends meanwhile, or it takes longer than the limit.
        """
        deadline = time.monotonic() + limit_seconds
        while missing := self._unhealthy():
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise LocalAirflowError(f"{name} ended with {child.returncode}; see {self.log_file(name)}")
            if time.monotonic() > deadline:
                raise LocalAirflowError(
                    f"not healthy within {limit_seconds:.0f} s: {', '.join(missing)}; {self.folder}"
                )
            time.sleep(_POLL_SECONDS)

    def _unhealthy(self) -> list[str]:
        workers = [name for name in WORKERS if not self._worker_is_ready(name)]
        try:
            health = self._session.get(f"{self.settings.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return ["api-server", *workers]
        parts = {"scheduler": "scheduler", "triggerer": "triggerer", "dag_processor": "dag-processor"}
        return [name for key, name in parts.items() if health.get(key, {}).get("status") != "healthy"] + workers

    def _worker_is_ready(self, name: str) -> bool:
        log = self.log_file(name)
        return log.exists() and f"{name} ready" in log.read_text(encoding="utf-8", errors="replace")

    def _is_of(self, process: psutil.Process, name: str) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            return bool(process.environ().get("AIRFLOW_HOME") == str(self.home(name)))
        return False

    def _writes(self, name: str, file: Path) -> bool:
        """Whether a process of that part has the file open."""
        for process in processes.marked(self.folder, "airflow"):
            with contextlib.suppress(psutil.Error, OSError):
                if self._is_of(process, name) and any(each.path == str(file) for each in process.open_files()):
                    return True
        return False

    def _start(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        home = self.home(name)
        home.mkdir(parents=True, exist_ok=True)
        environment = {**self._environment, "AIRFLOW_HOME": str(home)}
        return processes.start([sys.executable, "-m", "airflow", *arguments], environment, self.log_file(name), home)
