"""The small parts: sizes, digests, durations, the storage's layout, the API client."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tiny_api import TOKEN, TinyApi

from sandbox.base.paths import StateDirectory
from sandbox.registry.api import IMAGES, ApiClient, ApiFailureError
from sandbox.registry.base_pruner.go_flags import format_duration, parse_duration
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.hard_pruner.driver import FilesystemDriver, RegistryError
from sandbox.registry.hard_pruner.logrus import Logger
from sandbox.registry.storage.digests import check_digest, digest_of
from sandbox.registry.storage.layout import BLOBS_ROOT, StorageLayout, blob_path
from sandbox.registry.storage.sizes import bytes_size, parse_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (312, "312B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (23_378, "22.83KiB"),
        (3012 * 2045, "5.874MiB"),
        (3_044_058_071, "2.835GiB"),
        (7 * 1024**8, "7YiB"),
    ],
)
def test_sizes_have_four_significant_digits_as_in_the_transcripts(size: int, text: str) -> None:
    assert bytes_size(size) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 * 1024**2), ("2 GiB", 2 * 1024**3), ("1.5k", 1536), ("4096", 4096), ("7B", 7), ("1tb", 1024**4)],
)
def test_quantities_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2 gigs", "-1MiB", "MiB", "1,5MiB", "1e3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60m", 3600), ("1h30m", 5400), ("0", 0), ("1.5s", 1.5), ("250ms", 0.25), ("-2h", -7200), ("60m0s", 3600)],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1 h", "1d", "60", "one hour", "--1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^time: "):
        parse_duration(text)


def test_durations_are_printed_as_go_prints_them() -> None:
    assert [format_duration(seconds) for seconds in (0, 59, 60, 3600, 90_061)] == [
        "0s", "59s", "1m0s", "1h0m0s", "25h1m1s",
    ]  # fmt: skip


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


def image(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}}


@pytest.fixture
def client(api: TinyApi, tmp_path: Path) -> Iterator[ApiClient]:
    with closing(ApiClient.from_kubeconfig(api.write_kubeconfig(tmp_path / "kubeconfig"))) as client:
        yield client


def test_pages_are_put_together(api: TinyApi, client: ApiClient) -> None:
    for number in range(5):
        api.put(IMAGES, image(f"sha256:{number}"))
    assert [found["metadata"]["name"] for found in client.pages(IMAGES, 2)] == [f"sha256:{n}" for n in range(5)]
    assert len(api.requests) == 3


def test_a_connection_is_kept_and_opened_again(api: TinyApi, client: ApiClient) -> None:
    api.put(IMAGES, image("one"))
    assert client.get(IMAGES, "one")["metadata"]["name"] == "one"
    client.close()
    client.delete(IMAGES, "one")
    with pytest.raises(ApiFailureError, match=r'images\.image\.openshift\.io "one" not found') as failure:
        client.get(IMAGES, "one")
    assert (failure.value.code, failure.value.reason) == (404, "NotFound")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, "the server has asked for the client to provide credentials (get images.image.openshift.io one)"),
        (404, "the server could not find the requested resource (get images.image.openshift.io one)"),
        (429, "the server has received too many requests and has asked us to try again later "
              "(get images.image.openshift.io one)"),
        (500, 'an error on the server ("unknown") has prevented the request from succeeding '
              "(get images.image.openshift.io one)"),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_is_told_as_client_go_tells_it(
    code: int, message: str, api: TinyApi, client: ApiClient
) -> None:
    api.answers.append((code, None))
    with pytest.raises(ApiFailureError) as failure:
        client.get(IMAGES, "one")
    assert (str(failure.value), failure.value.code) == (message, code)


def test_a_kubeconfig_may_be_yaml_and_name_a_file_with_the_token(api: TinyApi, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "kubeconfig").write_text(
        f"""
        current-context: it
        contexts: [{{name: it, context: {{cluster: it, user: it}}}}]
        clusters: [{{name: it, cluster: {{server: "{api.url}"}}}}]
        users: [{{name: it, user: {{tokenFile: "{tmp_path}/token"}}}}]
        """
    )
    with closing(ApiClient.from_kubeconfig(tmp_path / "kubeconfig")) as client:
        assert client.list(IMAGES) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"current-context": "a", "contexts": []})])
def test_a_kubeconfig_that_names_nothing_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(content)
    with pytest.raises(ApiFailureError, match=r"invalid configuration: .*kubeconfig"):
        ApiClient.from_kubeconfig(tmp_path / "kubeconfig")


def test_faults_survive_being_written(tmp_path: Path) -> None:
    faults = PrunerFaults(modes=("delete",), seconds_per_blob=0.5, fail_delete_after_blobs=3, stdout="told")
    state = StateDirectory(tmp_path)
    faults.write(state)
    assert PrunerFaults.read(state.pruner_faults) == faults
    assert PrunerFaults.read(tmp_path / "nowhere.json") == PrunerFaults()


def test_faults_are_for_modes_that_there_are() -> None:
    with pytest.raises(ValueError, match="modes has prune; there are check, delete"):
        PrunerFaults(modes=("prune",))


def test_faults_may_come_from_a_command_line() -> None:
    assert PrunerFaults(modes="delete").modes == ("delete",)
    assert PrunerFaults(modes=["check", "delete"]).modes == ("check", "delete")
    with pytest.raises(ValueError, match="seconds_per_blob is 'slow'; it has to be a number"):
        PrunerFaults(seconds_per_blob="slow")


def test_a_folder_that_vanishes_while_it_is_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = StorageLayout(tmp_path).write_blob(b"content")
    driver = FilesystemDriver(tmp_path, "/registry", Logger("error"))
    listdir = os.listdir

    def listdir_of_another_pruners_blob(path: str) -> list[str]:
        if path.endswith(digest.removeprefix("sha256:")):
            shutil.rmtree(path)
            return []  # the C library takes the folder that is gone for an empty one
        return listdir(path)

    monkeypatch.setattr(os, "listdir", listdir_of_another_pruners_blob)
    with (
        pytest.raises(RegistryError, match=rf"^filesystem: readdirent /registry{blob_path(digest)}: no such file"),
        driver.walking(BLOBS_ROOT),
    ):
        list(driver.walk(BLOBS_ROOT))
