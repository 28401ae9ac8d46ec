"""Where a sandbox keeps what it has: one folder, and a name for everything in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StateDirectory:
    """The folder of one sandbox.

    :param root: the folder; everything that the sandbox writes is below it, or in memory
        (:mod:`sandbox.base.pod_folders`).
    """

    root: Path

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster-admin, with the sandbox's CA embedded."""
        return self.root / "kubeconfig"

    @property
    def description(self) -> Path:
        """JSON: pid of the server process, URL, settings. There while the sandbox is up."""
        return self.root / "sandbox.json"

    @property
    def baseline(self) -> Path:
        """JSON: how the cluster was before any run (see :mod:`sandbox.registry.verify.baseline`)."""
        return self.root / "baseline.json"

    @property
    def storage(self) -> Path:
        """The registry's storage; pods see it as ``/registry``. Holds ``docker/registry/v2/…``."""
        return self.root / "storage"

    @property
    def object_storage(self) -> Path:
        """JSON: where the bucket is, if the registry's blobs are in one (:mod:`sandbox.base.object_storage`)."""
        return self.root / "object-storage.json"

    @property
    def small_image(self) -> Path:
        """What the project's own small image has besides coreutils: Python, with the project."""
        return self.root / "small-image"

    @property
    def executables(self) -> Path:
        """The stand-ins ``dockerregistry`` and ``oc``; pods see them in ``/usr/bin``."""
        return self.root / "bin"

    @property
    def coreutils(self) -> Path:
        """The shell and the coreutils of this machine: all that the registry's image is sure to have."""
        return self.root / "coreutils"

    @property
    def pruner_faults(self) -> Path:
        """JSON: what the stand-in pruner is ordered to do wrong (see :mod:`sandbox.registry.faults`)."""
        return self.root / "pruner-faults.json"

    @property
    def made_up_deleted(self) -> Path:
        """How many made-up orphans have been deleted (see :mod:`sandbox.registry.hard_pruner.made_up`)."""
        return self.root / "made-up-deleted"

    @property
    def pruner_journal(self) -> Path:
        """JSON lines: a line when a pruner process starts and one when it ends."""
        return self.root / "pruner-journal.jsonl"

    @property
    def seed_inventory(self) -> Path:
        """JSON: what ``seed`` put into the storage: digests that images need, and orphans by cause."""
        return self.root / "seed.json"

    @property
    def pods(self) -> Path:
        """The folders of all pods' files (see :mod:`sandbox.base.pod_folders`)."""
        return self.root / "pods"

    def pod(self, uid: str) -> Path:
        """The folder of one pod's files, by the pod's ``metadata.uid``."""
        return self.pods / uid
