"""How the registry lays out its storage in a folder, and quick ways to put things there and take them away.

The layout is the one of github.com/distribution/distribution (registry/storage/paths.go).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.registry.storage.digests import digest_of

BLOBS_ROOT = "/docker/registry/v2/blobs"
REPOSITORIES_ROOT = "/docker/registry/v2/repositories"


def blob_path(digest: str) -> str:
    """The folder of a blob, from the storage's root."""
    algorithm, _, encoded = digest.partition(":")
    return f"{BLOBS_ROOT}/{algorithm}/{encoded[:2]}/{encoded}"


def blob_data_path(digest: str) -> str:
    """The file with a blob's content, from the storage's root."""
    return f"{blob_path(digest)}/data"


def layer_link_path(repository: str, digest: str) -> str:
    """The link that lets a repository serve a layer or a config."""
    return f"{REPOSITORIES_ROOT}/{repository}/_layers/{digest.replace(':', '/')}/link"


def revisions_path(repository: str) -> str:
    """The folder with a repository's manifest links."""
    return f"{REPOSITORIES_ROOT}/{repository}/_manifests/revisions"


def manifest_link_path(repository: str, digest: str) -> str:
    """The link that lets a repository serve a manifest."""
    return f"{revisions_path(repository)}/{digest.replace(':', '/')}/link"


class StorageLayout:
    """The registry's storage below one folder.

    :param root: the folder that the registry's configuration names ``rootdirectory``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = str(root)

    def write_blob(self, content: bytes) -> str:
        """Store content under its digest, which is returned. Content that is there already is left alone."""
        digest = digest_of(content)
        self._write(blob_data_path(digest), content)
        return digest

    def link_layer(self, repository: str, digest: str) -> None:
        """Let the repository ``NS/NAME`` serve a layer or a config."""
        self._write(layer_link_path(repository, digest), digest.encode())

    def link_manifest(self, repository: str, digest: str) -> None:
        """Let the repository serve a manifest."""
        self._write(manifest_link_path(repository, digest), digest.encode())

    def link_tag(self, repository: str, tag: str, digest: str) -> None:
        """Let a tag of the repository name a manifest.

        OpenShift reads tags from image streams; registries that are older than those have these links too.
        """
        tag_path = f"{REPOSITORIES_ROOT}/{repository}/_manifests/tags/{tag}"
        self._write(f"{tag_path}/current/link", digest.encode())
        self._write(f"{tag_path}/index/{digest.replace(':', '/')}/link", digest.encode())

    def leave_upload(self, repository: str, identifier: str, content: bytes, started_at: str) -> None:
        """What an upload that never ended leaves behind.

        :param identifier: a UUID.
        :param content: the part that arrived.
        :param started_at: RFC 3339.
        """
        upload_path = f"{REPOSITORIES_ROOT}/{repository}/_uploads/{identifier}"
        self._write(f"{upload_path}/data", content)
        self._write(f"{upload_path}/startedat", started_at.encode())

    def read_blob(self, digest: str) -> bytes:
        """The content of a blob.

        :raises FileNotFoundError: it is not there.
        """
        return self.read(blob_data_path(digest))

    def read(self, path: str) -> bytes:
        """The content of a file, whose path is from the storage's root.

        :raises FileNotFoundError: it is not there.
        """
        return Path(self._root + path).read_bytes()

    def remove_blob(self, digest: str) -> bool:
        """Remove a blob. False if it was not there."""
        if not self._unlink(blob_data_path(digest)):
            return False
        self._remove_folder(blob_path(digest))
        return True

    def unlink_layer(self, repository: str, digest: str) -> bool:
        """Remove a layer link. False if it was not there."""
        return self._unlink(layer_link_path(repository, digest))

    def unlink_manifest(self, repository: str, digest: str) -> bool:
        """Remove a manifest link. False if it was not there."""
        return self._unlink(manifest_link_path(repository, digest))

    def blobs(self) -> Iterator[tuple[str, int]]:
        """Digest and size in bytes of every blob. Those that vanish meanwhile are left out."""
        for algorithm in _folders(self._root + BLOBS_ROOT):
            for prefix in _folders(algorithm.path):
                for folder in _folders(prefix.path):
                    try:
                        size = Path(folder.path, "data").stat().st_size
                    except FileNotFoundError:
                        continue
                    yield f"{algorithm.name}:{folder.name}", size

    def _write(self, path: str, content: bytes) -> None:
        target = Path(self._root + path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), target.open("xb") as file:
            file.write(content)

    def _remove_folder(self, path: str) -> None:
        Path(self._root + path).rmdir()

    def _unlink(self, path: str) -> bool:
        try:
            Path(self._root + path).unlink()
        except FileNotFoundError:
            return False
        return True


def _folders(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []
