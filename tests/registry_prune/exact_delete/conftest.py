"""A registry's storage, in a folder and in a bucket, and lists of what is to go."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from include.registry_prune.exact_delete import __main__ as program
from include.registry_prune.exact_delete import s3
from include.registry_prune.exact_delete.events import SEAL_VARIABLE, Batch, Begun, Ended, Event, Kept, Note, parse_line
from include.registry_prune.exact_delete.hand_over import LIST_FILE
from include.registry_prune.exact_delete.keys import blob_key
from include.registry_prune.lists.candidate_list import ListWriter, Seal
from include.registry_prune.pruner.dockerregistry import LineKind
from sandbox.object_storage.server import ObjectStorageServer

BUCKETS = itertools.count(1)
READ_ONLY = {"REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}"}


def _digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def digest_of() -> Callable[[bytes], str]:
    return _digest_of


def _write_list(
    folder: Path,
    blobs: Sequence[str],
    repositories: Sequence[str] = (),
    links: Sequence[str] = (),
    *,
    raw: tuple[str, str] | None = None,
    run: str = "r",
) -> Seal:
    """The list's file in the pod's folder, and its seal.

    :param raw: one more line, whatever it says; it counts as a blob.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LIST_FILE).open("wb") as file, ListWriter(file, {"cluster": "c", "run": run}) as writer:
        lines = {LineKind.MANIFEST_LINK: links, LineKind.REPOSITORY: repositories, LineKind.BLOB: blobs}
        for kind, subjects in lines.items():
            for subject in subjects:
                writer.add(kind, subject)
        if raw is not None:
            writer.add(LineKind.BLOB, "sha256:" + "0" * 64)
            writer._pack(f"{raw[0]} {raw[1]}\n".encode())
    return writer.seal


@pytest.fixture
def write_list() -> Callable[..., Seal]:
    return _write_list


@dataclass
class Told:
    """What the program said, and how it ended."""

    status: int
    events: list[Event] = field(default_factory=list)

    @property
    def ended(self) -> Ended:
        ended = self.events[-1]
        assert isinstance(ended, Ended)
        return ended

    @property
    def begun(self) -> Begun:
        begun = self.events[0]
        assert isinstance(begun, Begun)
        return begun

    @property
    def batches(self) -> list[Batch]:
        return [each for each in self.events if isinstance(each, Batch)]

    @property
    def notes(self) -> list[str]:
        return [each.message for each in self.events if isinstance(each, Note)]

    @property
    def kept(self) -> list[Kept]:
        return [each for each in self.events if isinstance(each, Kept)]


class Pod:
    """Runs the program as the pod does, in this process.

    :param environ: of the pod: its storage.
    """

    def __init__(self, folder: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.environ = {**environ, **READ_ONLY}
        self._monkeypatch = monkeypatch
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, command: str, *arguments: str, seal: Seal | None = None) -> Told:
        output = io.StringIO()
        with self._monkeypatch.context() as patched, contextlib.redirect_stdout(output):
            for name in [name for name in os.environ if name.startswith(("REGISTRY_", "AWS_"))]:
                patched.delenv(name)
            for name, value in self.environ.items():
                patched.setenv(name, value)
            if seal is not None:
                patched.setenv(SEAL_VARIABLE, seal.model_dump_json())
            # Only the main thread may take a signal, and a test may run in another.
            patched.setattr(program.signal, "signal", lambda *_: None)  # type: ignore[attr-defined]
            status = program.main([command, "--work-folder", str(self.folder), "--list-wait", "0", *arguments])
        events = [event for line in output.getvalue().splitlines() if (event := parse_line(line))]
        return Told(status, events)

    def delete(
        self, blobs: Sequence[str], *arguments: str, repositories: Sequence[str] = (), links: Sequence[str] = ()
    ) -> Told:
        seal = _write_list(self.folder, blobs, repositories, links)
        return self.run("delete", *(arguments or ("--kept-as", "first")), seal=seal)

    def undo(self, blobs: Sequence[str], repositories: Sequence[str] = (), name: str = "first") -> Told:
        return self.run("undo", "--kept-as", name, seal=_write_list(self.folder, blobs, repositories))


class FolderStorage:
    """A registry's storage in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, content: bytes) -> str:
        digest = _digest_of(content)
        self.write(blob_key(digest), content)
        return digest

    def write(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def repository(self, name: str) -> None:
        for part in ("_layers/sha256/aa/link", "_manifests/revisions/sha256/bb/link"):
            self.write(f"docker/registry/v2/repositories/{name}/{part}", b"link")

    def tree(self) -> dict[str, bytes]:
        """Every file, kept ones apart."""
        return {path: content for path, content in self.everything().items() if "registry-prune-kept" not in path}

    def everything(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def folder_storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "registry")


@pytest.fixture
def pod(tmp_path: Path, folder_storage: FolderStorage, monkeypatch: pytest.MonkeyPatch) -> Pod:
    environ = {
        "REGISTRY_STORAGE": "filesystem",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder_storage.root),
    }
    return Pod(tmp_path / "work", environ, monkeypatch)


@pytest.fixture(scope="session")
def object_storage() -> Iterator[ObjectStorageServer]:
    with ObjectStorageServer() as server:
        yield server


class BucketStorage:
    """A registry's storage in a bucket."""

    def __init__(self, server: ObjectStorageServer, root: str = "") -> None:
        self.server = server
        self.bucket = f"registry-{next(BUCKETS)}"
        self.root = f"{root.strip('/')}/" if root else ""
        self.client: Any = boto3.client(
            "s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        self.client.create_bucket(Bucket=self.bucket)
        self.environ = {
            "REGISTRY_STORAGE": "s3",
            "REGISTRY_STORAGE_S3_BUCKET": self.bucket,
            "REGISTRY_STORAGE_S3_REGION": "us-east-1",
            "REGISTRY_STORAGE_S3_REGIONENDPOINT": server.url,
            "REGISTRY_STORAGE_S3_ACCESSKEY": "a",
            "REGISTRY_STORAGE_S3_SECRETKEY": "b",
            "REGISTRY_STORAGE_S3_ROOTDIRECTORY": root,
        }

    def blob(self, content: bytes) -> str:
        digest = _digest_of(content)
        self.write(blob_key(digest), content)
        return digest

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.root + key, Body=content)

    def repository(self, name: str) -> None:
        for part in ("_layers/sha256/aa/link", "_manifests/revisions/sha256/bb/link"):
            self.write(f"docker/registry/v2/repositories/{name}/{part}", b"link")

    def version(self) -> None:
        self.client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def tree(self) -> dict[str, bytes]:
        found = {}
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for each in page.get("Contents", ()):
                found[each["Key"]] = self.client.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read()
        return found


@pytest.fixture
def bucket(object_storage: ObjectStorageServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketStorage]:
    monkeypatch.setattr(s3, "_FIRST_PAUSE_SECONDS", 0.001)
    object_storage.faults.clear()
    yield BucketStorage(object_storage)
    object_storage.faults.clear()


@pytest.fixture
def bucket_pod(tmp_path: Path, bucket: BucketStorage, monkeypatch: pytest.MonkeyPatch) -> Pod:
    return Pod(tmp_path / "work", bucket.environ, monkeypatch)
