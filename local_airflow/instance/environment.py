"""The environment that Airflow's processes get: all of Airflow's configuration there is."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

PASSED_ON_PREFIXES = ("AIRFLOW_CONN_", "AIRFLOW_VAR_", "AIRFLOW__SMTP__", "AIRFLOW__EMAIL__")
"""What a user may set: connections, variables, and the mail that alerts go by. All other variables that begin
with ``AIRFLOW`` configure some other Airflow; this one does not get them."""

CONNECTION_VARIABLE = "AIRFLOW_CONN_KUBERNETES_DEFAULT"
"""Environment variable that holds the connection ``kubernetes_default``."""

CLUSTERS_VARIABLE = "REGISTRY_PRUNE_CLUSTERS"
"""Environment variable with the path of the project's ``clusters.yaml``."""

LOOPBACK = "127.0.0.1"

RECOMMENDED: Mapping[str, str] = {
    # Airflow forks this many workers, each for one task; a run has at most two tasks at a time.
    "CORE__PARALLELISM": "4",
    # The scheduler sleeps this long between two looks at what can start, and between two tasks it has to look twice.
    # The default is 1 s.
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    # How often the scheduler looks for tasks that a killed one left behind. The default is 5 minutes.
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    # Workers are forked from a process that has imported what every task needs. Forked from the scheduler, each task
    # would import it anew, for 0.8 s of CPU time. No module of this project is among it, so that tasks read new code
    # at once.
    "SCHEDULER__MP_START_METHOD": "forkserver",
    "CORE__MP_FORKSERVER_PRELOAD": ",".join(
        (
            "airflow.executors.local_executor",
            "airflow.sdk.execution_time.task_runner",
            "airflow.dag_processing.dagbag",
            "airflow.providers.cncf.kubernetes.hooks.kubernetes",
            "kubernetes.stream",
            "yaml",
        )
    ),
    # How often DAG files are parsed that have not changed. The default of 30 s keeps a core busy for seconds beside the
    # window, with 200 clusters. One that has changed is parsed at once; clusters.yaml, which is no DAG file, is not.
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    # A worker may live this long after its task has ended: with the default of 5 s, short tasks run out of workers.
    # Together the two give an api-server that does not answer 15 s, as the defaults do.
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "WORKERS__MAX_FAILED_HEARTBEATS": "15",
}
"""Settings of Airflow that shorten the read-only time; ``deploy/values.yaml`` has the same."""


@dataclass(frozen=True)
class Secrets:
    """What Airflow's parts sign and encrypt with, and the password of ``admin``."""

    fernet_key: str
    jwt_secret: str
    session_key: str
    admin_password: str

    @classmethod
    def generate(cls, earlier: Path | None = None) -> Secrets:
        """New random ones.

        :param earlier: what :meth:`write` wrote for the last start. The Fernet key is taken from there, because the
            connections in a database that was kept are encrypted with it.
        """
        return cls(
            # 32 bytes in url-safe base64 with its padding, which is always one "=".
            fernet_key=_fernet_key(earlier) or secrets.token_urlsafe(32) + "=",
            jwt_secret=secrets.token_urlsafe(48),
            session_key=secrets.token_urlsafe(48),
            admin_password=secrets.token_urlsafe(12),
        )

    def write(self, file: Path) -> None:
        """Write them to a file that nobody else can read."""
        write_private(file, json.dumps(asdict(self), indent=2) + "\n")


def _fernet_key(file: Path | None) -> str | None:
    """The key in a file of :class:`Secrets`; ``None`` if there is none."""
    try:
        return None if file is None else str(json.loads(file.read_text(encoding="utf-8"))["fernet_key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class KubernetesConnection:
    """How the DAG reaches the cluster.

    :param kubeconfig: path of a kubeconfig file, or several with ``:`` between them. It need not exist yet.
    :param context: the context in it; ``None`` for its current one.
    """

    kubeconfig: str
    context: str | None = None

    def as_airflow_json(self) -> str:
        """The connection in the form that Airflow reads from ``AIRFLOW_CONN_…``."""
        extra = {"kube_config_path": self.kubeconfig}
        if self.context is not None:
            extra["cluster_context"] = self.context
        return json.dumps({"conn_type": "kubernetes", "extra": extra})


@dataclass(frozen=True)
class AirflowSettings:
    """One Airflow on this machine.

    :param home: ``AIRFLOW_HOME``; holds the database and the logs.
    :param project: the project's root; its ``include`` is imported by the DAGs.
    :param dags_folder: where the DAG files are.
    :param port: free port on the loopback interface for the api-server.
    :param connection: how the DAGs reach the cluster; ``None`` if they need none.
    :param clusters_file: the project's ``clusters.yaml`` to use; ``None`` for what the project finds itself.
    :param recommended: whether Airflow gets the settings of ``RECOMMENDED``, or its own defaults.
    :param login: whether the API and the UI ask for a password. Without, whoever can reach the loopback
        interface of this machine is an administrator of this Airflow.
    :param overrides: environment variables that are set last, over all others.
    """

    home: Path
    project: Path
    dags_folder: Path
    port: int
    connection: KubernetesConnection | None = None
    clusters_file: Path | None = None
    recommended: bool = True
    login: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address of the UI and the REST API."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "airflow.db"

    @property
    def password_file(self) -> Path:
        """Where the simple auth manager looks for passwords, if a login is asked for."""
        return self.home / "passwords.json"


def airflow_environment(settings: AirflowSettings, keys: Secrets, inherited: Mapping[str, str]) -> dict[str, str]:
    """The whole environment for every process of this Airflow.

    :param inherited: this process's environment: PATH, HOME, proxies and what else clients need.
    """
    environment = {
        name: value
        for name, value in inherited.items()
        if not name.startswith("AIRFLOW") or name.startswith(PASSED_ON_PREFIXES)
    }
    # The cluster is the one that the settings name and no other. And compiled code is kept: without, each task would
    # compile this project anew, half a second of CPU.
    for name in (CONNECTION_VARIABLE, "KUBECONFIG", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    environment.update(
        {
            "AIRFLOW_HOME": str(settings.home),
            "PYTHONPATH": str(settings.project),
            "PYTHONUNBUFFERED": "1",
            **{name: _without_proxy(inherited.get(name)) for name in ("NO_PROXY", "no_proxy")},
            **{f"AIRFLOW__{name}": value for name, value in _configuration(settings, keys).items()},
        }
    )
    if settings.connection is not None:
        environment[CONNECTION_VARIABLE] = settings.connection.as_airflow_json()
    if settings.clusters_file is not None:
        environment[CLUSTERS_VARIABLE] = str(settings.clusters_file)
    return {**environment, **settings.overrides}


def _configuration(settings: AirflowSettings, keys: Secrets) -> dict[str, str]:
    return {
        "CORE__DAGS_FOLDER": str(settings.dags_folder),
        "CORE__PLUGINS_FOLDER": str(settings.project / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(settings.password_file),
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(not settings.login),
        "CORE__FERNET_KEY": keys.fernet_key,
        "API_AUTH__JWT_SECRET": keys.jwt_secret,
        "API__SECRET_KEY": keys.session_key,
        "API__HOST": LOOPBACK,
        "API__PORT": str(settings.port),
        "API__BASE_URL": settings.url,
        "API__WORKERS": "1",
        # Writers wait for one another instead of failing with "database is locked".
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{settings.database}?timeout=30",
        # Nothing runs but what is triggered: no scheduled run beside it, and none against a real cluster
        # only because somebody wanted to look.
        "SCHEDULER__USE_JOB_SCHEDULE": "False",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        **(RECOMMENDED if settings.recommended else {}),
    }


def _without_proxy(value: str | None) -> str:
    """Hosts that no proxy is used for, with the loopback interface among them."""
    hosts = [host for host in (value or "").split(",") if host.strip()]
    return ",".join([*hosts, *(host for host in (LOOPBACK, "localhost") if host not in hosts)])


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
