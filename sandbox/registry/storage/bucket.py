"""The registry's storage in a bucket: the same layout, below a root directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.base.object_storage import Bucket
from sandbox.base.paths import StateDirectory
from sandbox.registry.storage.layout import BLOBS_ROOT, StorageLayout


class BucketLayout(StorageLayout):
    """See :class:`StorageLayout`; paths are keys."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(Path("/"))
        self._bucket = bucket
        self._client: Any = bucket.client()

    def read(self, path: str) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket.name, Key=path.lstrip("/"))
        except self._client.exceptions.NoSuchKey as error:
            raise FileNotFoundError(path) from error
        content: bytes = answer["Body"].read()
        return content

    def blobs(self) -> Iterator[tuple[str, int]]:
        for key, size in self._keys(BLOBS_ROOT):
            parts = key.split("/")
            if parts[-1] == "data":
                yield f"{parts[-4]}:{parts[-2]}", size

    def _keys(self, folder: str) -> Iterator[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket.name, Prefix=f"{folder.lstrip('/')}/"):
            for each in page.get("Contents", ()):
                yield each["Key"], each["Size"]

    def _write(self, path: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket.name, Key=path.lstrip("/"), Body=content)

    def _remove_folder(self, path: str) -> None:
        """A bucket has none."""

    def _unlink(self, path: str) -> bool:
        there = any(True for _ in self._keys(path.rpartition("/")[0]))
        self._client.delete_object(Bucket=self._bucket.name, Key=path.lstrip("/"))
        return there


def storage_of(state: StateDirectory) -> StorageLayout:
    """The registry's storage of a sandbox that is up."""
    bucket = Bucket.read(state)
    return StorageLayout(state.storage) if bucket is None else BucketLayout(bucket)
