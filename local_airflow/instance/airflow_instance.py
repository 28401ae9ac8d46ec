"""One Airflow of four processes: makes its database, starts the processes, waits until they are healthy."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import requests

from local_airflow.errors import LocalAirflowError
from local_airflow.instance import kept_database, processes
from local_airflow.instance.environment import (
    LOOPBACK,
    AirflowSettings,
    Secrets,
    airflow_environment,
    write_private,
)
from local_airflow.instance.rest import loopback_session
from local_airflow.interruption import Interruption

# The servers that hand out the logs of running tasks would listen on all interfaces, and no setting changes
# that. On one machine they are not needed: the api-server reads the files.
COMMANDS = {
    "api-server": ["api-server"],
    "dag-processor": ["dag-processor"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}

POLL_SECONDS = 0.1
HEALTHY_LIMIT_SECONDS = 300.0
"""An idle machine needs 6 s; one with ten times as much to do as it has cores needed more than 90. A process that ends
is noticed at once, whatever the limit."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


class AirflowInstance:
    """A real Airflow that belongs to one state folder.

    :param state_folder: the folder that marks the processes (see :func:`processes.with_mark`).
    """

    def __init__(self, settings: AirflowSettings, state_folder: Path, interruption: Interruption) -> None:
        self.settings = settings
        self._state_folder = state_folder
        self.secrets = Secrets.generate(settings.home / "secrets.json")
        self._interruption = interruption
        self._environment = processes.with_mark(
            airflow_environment(settings, self.secrets, os.environ), state_folder, "airflow"
        )
        self._session = loopback_session()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @contextlib.contextmanager
    def healthy(self) -> Iterator[list[processes.ProcessIdentity]]:
        """All of it, from nothing to healthy; it ends with the ``with`` block. Yields which processes they are.

        :raises LocalAirflowError: if it does not get healthy.
        """
        try:
            self.create_database()
            started = self.start_processes()
            self.wait_until_healthy()
            self.warm_up()
            yield started
        finally:
            self.end()

    def end(self) -> None:
        """End all of its processes, those of tasks too."""
        # The triggerer often does not end when it is asked to, and there is nothing left to wait for.
        processes.end_all(lambda: processes.marked(self._state_folder, "airflow"), patience_seconds=2.0)

    def log_file(self, name: str) -> Path:
        """Where the output of one process goes."""
        return self.settings.home / "logs" / f"{name}.log"

    def create_database(self) -> list[str]:
        """Make the database and the files with the keys. One that was kept is migrated, and its unfinished runs ended.

        :return: the ids of those runs.
        :raises LocalAirflowError: if ``airflow db migrate`` fails, or the database that was kept is damaged.
        """
        home, database = self.settings.home, self.settings.database
        home.mkdir(parents=True, exist_ok=True)
        self.secrets.write(home / "secrets.json")
        if self.settings.login:
            write_private(self.settings.password_file, f'{{"admin": "{self.secrets.admin_password}"}}\n')
        kept, version_file = database.exists(), home / "airflow-version"
        copy = kept_database.copy_before_upgrade(database, version_file)
        child = self._start("db-migrate", ["db", "migrate"])
        while child.poll() is None:
            self._interruption.wait(POLL_SECONDS)
        if child.returncode != 0:
            raise LocalAirflowError(self._failure("db-migrate", child.returncode) + self._way_on(copy, kept=kept))
        kept_database.note_version(version_file)
        kept_database.let_readers_and_writer_work_at_once(database)
        return kept_database.end_what_was_cut_off(database) if kept else []

    def start_processes(self) -> list[processes.ProcessIdentity]:
        """Start the four processes side by side.

        :return: which processes they are.
        """
        identities = []
        for name in COMMANDS:
            self._interruption.check()
            identities.append(self.start_process(name))
        return identities

    def start_process(self, name: str) -> processes.ProcessIdentity:
        """Start one of the four, anew if it has ended.

        :param name: a key of ``COMMANDS``.
        :return: which process it is.
        """
        self._children[name] = self._start(name, COMMANDS[name])
        return processes.ProcessIdentity.of(name, self._children[name].pid)

    def wait_until_healthy(self, limit_seconds: float = HEALTHY_LIMIT_SECONDS) -> None:
        """Wait until the api-server answers and the other three have reported to the database.

        :raises LocalAirflowError: if a process ends meanwhile, or it takes longer than the limit.
        """
        waited = 0.0
        while True:
            missing = self._unhealthy()
            if not missing:
                return
            self.check_alive()
            if waited > limit_seconds:
                raise LocalAirflowError(
                    f"Airflow's {', '.join(missing)} did not become healthy within {limit_seconds:.0f} s; "
                    f"see the logs in {self.settings.home / 'logs'}"
                )
            self._interruption.wait(POLL_SECONDS)
            waited += POLL_SECONDS

    def warm_up(self) -> None:
        """Let the api-server build the API that tasks talk to.

        It does so at its first request, which takes 3 s; otherwise the first task would wait for that.
        """
        with contextlib.suppress(requests.RequestException):
            self._session.get(f"{self.settings.url}/execution/health", timeout=10)
        self._session.close()  # an open connection would keep the api-server from ending

    def check_alive(self) -> None:
        """Raise :class:`LocalAirflowError` if one of the processes has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise LocalAirflowError(self._failure(name, child.returncode))

    def _start(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "airflow", *arguments]
        return processes.start(command, self._environment, self.log_file(name), self.settings.home)

    def _unhealthy(self) -> list[str]:
        """Which processes are not healthy yet."""
        try:
            response = self._session.get(f"{self.settings.url}/api/v2/monitor/health", timeout=5)
            health = response.json()
        except (requests.RequestException, ValueError):
            return ["api-server"]
        parts = {"scheduler": "scheduler", "triggerer": "triggerer", "dag_processor": "dag-processor"}
        return [name for key, name in parts.items() if health.get(key, {}).get("status") != "healthy"]

    def _way_on(self, copy: Path | None, *, kept: bool) -> str:
        """What a person can do about a kept database that this Airflow cannot migrate."""
        if not kept:
            return ""
        told = "" if copy is None else f" {copy} is a copy from before, named after the Airflow that it belongs to."
        return (
            f"\nThe database was kept from earlier runs.{told} Use the Airflow that it belongs to, or move the folder "
            f"{self.settings.home} away to begin a new history; the lists of earlier runs stay in it."
        )

    def _failure(self, name: str, exit_status: int) -> str:
        log = self.log_file(name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        last = "\n".join(f"    {line}" for line in lines)
        return f"airflow {name} ended with exit status {exit_status}; the end of {log}:\n{last}"
