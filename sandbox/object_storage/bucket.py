"""The object storage of one sandbox, with the bucket of its registry."""

from __future__ import annotations

import hashlib
from typing import Any

from sandbox.base.object_storage import Bucket
from sandbox.base.paths import StateDirectory
from sandbox.base.settings import SandboxSettings
from sandbox.object_storage.server import ObjectStorageServer


class ObjectStorage(ObjectStorageServer):
    """moto's server, and where the bucket is noted for those who use it."""

    def __init__(self, state: StateDirectory, settings: SandboxSettings) -> None:
        super().__init__()
        self.faults.latency = settings.storage_latency
        self._state = state
        # Of its own name: the servers of one process have their buckets in one place.
        name = hashlib.sha256(str(state.root).encode()).hexdigest()[:12]
        self.bucket = Bucket(self.url, f"sandbox-image-registry-{name}")

    def start(self) -> dict[str, Any]:  # type: ignore[override]
        """Serve, with an empty bucket; returns ``spec.storage`` of the Config."""
        super().start()
        client = self.bucket.client()
        client.create_bucket(Bucket=self.bucket.name)
        self.bucket.write(self._state)
        return self.bucket.storage()

    def stop(self) -> None:
        """Serve no more: what was in the bucket is gone."""
        self._state.object_storage.unlink(missing_ok=True)
        super().stop()
