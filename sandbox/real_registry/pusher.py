"""Somebody who never stops pushing: small images, to every registry pod there is, Terminating ones included.

Shows what no registry's log shows: which uploads were accepted while a hard prune was at work.
"""

from __future__ import annotations

import gzip
import http.client
import io
import json
import math
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from sandbox.registry.storage import media_types
from sandbox.registry.storage.digests import digest_of

_TIMEOUT_SECONDS = 10.0
_TAGS_A_REPOSITORY = 20
_NAMESPACE = "pushes"

Journal = Sequence[Mapping[str, Any]]
"""The lines of :func:`sandbox.registry.journal.read_journal`."""


@dataclass(frozen=True)
class Upload:
    """One push of one image.

    :param address: ``IP:PORT`` of the registry that it went to.
    :param digest: of its manifest, whether or not it was accepted.
    :param started_at: epoch seconds, before the first request.
    :param ended_at: epoch seconds, after the last answer.
    :param status: 201 of the manifest, or the first answer that refused something (405: read-only); None if an
        answer never came: then nobody knows whether the registry has it.
    :param error: what went wrong on the way; empty if an answer came.
    """

    pod: str
    address: str
    repository: str
    tag: str
    digest: str
    started_at: float
    ended_at: float
    status: int | None
    error: str = ""

    @property
    def accepted(self) -> bool:
        """The registry says that it has the image."""
        return self.status == http.client.CREATED

    @property
    def reference(self) -> str:
        """For clients such as skopeo, without a transport: ``IP:PORT/NAMESPACE/NAME@sha256:…``."""
        return f"{self.address}/{self.repository}@{self.digest}"


@dataclass(frozen=True)
class SmallImage:
    """An image with one layer, unlike any other."""

    layer: bytes
    config: bytes
    manifest: bytes

    @classmethod
    def make(cls) -> Self:
        """A new one."""
        content = secrets.token_hex(64).encode()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as files:
            member = tarfile.TarInfo("content")
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
        layer = gzip.compress(archive.getvalue(), mtime=0)
        config = _json(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(archive.getvalue())]},
            }
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_types.DOCKER_MANIFEST,
            "config": _descriptor(config, media_types.DOCKER_CONFIG),
            "layers": [_descriptor(layer, media_types.DOCKER_LAYER)],
        }
        return cls(layer, config, _json(manifest))

    @property
    def digest(self) -> str:
        """Of the manifest: names the image."""
        return digest_of(self.manifest)


def push(address: str, repository: str, reference: str, image: SmallImage) -> int:
    """Push an image over plain HTTP.

    :param address: ``IP:PORT``.
    :param reference: a tag or the digest of the image.
    :returns: 201, or the first answer that refused something.
    :raises OSError, http.client.HTTPException: no answer.
    """
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
    try:
        for blob in (image.layer, image.config):
            status = _push_blob(connection, repository, blob)
            if status != http.client.CREATED:
                return status
        place = f"/v2/{repository}/manifests/{reference}"
        return _ask(connection, "PUT", place, image.manifest, media_types.DOCKER_MANIFEST)[0]
    finally:
        connection.close()


def _push_blob(connection: http.client.HTTPConnection, repository: str, content: bytes) -> int:
    status, location = _ask(connection, "POST", f"/v2/{repository}/blobs/uploads/", b"", "")
    if status != http.client.ACCEPTED:
        return status
    place = urlsplit(location)
    return _ask(
        connection,
        "PUT",
        f"{place.path}?{place.query}&digest={digest_of(content)}",
        content,
        "application/octet-stream",
    )[0]


def _ask(
    connection: http.client.HTTPConnection, method: str, place: str, content: bytes, media_type: str
) -> tuple[int, str]:
    """Status and ``Location`` of the answer."""
    connection.request(method, place, content, {"Content-Type": media_type} if media_type else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers.get("Location", "")


class Pusher:
    """Pushes to every registry in turn, from entering to leaving the ``with`` block.

    :param addresses: the registries there are: pod to ``IP:PORT``
        (:meth:`sandbox.cluster.Sandbox.registry_addresses`).
    :param journal: which pruners have run so far (:meth:`sandbox.cluster.Sandbox.pruner_journal`).
    :param interval: seconds between two rounds.
    """

    def __init__(
        self, addresses: Callable[[], Mapping[str, str]], journal: Callable[[], Journal], interval: float = 0.05
    ) -> None:
        self._addresses = addresses
        self._journal = journal
        self._interval = interval
        self._uploads: list[Upload] = []
        self._found_dead: dict[int, float] = {}
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pusher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop when the upload in progress has ended.

        :raises RuntimeError: it had stopped pushing before, by a failure of its own.
        """
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError(f"the pusher has failed: {self._failure!r}") from self._failure

    @property
    def uploads(self) -> list[Upload]:
        """All so far, in the order in which they ended."""
        return list(self._uploads)

    @property
    def accepted(self) -> list[Upload]:
        """Those that a registry has taken."""
        return [upload for upload in self._uploads if upload.accepted]

    def accepted_while(self, journal: Journal) -> list[Upload]:
        """The accepted uploads of which a part lies in the life of a hard prune that deletes.

        A pruner that was killed without a farewell is taken to have lived until its process was found gone.

        :param journal: which pruners ran.
        """
        lives = [
            (entry["time"], self._end_of(entry, journal))
            for entry in journal
            if entry["event"] == "start" and entry["mode"] == "delete"
        ]
        return [
            upload
            for upload in self.accepted
            if any(upload.started_at <= end and upload.ended_at >= start for start, end in lives)
        ]

    def _end_of(self, start: Mapping[str, Any], journal: Journal) -> float:
        ends = [
            entry["time"]
            for entry in journal
            if entry["event"] == "end" and entry["pid"] == start["pid"] and entry["time"] >= start["time"]
        ]
        return min(ends) if ends else self._found_dead.get(start["pid"], math.inf)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._look_for_dead_pruners()
                for pod, address in self._addresses().items():
                    if not self._stop.is_set():
                        self._uploads.append(self._upload(pod, address))
                self._stop.wait(self._interval)
            self._look_for_dead_pruners()
        except BaseException as error:
            self._failure = error

    def _upload(self, pod: str, address: str) -> Upload:
        number = len(self._uploads)
        repository, tag = f"{_NAMESPACE}/app-{number // _TAGS_A_REPOSITORY}", f"v{number}"
        image = SmallImage.make()
        status, told = None, ""
        started_at = time.time()
        try:
            status = push(address, repository, tag, image)
        except (OSError, http.client.HTTPException) as error:
            told = f"{type(error).__name__}: {error}"
        return Upload(pod, address, repository, tag, image.digest, started_at, time.time(), status, told)

    def _look_for_dead_pruners(self) -> None:
        for entry in self._journal():
            pid = entry["pid"]
            if pid not in self._found_dead and not (Path("/proc") / str(pid)).exists():
                self._found_dead[pid] = time.time()


def _json(content: object) -> bytes:
    return json.dumps(content, indent=3).encode()


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "size": len(content), "digest": digest_of(content)}
