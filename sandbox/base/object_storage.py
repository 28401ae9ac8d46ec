"""The bucket of a sandbox whose registry keeps its blobs in one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from sandbox.base.paths import StateDirectory
from sandbox.base.storage_kinds import storage_spec

KIND = "s3"
ACCESS_KEY, SECRET_KEY = "sandbox", "sandbox-secret"
REGION = "us-east-1"
CREDENTIALS = f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
"""The file that a pod finds where the operator mounts one."""


@dataclass(frozen=True)
class Bucket:
    """Where it is.

    :param url: of the object storage.
    """

    url: str
    name: str

    def write(self, state: StateDirectory) -> None:
        """Note it in the state folder."""
        state.object_storage.write_text(json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, state: StateDirectory) -> Self | None:
        """The one in the state folder; None: the blobs are in the folder."""
        try:
            return cls(**json.loads(state.object_storage.read_text()))
        except FileNotFoundError:
            return None

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Self | None:
        """The one that a pod's variables name; None: they name none that can be reached."""
        url = environ.get("REGISTRY_STORAGE_S3_REGIONENDPOINT", "")
        if environ.get("REGISTRY_STORAGE") != "s3" or not url:
            return None
        return cls(url, environ.get("REGISTRY_STORAGE_S3_BUCKET", ""))

    def storage(self) -> dict[str, Any]:
        """``spec.storage`` of the Config."""
        spec = storage_spec(KIND)
        return spec | {KIND: spec[KIND] | {"bucket": self.name, "regionEndpoint": self.url}}

    def client(self) -> Any:
        """A boto3 client."""
        # It takes half a second to import: only who uses a bucket waits for it.
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
