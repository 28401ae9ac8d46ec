"""The folder in which one start keeps all it has, and the note of what it started."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from local_airflow.errors import LocalAirflowError
from local_airflow.instance import processes
from local_airflow.instance.environment import write_private
from local_airflow.instance.processes import ProcessIdentity


@dataclass(frozen=True)
class StateFolder:
    """One state folder: at most one Airflow and one sandbox live in it.

    What a real cluster's runs leave (Airflow's database and logs, the lists) stays for the next start.

    :param root: its absolute path.
    """

    root: Path

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``."""
        return self.root / "airflow"

    @property
    def sandbox(self) -> Path:
        """The sandbox's own state folder."""
        return self.root / "sandbox"

    @property
    def sandbox_log(self) -> Path:
        """What the sandbox's commands printed."""
        return self.root / "sandbox.log"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the service account that the DAG uses in the sandbox."""
        return self.root / "kubeconfig"

    @property
    def clusters_file(self) -> Path:
        """The project's ``clusters.yaml`` with one cluster, reached as the settings here say."""
        return self.root / "clusters.yaml"

    @property
    def record(self) -> Path:
        """JSON: which processes were started, and where they can be reached."""
        return self.root / "instance.json"

    @property
    def kept_for(self) -> str:
        """Address of the real cluster whose history is kept here; empty if what is here may be thrown away."""
        return self._marker.read_text(encoding="utf-8").strip() if self._marker.exists() else ""

    @property
    def _marker(self) -> Path:
        """Says that the folder is ours, and which real cluster's history is in it."""
        return self.root / ".local-airflow"

    @property
    def _lock_file(self) -> Path:
        return self.root / "lock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for oneself; the lock ends with this process, however that ends.

        :raises LocalAirflowError: if another process holds it, or the folder is not one of this tool's.
        """
        self._make()
        with self._lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                way_on = "wait for its end" if self.kept_for else "wait for its end, or use another --state"
                where = f"on {self.kept_for}, in {self.root}" if self.kept_for else f"in {self.root}"
                raise LocalAirflowError(f"another run of this tool is at work {where}; {way_on}") from None
            yield

    def begin(self, cluster: str) -> None:
        """Make room for a start: the history of a real cluster is kept, everything else that is here is deleted.

        :param cluster: address of the real cluster that is worked on; empty for a sandbox.
        :raises LocalAirflowError: if the history of another cluster is here.
        """
        kept_for = self.kept_for
        if kept_for and kept_for != cluster:
            raise LocalAirflowError(
                f"{self.root} keeps the history of {kept_for}, and this is {cluster or 'a sandbox'}; "
                "give --state another folder"
            )
        if not kept_for:
            shutil.rmtree(self.airflow, ignore_errors=True)
        shutil.rmtree(self.sandbox, ignore_errors=True)
        # What the last start's processes printed (the logs of tasks are in folders beside), and the defaults of its
        # Airflow, which the next one writes anew.
        of_last_start = (*self.airflow.glob("logs/*.log"), self.airflow / "airflow.cfg")
        for file in (self.sandbox_log, self.kubeconfig, self.clusters_file, self.record, *of_last_start):
            file.unlink(missing_ok=True)
        self._marker.write_text(cluster, encoding="utf-8")

    def size_bytes(self) -> int:
        """What all files in it take up; those that come and go meanwhile do not count."""
        size = 0
        for file in self.root.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                size += file.stat().st_size if file.is_file() else 0
        return size

    def _make(self) -> None:
        if self.root.is_dir() and not self._marker.exists() and any(self.root.iterdir()):
            raise LocalAirflowError(
                f"{self.root} holds something else, which would be deleted; give --state another folder"
            )
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)  # keys, and what a cluster holds, are nobody else's business
        self._marker.touch()


@dataclass(frozen=True)
class InstanceRecord:
    """What is running in a state folder.

    :param url: address of Airflow's UI.
    :param cluster: for people: which cluster it works on.
    :param password: of the user ``admin``; ``None`` if no login is asked for.
    :param background: whether it was meant to live on when the one who started it ended.
    """

    url: str
    cluster: str
    password: str | None
    background: bool
    processes: list[ProcessIdentity]

    def write(self, state: StateFolder) -> None:
        """Write it down; nobody else can read the file."""
        write_private(state.record, json.dumps({"version": 1, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, state: StateFolder) -> InstanceRecord | None:
        """What was written down; ``None`` if there is nothing, or only a part."""
        try:
            value = json.loads(state.record.read_text(encoding="utf-8"))
            identities = [ProcessIdentity(**item) for item in value["processes"]]
            return cls(value["url"], value["cluster"], value["password"], value["background"], identities)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def living(self) -> list[ProcessIdentity]:
        """Those of the processes that still run."""
        return [identity for identity in self.processes if identity.find() is not None]


def refuse_if_up(state: StateFolder) -> None:
    """Raise :class:`LocalAirflowError` if something is kept running in this folder on purpose."""
    record = InstanceRecord.read(state)
    if record is not None and record.background and record.living():
        raise LocalAirflowError(
            f"an Airflow is up in {state.root} ({record.url}); take it down first: "
            "make down, or `down` with the same --state"
        )


def end_everything(state: StateFolder) -> list[str]:
    """End all processes of a state folder, the sandbox's pods included, whatever became of them.

    :return: a description of each process that could not be ended.
    """
    record = InstanceRecord.read(state)
    identities = record.processes if record else []
    return processes.end_all(lambda: [*processes.with_descendants(identities), *processes.marked(state.root)])
