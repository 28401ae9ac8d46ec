"""What a line of the list stands for in the storage, and where it is kept (pure).

The layout is that of github.com/distribution/distribution, ``registry/storage/paths.go``. Only ``v2/blobs`` and
``v2/repositories`` are walked by registry and pruner; what lies beside ``v2`` is nobody's.
"""

from __future__ import annotations

import re

REGISTRY = "docker/registry"
VERSION = f"{REGISTRY}/v2"
BLOBS = f"{VERSION}/blobs"
KEPT = f"{REGISTRY}/registry-prune-kept"
"""Folder of what was renamed instead of deleted, in a folder for each delete."""
REPOSITORY_PARTS = ("_layers", "_manifests", "_uploads")
"""What makes a repository. A repository of a deeper name lies beside them, and is another one."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEPT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_digest(text: str) -> bool:
    """Whether a subject is the digest of a blob."""
    return bool(_DIGEST.fullmatch(text))


def is_repository(text: str) -> bool:
    """Whether a subject is the name of a repository, and of nothing above or beside it."""
    return all(_COMPONENT.fullmatch(part) and ".." not in part for part in text.split("/"))


def is_kept_name(text: str) -> bool:
    """Whether the name can be that of a folder below :data:`KEPT`."""
    return bool(_KEPT_NAME.fullmatch(text))


def blob_place(digest: str) -> str:
    """The folder of a blob, below ``v2`` and below a folder of what is kept; its content is the file ``data`` in it."""
    algorithm, _, encoded = digest.partition(":")
    return f"blobs/{algorithm}/{encoded[:2]}/{encoded}"


def blob_folder(digest: str) -> str:
    """The folder of a blob, below the storage's root."""
    return f"{VERSION}/{blob_place(digest)}"


def blob_key(digest: str) -> str:
    """The object of a blob in a bucket, below the root directory."""
    return f"{blob_folder(digest)}/data"


def repository_place(repository: str) -> str:
    """The folder of a repository, below ``v2`` and below a folder of what is kept."""
    return f"repositories/{repository}"


def repository_folder(repository: str) -> str:
    """The folder of a repository, below the storage's root."""
    return f"{VERSION}/{repository_place(repository)}"


def kept_folder(name: str) -> str:
    """Where a delete keeps what it took, with the layout that it has below ``v2``."""
    return f"{KEPT}/{name}"
