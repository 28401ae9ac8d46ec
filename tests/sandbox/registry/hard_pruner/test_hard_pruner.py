"""What the stand-in for ``dockerregistry`` does beyond the transcripts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from sandbox.registry.api import IMAGE_STREAMS, IMAGES
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.journal import read_journal
from sandbox.registry.storage.images import ManifestFormat
from tests.sandbox.registry.registry_world import PROJECT_ROOT, Ended, RegistryWorld

CHECK, DELETE = "-prune=check", "-prune=delete"
REPOSITORIES = "docker/registry/v2/repositories"


@pytest.fixture
def filled(world: RegistryWorld) -> RegistryWorld:
    """One image, and four orphans of 1500 bytes."""
    world.push("tx/app-0", world.image(), "v0")
    world.orphans(4)
    return world


def summary(ended: Ended) -> tuple[int, str]:
    return ended.exit_code, ended.stdout.splitlines()[0]


def test_every_format_keeps_what_its_images_need(world: RegistryWorld) -> None:
    world.push("tx/docker", world.image(), "v0")
    world.push("tx/oci", world.image(manifest_format=ManifestFormat.OCI), "v0")
    world.push("tx/multi", world.multi_architecture_image(), "v0")
    before = world.digests()
    world.orphans(2)
    assert summary(world.run(DELETE)) == (0, "Deleted 2 blobs")
    assert world.digests() == before


def test_images_are_listed_once_and_each_stream_is_read_once(filled: RegistryWorld) -> None:
    filled.push("tx/app-1", filled.image(), "v0")
    filled.run(CHECK)
    images = "/apis/image.openshift.io/v1/images"
    streams = "/apis/image.openshift.io/v1/namespaces/tx/imagestreams"
    assert [path for _, path in filled.api.requests] == [images, f"{streams}/app-0", f"{streams}/app-1"]


def test_deleting_ignores_that_the_registry_is_read_only(filled: RegistryWorld) -> None:
    ended = filled.run(DELETE, REGISTRY_STORAGE_MAINTENANCE_READONLY="{enabled: true}")
    assert summary(ended) == (0, "Deleted 4 blobs")
    assert ended.stderr == ""


def test_the_journal_tells_in_which_pod_and_mode_a_pruner_ran(filled: RegistryWorld) -> None:
    filled.run(CHECK)
    filled.run(DELETE, REGISTRY_STORAGE_MAINTENANCE_READONLY="{enabled: true}")
    entries = read_journal(filled.state.pruner_journal)
    assert [(entry["event"], entry.get("mode"), entry.get("read_only")) for entry in entries] == [
        ("start", "check", False), ("end", None, None), ("start", "delete", True), ("end", None, None),
    ]  # fmt: skip
    assert entries[0]["pod"] == "image-registry-0"
    assert entries[2]["pid"] == entries[3]["pid"]
    assert [entries[1]["exit_code"], entries[3]["exit_code"]] == [0, 0]
    assert entries[0]["time"] <= entries[3]["time"]


def test_the_variable_that_the_operator_sets_is_unknown_to_the_registry(filled: RegistryWorld) -> None:
    known = {
        "REGISTRY_HTTP_TLS_CERTIFICATE": "/etc/secrets/tls.crt",
        "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "true",
        "REGISTRY_OPENSHIFT_QUOTA_ENABLED": "true",
        "REGISTRY_STORAGE_DELETE_ENABLED": "true",
    }
    ended = filled.run(CHECK, REGISTRY_HTTP_TLS_MINVERSION="VersionTLS12", **known)
    (line,) = ended.stderr.splitlines()
    assert line.endswith('level=warning msg="Ignoring unrecognized environment variable REGISTRY_HTTP_TLS_MINVERSION"')


def test_lines_of_json_are_sorted_objects(filled: RegistryWorld) -> None:
    ended = filled.run(CHECK, REGISTRY_LOG_LEVEL="info", REGISTRY_LOG_FORMATTER="json")
    entries = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [list(entry) == sorted(entry) for entry in entries] == [True] * 5


def test_a_formatter_that_does_not_exist_is_fatal(filled: RegistryWorld) -> None:
    ended = filled.run(CHECK, REGISTRY_LOG_FORMATTER="xml")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert r'level=fatal msg="error configuring logging: unsupported logging formatter: \"xml\""' in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-prune=check", "-restore-mode=check"], "options -prune and -restore-mode are mutually exclusive"),
        (["-experimental", "-restore-mode=all"], "invalid value for the -restore-mode option"),
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["-prune"], "flag needs an argument: -prune"),
        (["-experimental=perhaps"], 'invalid boolean value "perhaps" for -experimental: parse error'),
    ],
)
def test_a_wrong_command_line_exits_with_2(world: RegistryWorld, arguments: list[str], message: str) -> None:
    ended = world.run(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert message in ended.stderr


@pytest.mark.parametrize("arguments", [["--prune=check"], ["-prune", "check"], ["-experimental", "-prune=check"]])
def test_flags_are_read_as_go_reads_them(filled: RegistryWorld, arguments: list[str]) -> None:
    assert summary(filled.run(*arguments)) == (0, "Would delete 4 blobs")


def test_a_repository_with_a_capital_letter_fails_check_and_delete(filled: RegistryWorld) -> None:
    (filled.state.storage / REPOSITORIES / "tx/App/_manifests").mkdir(parents=True)
    for mode, nothing in ((CHECK, "Would delete 0 blobs"), (DELETE, "Deleted 0 blobs")):
        ended = filled.run(mode)
        assert summary(ended) == (1, nothing)
        assert 'msg="filesystem: failed to parse the repo name tx/App: invalid reference format"' in ended.stderr


def test_a_garbage_link_fails_the_run(filled: RegistryWorld) -> None:
    revision = next((filled.state.storage / REPOSITORIES / "tx/app-0/_manifests/revisions/sha256").iterdir())
    (revision / "link").write_text("garbage")
    ended = filled.run(CHECK)
    assert summary(ended) == (1, "Would delete 0 blobs")
    assert (
        "filesystem: failed to prune manifest links in the repository tx/app-0: "
        "filesystem: invalid checksum digest format" in ended.stderr
    )


def test_a_repository_whose_stream_may_not_be_read_fails_the_run(filled: RegistryWorld) -> None:
    filled.api.forbidden.add(IMAGE_STREAMS)
    ended = filled.run(CHECK)
    assert summary(ended) == (1, "Would delete 0 blobs")
    assert "filesystem: failed to get the image stream tx/app-0: imagestreams.image.open" in ended.stderr


def test_a_repository_outside_of_a_namespace_fails_the_run(filled: RegistryWorld) -> None:
    (filled.state.storage / REPOSITORIES / "alone/_manifests").mkdir(parents=True)
    ended = filled.run(CHECK)
    assert ended.exit_code == 1
    assert "an empty namespace may not be set when a resource name is provided" in ended.stderr


def test_a_name_that_no_stream_can_have_removes_the_repository(filled: RegistryWorld) -> None:
    deep = filled.state.storage / REPOSITORIES / "tx/app/part"
    (deep / "_manifests").mkdir(parents=True)
    ended = filled.run(DELETE, REGISTRY_LOG_LEVEL="info")
    assert ended.exit_code == 0
    assert "Invalid image name tx/app/part, removing whole repository" in ended.stderr
    assert not deep.exists()


def test_a_repository_of_unfinished_pushes_is_not_looked_at(filled: RegistryWorld) -> None:
    filled.storage.link_layer("tx/half", filled.orphans(1)[0].digest)
    filled.storage.leave_upload("tx/half", "6b2e7b1c", b"part", "2026-11-23T17:42:12Z")
    ended = filled.run(DELETE, REGISTRY_LOG_LEVEL="info")
    assert summary(ended) == (0, "Deleted 5 blobs")
    assert "tx/half" not in ended.stderr
    assert (filled.state.storage / REPOSITORIES / "tx/half/_uploads/6b2e7b1c/data").exists()


def test_a_repository_without_revisions_is_left_out(filled: RegistryWorld) -> None:
    filled.tag("tx/new", None, "")
    (filled.state.storage / REPOSITORIES / "tx/new/_manifests").mkdir(parents=True)
    ended = filled.run(CHECK, REGISTRY_LOG_LEVEL="info")
    assert summary(ended) == (0, "Would delete 4 blobs")
    assert "Skipped manifest link pruning for the repository tx/new: filesystem: Path not found:" in ended.stderr


def test_a_storage_with_repositories_but_no_blobs_is_an_error(world: RegistryWorld) -> None:
    (world.state.storage / REPOSITORIES).mkdir(parents=True)
    ended = world.run(CHECK)
    assert summary(ended) == (1, "Would delete 0 blobs")
    assert 'msg="filesystem: Path not found: /docker/registry/v2/blobs"' in ended.stderr


def test_an_api_that_asks_for_patience_gets_it(filled: RegistryWorld) -> None:
    filled.api.answers += [(503, 0), (429, 0)]
    assert summary(filled.run(CHECK)) == (0, "Would delete 4 blobs")


def test_an_api_that_is_unavailable_fails_the_run(filled: RegistryWorld) -> None:
    filled.api.answers.append((503, None))
    ended = filled.run(CHECK)
    assert summary(ended) == (1, "Would delete 0 blobs")
    assert (
        "error listing images: the server is currently unable to handle the request "
        "(get images.image.openshift.io)" in ended.stderr
    )


def test_without_a_configuration_there_is_no_client(filled: RegistryWorld) -> None:
    ended = filled.run(CHECK, KUBECONFIG="")
    assert summary(ended) == (1, "Would delete 0 blobs")
    assert "error getting clients: invalid configuration: no configuration has been provided" in ended.stderr


def test_an_ordered_output_is_printed_instead_of_working(filled: RegistryWorld) -> None:
    PrunerFaults(exit_code=7, stdout="no pruner\n", stderr="at all\n").write(filled.state)
    assert filled.run(DELETE) == Ended(7, "no pruner\n", "at all\n")
    assert len(filled.digests()) == 8


def test_an_order_for_one_mode_leaves_the_others_alone(filled: RegistryWorld) -> None:
    PrunerFaults(modes=("delete",), exit_code=1).write(filled.state)
    assert filled.run(CHECK).exit_code == 0
    assert filled.run(DELETE).exit_code == 1


def test_a_killed_pruner_has_deleted_a_part_and_says_nothing(filled: RegistryWorld) -> None:
    PrunerFaults(kill_after_blobs=3).write(filled.state)
    ended = filled.run(DELETE)
    assert (ended.exit_code, ended.stdout) == (-signal.SIGKILL, "")
    assert len(filled.digests()) == 8 - 3
    assert [entry["event"] for entry in read_journal(filled.state.pruner_journal)] == ["start"]


def test_an_unknown_fault_is_refused(filled: RegistryWorld) -> None:
    filled.state.pruner_faults.write_text('{"explode": true}')
    ended = filled.run(CHECK)
    assert ended.exit_code == 1
    assert "there is no fault called explode" in ended.stderr


def test_a_pruner_outlives_the_hangup_of_its_terminal_under_nohup(filled: RegistryWorld) -> None:
    PrunerFaults(seconds_per_blob=0.2).write(filled.state)
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = filled.start(DELETE)
    finally:
        signal.signal(signal.SIGHUP, earlier)
    wait_until_running(process, filled)
    process.send_signal(signal.SIGHUP)
    stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout.splitlines()[0]) == (0, "Deleted 4 blobs")


def test_a_pruner_whose_output_nobody_takes_any_more_dies_of_it(filled: RegistryWorld) -> None:
    PrunerFaults(seconds_per_blob=0.1).write(filled.state)
    process = filled.start(DELETE, REGISTRY_LOG_LEVEL="info")
    wait_until_running(process, filled)
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.close()
    assert process.wait(timeout=30) == -signal.SIGPIPE
    process.stdout.close()
    assert read_journal(filled.state.pruner_journal)[-1]["exit_code"] == 128 + signal.SIGPIPE


def wait_until_running(process: subprocess.Popen[str], world: RegistryWorld) -> None:
    deadline = time.monotonic() + 30
    while not any("imagestreams" in path for _, path in world.api.requests):
        assert process.poll() is None, "the pruner has ended already"
        assert time.monotonic() < deadline, "the pruner has not begun"
        time.sleep(0.02)


def test_two_pruners_at_once_never_take_what_images_need(filled: RegistryWorld) -> None:
    needed = {digest for image in filled.api.of(IMAGES) for digest in digests_named(image)}
    filled.orphans(800, size=64)
    processes = [filled.start(DELETE) for _ in range(2)]
    codes = [process.wait(timeout=60) for process in processes]
    outputs = [process.communicate() for process in processes]
    assert set(codes) <= {0, 1}
    for code, (stdout, stderr) in zip(codes, outputs, strict=True):
        assert stdout.startswith("Deleted ")
        assert bool(stderr) == bool(code)
    assert needed <= filled.digests()


def digests_named(image: dict[str, object]) -> set[str]:
    text = json.dumps(image)
    return {word for word in text.replace("@", '"').split('"') if word.startswith("sha256:")}


def test_a_missing_image_object_breaks_the_tag_that_names_it(world: RegistryWorld) -> None:
    image = world.push("tx/app-0", world.image(), "v0")
    world.api.remove(IMAGES, image.manifest.digest)
    ended = world.run("-experimental", "-restore-mode=check-database")
    digest = image.manifest.digest
    assert ended == Ended(0, f'Broken image "{digest}": images.image.openshift.io "{digest}" not found\n', "")


def test_the_integrity_check_leaves_imported_images_out(world: RegistryWorld) -> None:
    image = world.image()
    world.push("tx/imported", image, "v0")
    del world.api.get(IMAGES, image.manifest.digest)["metadata"]["annotations"]["openshift.io/image.managed"]
    world.storage.remove_blob(image.manifest.digest)
    assert world.run("-experimental", "-restore-mode=check-database") == Ended(0, "", "")


def test_the_integrity_check_can_be_kept_to_one_namespace(world: RegistryWorld) -> None:
    for repository in ("one/app", "two/app"):
        world.storage.remove_blob(world.push(repository, world.image(), "v0").manifest.digest)
    ended = world.run("-experimental", "-restore-mode=check-database", "-restore-namespace=two")
    assert 'Broken imagestream tag "two/app:v0"' in ended.stdout
    assert 'imagestream tag "one/app' not in ended.stdout


MEASURED = """\
import sys, tracemalloc
sys.path.insert(0, {root!r})
import os
from sandbox.registry.hard_pruner.dockerregistry import main
tracemalloc.start()
exit_code = main(["-prune=check"], os.environ)
print(tracemalloc.get_traced_memory()[1])
sys.exit(exit_code)
"""


def test_memory_does_not_grow_with_the_orphans(world: RegistryWorld) -> None:
    world.push("tx/app-0", world.image(), "v0")
    peaks = []
    for orphans in (10, 4000):
        world.orphans(orphans, size=16)
        ended = subprocess.run(
            [sys.executable, "-I", "-c", MEASURED.format(root=str(PROJECT_ROOT))],
            env=world.environ(REGISTRY_LOG_LEVEL="info"),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ended.stderr.count("Would delete blob") >= orphans
        peaks.append(int(ended.stdout.splitlines()[-1]))
    # The names alone of 4000 blobs take 450,000 bytes.
    assert peaks[1] < peaks[0] + 100_000
