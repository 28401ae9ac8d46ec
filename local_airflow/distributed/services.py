"""PostgreSQL and Redis for one distributed Airflow: on loopback, in a folder of their own, thrown away at the end."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local_airflow.errors import LocalAirflowError
from local_airflow.instance.airflow_instance import free_port
from local_airflow.instance.environment import LOOPBACK, write_private

ACCOUNT = "postgres"
"""Who PostgreSQL runs as where this process is root's, which it refuses."""
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


def program(name: str) -> str | None:
    """Where a program is; Debian keeps those of PostgreSQL's server out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


def missing() -> list[str]:
    """What has to be installed first, each as a sentence for people; empty if all is there."""
    wanted = {"initdb": "postgresql", "postgres": "postgresql", "redis-server": "redis-server"}
    lacking = {package: name for name, package in wanted.items() if program(name) is None}
    found = [f"{name} is not there (Debian's package {package})" for package, name in lacking.items()]
    if os.geteuid() == 0 and _account() is None:
        found.append(f"PostgreSQL does not run as root, and there is no user {ACCOUNT} (Debian's package postgresql)")
    return found


def _account() -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(ACCOUNT)
    return None


class Service:
    """One server.

    :param name: for messages, and of its log.
    :param folder: where the log goes.
    :param port: of the loopback interface.
    """

    def __init__(self, name: str, folder: Path, *, environment: Mapping[str, str], account: str | None = None) -> None:
        self.name = name
        self.port = free_port()
        self.folder = folder
        self._environment = dict(environment)
        self._account = account
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str]) -> None:
        """Run a program of it to its end.

        :raises LocalAirflowError: if it fails.
        """
        status = self._popen(command).wait()
        if status != 0:
            raise LocalAirflowError(f"{' '.join(command)} ended with exit status {status}; see {self._log}")

    def start(self, command: Sequence[str]) -> None:
        """Start the server, and wait until it listens.

        :raises LocalAirflowError: if it ends instead, or takes too long.
        """
        self._child = self._popen(command)
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise LocalAirflowError(f"{self.name} did not start; see {self._log}")
            time.sleep(_POLL_SECONDS)

    def stop(self, with_signal: signal.Signals = signal.SIGINT) -> None:
        """End it."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.send_signal(with_signal)
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def _popen(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        other: dict[str, Any] = {}
        if self._account:
            other = {"user": self._account, "group": self._account, "extra_groups": []}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **other,
            )

    def _listens(self) -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex((LOOPBACK, self.port)) == 0


class Services:
    """PostgreSQL and Redis, from entering to leaving the ``with`` block.

    :param environment: of their processes.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._password = secrets.token_urlsafe(16)

    @contextlib.contextmanager
    def running(self) -> Iterator[Services]:
        """Both of them.

        :raises LocalAirflowError: if a program is missing, or one does not start.
        """
        if lacking := missing():
            raise LocalAirflowError("; ".join(lacking))
        # Not below a folder of root's alone, as those of the tests are: PostgreSQL has to get there.
        folder = Path(tempfile.mkdtemp(prefix="distributed-airflow-"))
        try:
            self._prepare(folder)
            self._start_postgres()
            self.start_redis()
            yield self
        finally:
            for service in (self.redis, self.postgres):
                service.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def _prepare(self, folder: Path) -> None:
        account = ACCOUNT if os.geteuid() == 0 else None
        (folder / "redis").mkdir(mode=0o700)
        self._data = folder / "postgres" / "data"
        self._data.parent.mkdir(mode=0o700)
        folder.chmod(0o711)
        self._password_file = self._data.parent / "password"
        write_private(self._password_file, f"{self._password}\n")
        self._redis_settings = folder / "redis" / "redis.conf"
        if account:
            for path in (self._data.parent, self._password_file):
                shutil.chown(path, account, account)
        self.postgres = Service("postgres", self._data.parent, environment=self._environment, account=account)
        self.redis = Service("redis", folder / "redis", environment=self._environment)
        write_private(
            self._redis_settings,
            f"bind {LOOPBACK}\nport {self.redis.port}\nrequirepass {self._password}\ndir {folder / 'redis'}\n"
            # What was queued is there after a restart, as with the chart's Redis, which has a volume.
            'appendonly yes\nappendfsync always\nsave ""\n',
        )

    def _start_postgres(self) -> None:
        initdb, postgres = program("initdb"), program("postgres")
        assert initdb is not None
        assert postgres is not None
        access = ["--username=airflow", f"--pwfile={self._password_file}", "--auth=scram-sha-256", "--encoding=UTF8"]
        self.postgres.run([initdb, f"--pgdata={self._data}", "--no-sync", "--locale=C", *access])
        # Nothing has to outlive a crash of this machine.
        quick = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        place = ["-c", f"listen_addresses={LOOPBACK}", "-c", f"unix_socket_directories={self._data.parent}"]
        self.postgres.start([postgres, "-D", str(self._data), "-p", str(self.postgres.port), *place, *quick])

    def start_redis(self) -> None:
        """Start Redis, with what it knew before."""
        server = program("redis-server")
        assert server is not None
        self.redis.start([server, str(self._redis_settings)])

    def restart_redis(self) -> None:
        """Kill Redis, and start it again."""
        self.redis.stop(signal.SIGKILL)
        self.start_redis()

    @property
    def database_url(self) -> str:
        """PostgreSQL, as SQLAlchemy names it."""
        return f"postgresql+psycopg2://airflow:{self._password}@{LOOPBACK}:{self.postgres.port}/postgres"

    @property
    def result_backend(self) -> str:
        """PostgreSQL, as Celery names it. Without the driver SQLAlchemy 2.1 takes another one, psycopg."""
        return f"db+postgresql+psycopg2://airflow:{self._password}@{LOOPBACK}:{self.postgres.port}/postgres"

    @property
    def broker_url(self) -> str:
        """Redis."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.redis.port}/0"


def main() -> int:
    """Say what is missing.

    :return: exit status: 0 if nothing is.
    """
    lacking = missing()
    for sentence in lacking:
        print(sentence)
    if lacking:
        print("Install it: apt-get install -y --no-install-recommends postgresql redis-server")
    return 2 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
