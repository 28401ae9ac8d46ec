"""What the stand-ins for ``dockerregistry`` and ``oc adm prune images`` are ordered to do wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from sandbox.base.paths import StateDirectory

CHECK = "check"
DELETE = "delete"
CHECK_DATABASE = "check-database"
BASE_PRUNE = "base-prune"
MODES = (CHECK, DELETE, CHECK_DATABASE, BASE_PRUNE)
"""``-prune=check``, ``-prune=delete``, ``-restore-mode=check-database``, ``oc adm prune images``."""

_NUMBERS = (
    "seconds_before_start",
    "seconds_per_blob",
    "seconds_per_deletion",
    "made_up_orphans",
    "made_up_bytes",
    "fail_delete_after_blobs",
    "vanish_after_blobs",
    "kill_after_blobs",
    "interrupt_after_images",
    "exit_code",
)


@dataclass(frozen=True)
class PrunerFaults:
    """An order to the pruners of one sandbox; a process reads it when it starts. Without values all goes well.

    :param modes: which of ``MODES`` the order is for; default is the hard prune.
    :param seconds_before_start: how long it waits at first, silently, as for an API server.
    :param seconds_per_blob: how much longer each orphaned blob (of the base prune: each image) takes.
    :param seconds_per_deletion: the same, of a delete only.
    :param made_up_orphans: the pruner does not look at the storage, and lists that many orphans that are in none
        (:mod:`sandbox.registry.hard_pruner.made_up`), as quickly as it can. Of the other orders the two above and
        ``kill_after_blobs`` hold for them too.
    :param made_up_bytes: size of each of those.
    :param fail_delete_after_blobs: how many blobs are deleted before one is refused with
        "operation not permitted" (transcripts 43 and 44).
    :param vanish_after_blobs: after how many orphaned blobs another pruner takes the next one away
        (transcript 70).
    :param read_only_file_system: nothing can be deleted: the volume is mounted read-only (transcript 41).
    :param takes_oci_configs: the config of every OCI image is an orphan to it, as on OpenShift 4.9 (OCPBUGS-102).
    :param kill_after_blobs: after how many orphaned blobs the process kills itself (SIGKILL).
    :param interrupt_after_images: how many images lose manifest, links and Image, but not yet their layers, before the
        base prune dies with exit status 1: orphans of that cause come to be. Needs the mode ``base-prune``.
    :param exit_code: do nothing but print ``stdout`` and ``stderr`` and exit so.
    :param stdout: printed as it is, together with ``exit_code``.
    :param stderr: printed as it is, together with ``exit_code``.
    """

    modes: tuple[str, ...] = (CHECK, DELETE)
    seconds_before_start: float = 0.0
    seconds_per_blob: float = 0.0
    seconds_per_deletion: float = 0.0
    made_up_orphans: int | None = None
    made_up_bytes: int = 256 * 1024
    fail_delete_after_blobs: int | None = None
    vanish_after_blobs: int | None = None
    read_only_file_system: bool = False
    takes_oci_configs: bool = False
    kill_after_blobs: int | None = None
    interrupt_after_images: int | None = None
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""

    def __post_init__(self) -> None:
        modes = (self.modes,) if isinstance(self.modes, str) else tuple(self.modes)
        object.__setattr__(self, "modes", modes)
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, int | float):
                raise ValueError(f"{name} is {value!r}; it has to be a number")
        unknown = sorted(set(modes) - set(MODES))
        if unknown:
            raise ValueError(f"modes has {', '.join(unknown)}; there are {', '.join(MODES)}")

    def write(self, state: StateDirectory) -> None:
        """Give the order to the pruners of a sandbox; of made-up orphans none is deleted yet."""
        state.made_up_deleted.unlink(missing_ok=True)
        state.pruner_faults.write_text(json.dumps(asdict(self)))

    def seconds_each(self, delete: bool) -> float:
        """How much longer each orphan takes."""
        return self.seconds_per_blob + (self.seconds_per_deletion if delete else 0)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The order that was given; none if there is no such file.

        :raises ValueError: the file has something that is no fault.
        """
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"{path}: there is no fault called {', '.join(unknown)}")
        return cls(**values)

    @classmethod
    def of_process(cls, environ: Mapping[str, str], mode: str) -> Self:
        """The order for a process in that mode of the sandbox that its environment names."""
        if "SANDBOX_STATE" not in environ:
            return cls()
        ordered = cls.read(StateDirectory(Path(environ["SANDBOX_STATE"])).pruner_faults)
        return ordered if mode in ordered.modes else cls()
