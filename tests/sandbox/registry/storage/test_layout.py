"""The storage's layout, and the digests that name what lies in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sandbox.registry.storage.digests import check_digest, digest_of
from sandbox.registry.storage.layout import StorageLayout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("garbage", "invalid checksum digest format"),
        ("sha256:abc", "invalid checksum digest length"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "unsupported digest algorithm"),
        ("sha256:" + "G" * 64, "invalid checksum digest format"),
    ],
)
def test_what_is_no_digest_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_digest(text)


def test_the_storage_is_laid_out_as_the_registry_does_it(tmp_path: Path) -> None:
    storage = StorageLayout(tmp_path)
    digest = storage.write_blob(b"content")
    encoded = hashlib.sha256(b"content").hexdigest()
    assert digest == digest_of(b"content") == f"sha256:{encoded}"
    storage.link_layer("shop/app", digest)
    storage.link_manifest("shop/app", digest)
    storage.link_tag("shop/app", "latest", digest)
    storage.leave_upload("shop/app", "1f6b", b"part", "2026-11-23T17:42:12Z")
    root = tmp_path / "docker/registry/v2"
    repository = root / "repositories/shop/app"
    assert (root / "blobs/sha256" / encoded[:2] / encoded / "data").read_bytes() == b"content"
    for link in (
        f"_layers/sha256/{encoded}/link",
        f"_manifests/revisions/sha256/{encoded}/link",
        "_manifests/tags/latest/current/link",
        f"_manifests/tags/latest/index/sha256/{encoded}/link",
    ):
        assert (repository / link).read_text() == digest
    assert (repository / "_uploads/1f6b/data").read_bytes() == b"part"
    assert (repository / "_uploads/1f6b/startedat").read_text() == "2026-11-23T17:42:12Z"


def test_blobs_and_links_are_taken_away_once(tmp_path: Path) -> None:
    storage = StorageLayout(tmp_path)
    digest = storage.write_blob(b"content")
    storage.link_layer("shop/app", digest)
    storage.link_manifest("shop/app", digest)
    assert list(storage.blobs()) == [(digest, 7)]
    for remove in (
        lambda: storage.remove_blob(digest),
        lambda: storage.unlink_layer("shop/app", digest),
        lambda: storage.unlink_manifest("shop/app", digest),
    ):
        assert [remove(), remove()] == [True, False]
    assert list(storage.blobs()) == []
    assert list(tmp_path.rglob("link")) == []


def test_an_empty_storage_has_no_blobs(tmp_path: Path) -> None:
    assert list(StorageLayout(tmp_path / "nowhere").blobs()) == []
