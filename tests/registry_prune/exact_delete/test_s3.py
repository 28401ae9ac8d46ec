"""The exact delete in a bucket: against moto's server, with what can go wrong ordered in front of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.exact_delete import s3
from include.registry_prune.exact_delete.configuration import configuration
from include.registry_prune.exact_delete.events import Keeps
from include.registry_prune.exact_delete.keys import blob_key
from include.registry_prune.exact_delete.s3_client import s3_client
from sandbox.object_storage.faults import StoreFault


@pytest.fixture(params=["", "/some/root"])
def rooted(request: pytest.FixtureRequest, bucket: Any, bucket_pod: Any) -> Any:
    bucket.root = f"{request.param.strip('/')}/" if request.param else ""
    bucket_pod.environ["REGISTRY_STORAGE_S3_ROOTDIRECTORY"] = request.param
    return bucket


def test_what_is_listed_goes_in_batches_and_nothing_else(rooted: Any, bucket_pod: Any, digest_of: Any) -> None:
    needed = rooted.blob(b"needed")
    orphans = [rooted.blob(b"orphan %d" % number) for number in range(30)]
    for name in ("shop/gone", "shop/gone/deeper", "shop/stays"):
        rooted.repository(name)
    before = rooted.tree()
    asked = rooted.server.requests["DeleteObjects"]

    told = bucket_pod.delete(
        [*orphans, digest_of(b"never there")], repositories=["shop/gone"], links=[f"shop/stays@{needed}"]
    )

    assert told.status == 0
    assert (told.begun.keeps, told.begun.tells_missing) == (Keeps.NOTHING, False)
    after = rooted.tree()
    assert before.keys() - after.keys() == {rooted.root + blob_key(digest) for digest in orphans} | {
        key for key in before if "/shop/gone/_" in key
    }
    assert after.items() <= before.items()
    assert (told.ended.blobs.done, told.ended.repositories.done) == (31, 1)
    assert rooted.server.requests["DeleteObjects"] - asked == 2


def test_a_thousand_keys_are_one_request(bucket: Any, bucket_pod: Any, digest_of: Any) -> None:
    bucket.blob(b"needed")
    asked = bucket.server.requests["DeleteObjects"]
    told = bucket_pod.delete([digest_of(b"%d" % number) for number in range(2_500)])
    assert (told.status, told.ended.blobs.done) == (0, 2_500)
    assert bucket.server.requests["DeleteObjects"] - asked == 3


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable"), (502, "Whatever")]
)
def test_a_busy_store_is_asked_again(status: int, code: str, bucket: Any, bucket_pod: Any) -> None:
    orphans = _orphans(bucket, 5)
    bucket.server.faults.add(StoreFault("DeleteObjects", status=status, code=code, times=3))
    told = bucket_pod.delete(orphans)
    assert (told.status, told.ended.retries) == (0, 3)
    assert list(bucket.tree()) == [blob_key(bucket.needed)]


def test_a_store_that_is_busy_for_good_ends_the_delete_and_nothing_is_taken_for_done(
    bucket: Any, bucket_pod: Any
) -> None:
    orphans = _orphans(bucket, 5)
    before = bucket.tree()
    bucket.server.faults.add(StoreFault("DeleteObjects", times=None))
    told = bucket_pod.delete(orphans)
    assert (told.status, told.ended.ended_by, told.ended.blobs.done, told.ended.blobs.failed) == (1, "error", 0, 5)
    assert "SlowDown" in told.ended.problem
    assert bucket.tree() == before


def test_a_refusal_ends_the_delete_and_says_which_right_is_missing(bucket: Any, bucket_pod: Any) -> None:
    orphans = _orphans(bucket, 5)
    before = bucket.tree()
    bucket.server.faults.add(StoreFault("DeleteObjects", status=403, code="AccessDenied", times=None))
    told = bucket_pod.delete(orphans)
    assert (told.status, told.ended.ended_by) == (1, "error")
    assert "s3:DeleteObject" in told.ended.problem
    assert bucket.tree() == before


def test_of_a_batch_of_which_half_is_busy_only_that_half_is_asked_again(bucket: Any, bucket_pod: Any) -> None:
    orphans = _orphans(bucket, 10)
    bucket.server.faults.add(StoreFault("DeleteObjects", effect="half", code="SlowDown"))
    told = bucket_pod.delete(orphans)
    assert (told.status, told.ended.blobs.done, told.ended.retries) == (0, 10, 1)
    assert list(bucket.tree()) == [blob_key(bucket.needed)]


def test_of_a_batch_of_which_half_is_refused_each_key_is_told(bucket: Any, bucket_pod: Any) -> None:
    orphans = _orphans(bucket, 10)
    bucket.server.faults.add(StoreFault("DeleteObjects", effect="half", code="AccessDenied"))
    told = bucket_pod.delete(orphans)
    assert (told.status, told.ended.ended_by) == (1, "end")
    assert (told.ended.blobs.done, told.ended.blobs.failed) == (5, 5)
    (batch,) = told.batches
    refused = {orphans[place] for places in batch.failed.values() for place in places}
    assert set(bucket.tree()) == {blob_key(digest) for digest in (bucket.needed, *refused)}


def test_a_connection_that_is_cut_in_mid_answer_is_no_doubt_afterwards(bucket: Any, bucket_pod: Any) -> None:
    orphans = _orphans(bucket, 10)
    bucket.server.faults.add(StoreFault("DeleteObjects", effect="cut", times=2))
    told = bucket_pod.delete(orphans)
    assert (told.status, told.ended.blobs.done, told.ended.retries) == (0, 10, 2)
    assert list(bucket.tree()) == [blob_key(bucket.needed)]


def test_a_store_that_cannot_be_reached_is_said_before_anything_is_touched(
    bucket: Any, bucket_pod: Any, digest_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "TRIES", 2)
    bucket_pod.environ["REGISTRY_STORAGE_S3_REGIONENDPOINT"] = "http://127.0.0.1:9"
    told = bucket_pod.delete([digest_of(b"x")])
    assert (told.status, "127.0.0.1:9" in told.ended.problem) == (2, True)


def test_a_bucket_without_a_registry_is_refused(bucket: Any, bucket_pod: Any, digest_of: Any) -> None:
    bucket.write("something/else", b"x")
    told = bucket_pod.delete([digest_of(b"x")])
    assert (told.status, "not the registry's storage" in told.ended.problem) == (2, True)
    bucket_pod.environ["REGISTRY_STORAGE_S3_BUCKET"] = "no-such-bucket"
    told = bucket_pod.delete([digest_of(b"x")])
    assert (told.status, "NoSuchBucket" in told.ended.problem) == (2, True)


def test_in_a_bucket_with_versions_what_was_deleted_can_be_put_back(bucket: Any, bucket_pod: Any) -> None:
    bucket.version()
    orphans = _orphans(bucket, 6)
    bucket.repository("shop/gone")
    before = bucket.tree()

    deleted = bucket_pod.delete(orphans, repositories=["shop/gone"])
    assert deleted.begun.keeps is Keeps.VERSIONS
    assert list(bucket.tree()) == [blob_key(bucket.needed)]
    part = bucket_pod.undo(orphans[:2])
    whole = bucket_pod.undo(orphans, ["shop/gone"])
    again = bucket_pod.undo(orphans, ["shop/gone"])

    assert bucket.tree() == before
    assert (part.ended.blobs.done, whole.ended.blobs.done, whole.ended.blobs.missing) == (2, 4, 2)
    assert (again.status, again.ended.blobs.done, again.ended.blobs.missing) == (0, 0, 6)


def test_in_a_bucket_without_versions_an_undo_says_that_nothing_is_kept(bucket: Any, bucket_pod: Any) -> None:
    orphans = _orphans(bucket, 1)
    bucket_pod.delete(orphans)
    told = bucket_pod.undo(orphans)
    assert (told.status, "nothing can be put back" in told.ended.problem) == (2, True)


def test_told_to_end_it_waits_for_no_pause(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_FIRST_PAUSE_SECONDS", 3_600.0)
    bucket.server.faults.add(StoreFault("DeleteObjects", times=None))
    configured, stopping = configuration(bucket.environ), threading.Event()
    stopping.set()
    client = s3_client(configured, at_once=1, environ={}, work_folder=tmp_path)  # type: ignore[arg-type]
    result = s3.S3(configured, client, stopping).delete_blobs(_orphans(bucket, 2))  # type: ignore[arg-type]
    assert result.problem is not None


def test_the_client_is_what_the_operator_configures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_access_key_id = from-file\naws_secret_access_key = secret\n")
    anchors = tmp_path / "anchors"
    anchors.mkdir()
    (anchors / "own.crt").write_text("-----BEGIN CERTIFICATE-----\nown\n-----END CERTIFICATE-----\n")
    configured = configuration(
        {
            "REGISTRY_STORAGE": "s3",
            "REGISTRY_STORAGE_S3_BUCKET": "images",
            "REGISTRY_STORAGE_S3_REGION": "eu-central-1",
            "REGISTRY_STORAGE_S3_CREDENTIALSCONFIGPATH": str(credentials),
            "REGISTRY_STORAGE_S3_USEDUALSTACK": "true",
            "REGISTRY_STORAGE_S3_FORCEPATHSTYLE": "false",
        }
    )
    client = s3_client(configured, at_once=3, environ={}, work_folder=tmp_path, ca_folders=[anchors])  # type: ignore[arg-type]
    assert client._request_signer._credentials.access_key == "from-file"
    assert client.meta.endpoint_url == "https://s3.dualstack.eu-central-1.amazonaws.com"
    bundle = (tmp_path / "authorities.pem").read_text()
    assert "own" in bundle
    assert bundle.count("BEGIN CERTIFICATE") > 50


def test_a_role_and_a_web_identity_token_are_taken_from_the_credentials_file(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[default]\nsts_regional_endpoints = regional\nrole_arn = arn:aws:iam::1:role/registry\n"
        f"web_identity_token_file = {tmp_path / 'token'}\n"
    )
    (tmp_path / "token").write_text("token")
    configured = configuration(
        {
            "REGISTRY_STORAGE": "s3",
            "REGISTRY_STORAGE_S3_BUCKET": "images",
            "REGISTRY_STORAGE_S3_REGION": "eu-central-1",
            "REGISTRY_STORAGE_S3_CREDENTIALSCONFIGPATH": str(credentials),
        }
    )
    client = s3_client(configured, at_once=3, environ={}, work_folder=tmp_path, ca_folders=[])  # type: ignore[arg-type]
    assert client._request_signer._credentials.method == "assume-role-with-web-identity"


def _orphans(bucket: Any, count: int) -> list[str]:
    bucket.needed = bucket.blob(b"needed")
    return [bucket.blob(b"orphan %d" % number) for number in range(count)]
