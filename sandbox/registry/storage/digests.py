"""Content digests: ``sha256:`` and 64 hexadecimal digits."""

from __future__ import annotations

import hashlib
import re

ALGORITHM = "sha256"
_WELL_FORMED = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEXADECIMAL = re.compile(r"[a-f0-9]+")
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def digest_of(content: bytes) -> str:
    """The digest of the content."""
    return f"{ALGORITHM}:{hashlib.sha256(content).hexdigest()}"


def check_digest(text: str) -> str:
    """The digest, if it is one.

    :raises ValueError: it is not; in the words of the library that the registry uses.
    """
    if not _WELL_FORMED.fullmatch(text):
        raise ValueError("invalid checksum digest format")
    algorithm, _, encoded = text.partition(":")
    if algorithm not in _LENGTHS:
        raise ValueError("unsupported digest algorithm")
    if len(encoded) != _LENGTHS[algorithm]:
        raise ValueError("invalid checksum digest length")
    if not _HEXADECIMAL.fullmatch(encoded):
        raise ValueError("invalid checksum digest format")
    return text
