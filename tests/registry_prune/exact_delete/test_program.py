"""What the pod is told, and what it refuses before it touches anything."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.exact_delete.configuration import (
    ConfigurationError,
    FileSystemConfiguration,
    S3Configuration,
    configuration,
)
from include.registry_prune.exact_delete.events import (
    LINE_CHARACTERS,
    Batch,
    Ended,
    Tally,
    fitting,
    parse_line,
    to_line,
)
from include.registry_prune.exact_delete.hand_over import LIST_FILE, receive
from include.registry_prune.exact_delete.keys import is_kept_name, is_repository
from include.registry_prune.lists.candidate_list import DamagedListError

PROJECT = Path(__file__).parents[3]
S3 = {"REGISTRY_STORAGE": "s3", "REGISTRY_STORAGE_S3_BUCKET": "images", "REGISTRY_STORAGE_S3_REGION": "eu-central-1"}


@pytest.fixture
def orphans(folder_storage: Any) -> list[str]:
    folder_storage.blob(b"needed")
    return [folder_storage.blob(b"orphan %d" % number) for number in range(4)]


def refused(told: Any, folder_storage: Any, before: dict[str, bytes], words: str) -> None:
    assert told.status == 2
    assert words in told.ended.problem
    assert folder_storage.everything() == before


def test_a_list_that_is_damaged_is_refused_before_anything_is_touched(
    pod: Any, folder_storage: Any, orphans: list[str], write_list: Any
) -> None:
    before = folder_storage.everything()
    seal = write_list(pod.folder, orphans)
    path = pod.folder / LIST_FILE
    path.write_bytes(path.read_bytes()[:-9])
    refused(pod.run("delete", "--kept-as", "x", seal=seal), folder_storage, before, "damaged")


def test_a_list_of_another_run_is_refused(pod: Any, folder_storage: Any, orphans: list[str], write_list: Any) -> None:
    before = folder_storage.everything()
    seal = write_list(pod.folder, orphans, run="mine")
    write_list(pod.folder, orphans, run="another")
    refused(pod.run("delete", "--kept-as", "x", seal=seal), folder_storage, before, "damaged")


def test_a_seal_with_other_counts_is_refused(
    pod: Any, folder_storage: Any, orphans: list[str], write_list: Any
) -> None:
    before = folder_storage.everything()
    seal = write_list(pod.folder, orphans)
    other = seal.model_copy(update={"counts": {**seal.counts, "blob": 3}})
    refused(pod.run("delete", "--kept-as", "x", seal=other), folder_storage, before, "other counts")


@pytest.mark.parametrize(
    "line",
    [
        "blob sha256:../../../../etc", f"blob sha512:{'a' * 64}", f"blob sha256:{'A' * 64}", "repository ../..",
        "repository shop/_layers", "repository /", "repository shop/../other", "summary 3", "blob ",
    ],
)  # fmt: skip
def test_a_line_that_stands_for_nothing_that_may_go_is_refused(
    line: str, pod: Any, folder_storage: Any, orphans: list[str], write_list: Any
) -> None:
    before = folder_storage.everything()
    kind, _, subject = line.rpartition(" ")
    seal = write_list(pod.folder, orphans, raw=(kind, subject))
    refused(pod.run("delete", "--kept-as", "x", seal=seal), folder_storage, before, "stands for no blob")


def test_a_pod_whose_template_takes_pushes_deletes_nothing(pod: Any, folder_storage: Any, orphans: list[str]) -> None:
    before = folder_storage.everything()
    del pod.environ["REGISTRY_STORAGE_MAINTENANCE_READONLY"]
    refused(pod.delete(orphans), folder_storage, before, "did not serve read-only")


def test_without_a_seal_nothing_is_deleted(pod: Any, folder_storage: Any, orphans: list[str], write_list: Any) -> None:
    write_list(pod.folder, orphans)
    told = pod.run("delete", "--kept-as", "x")
    assert (told.status, "no seal" in told.ended.problem) == (2, True)


def test_a_list_that_does_not_come_is_waited_for_and_said(pod: Any, orphans: list[str], write_list: Any) -> None:
    seal = write_list(pod.folder, orphans)
    (pod.folder / LIST_FILE).unlink()
    told = pod.run("delete", "--kept-as", "x", seal=seal)
    assert (told.status, "No list was handed over" in told.ended.problem) == (2, True)


@pytest.mark.parametrize("driver", ["swift", "gcs", "azure", "oss", "inmemory"])
def test_other_storages_are_refused_by_name_with_what_to_set_instead(driver: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{driver}.*delete_by to dockerregistry"):
        configuration({"REGISTRY_STORAGE": driver})


def test_the_configuration_is_the_operators() -> None:
    assert configuration(
        {"REGISTRY_STORAGE": "filesystem", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/registry"}
    ) == FileSystemConfiguration(Path("/registry"))
    own = {"REGISTRY_STORAGE_S3_REGIONENDPOINT": "ceph.test:8443/", "REGISTRY_STORAGE_S3_ROOTDIRECTORY": "/images/"}
    found = configuration({**S3, **own, "REGISTRY_STORAGE_S3_USEDUALSTACK": "true"})
    assert isinstance(found, S3Configuration)
    assert (found.endpoint, found.root, found.path_style, found.dual_stack) == (
        "https://ceph.test:8443", "images", True, False
    )  # fmt: skip
    for variable, style in (("VIRTUALHOSTEDSTYLE", False), ("FORCEPATHSTYLE", True)):
        found = configuration({**S3, **own, f"REGISTRY_STORAGE_S3_{variable}": "true"})
        assert isinstance(found, S3Configuration)
        assert found.path_style is style
    aws = configuration({**S3, "REGISTRY_STORAGE_S3_FORCEPATHSTYLE": "false"})
    assert isinstance(aws, S3Configuration)
    assert aws.path_style is None


def test_no_secret_is_ever_said() -> None:
    secrets = {f"REGISTRY_STORAGE_S3_{name}": "hidden" for name in ("SECRETKEY", "SESSIONTOKEN")}
    found = configuration({**S3, **secrets})
    assert "hidden" not in f"{found!r} {found.text()}"


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 200])
def test_a_folder_of_what_is_kept_lies_below_its_own(name: str) -> None:
    assert not is_kept_name(name)


def test_deeper_and_odd_names_of_repositories_are_names() -> None:
    assert all(map(is_repository, ("shop/frontend", "shop/a/b", "Shop/UPPER", "x")))


def test_a_list_that_is_handed_over_has_its_name_only_when_it_is_whole(tmp_path: Path, write_list: Any) -> None:
    seal = write_list(tmp_path / "outside", ["sha256:" + "a" * 64])
    whole = (tmp_path / "outside" / LIST_FILE).read_bytes()
    with pytest.raises(DamagedListError):
        receive(io.BytesIO(whole[:-1]), tmp_path, seal)
    assert not (tmp_path / LIST_FILE).exists()
    # More than the list may follow: an older protocol cannot close the stream.
    assert receive(io.BytesIO(whole + b"more"), tmp_path, seal).read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [LIST_FILE]


def test_a_line_is_never_so_long_that_a_runtime_cuts_it_and_says_the_same_in_parts() -> None:
    batch = Batch(first=5_000, count=1_000, failed={f"reason {n}: {'x' * 200}": (n,) for n in range(0, 1_000, 2)})
    parts = list(fitting(batch))
    assert max(len(to_line(part)) for part in parts) <= LINE_CHARACTERS
    assert sum(part.count for part in parts) == 1_000
    assert sorted(part.first + place for part in parts for places in part.failed.values() for place in places) == [
        5_000 + place for place in range(0, 1_000, 2)
    ]


def test_other_lines_of_the_log_are_no_events() -> None:
    assert parse_line("WARNING botocore: x") is None
    assert parse_line('{"event":"something of a newer version"}') is None
    ended = Ended(work="delete", ended_by="end", blobs=Tally(listed=3, done=3))
    assert parse_line(to_line(ended)) == ended


def test_the_program_needs_no_more_than_the_small_image_has() -> None:
    """Whatever is loaded comes from the distributions that the image's requirements bring."""
    script = (
        "import sys; import include.registry_prune.exact_delete.__main__, include.registry_prune.exact_delete.s3, "
        "include.registry_prune.exact_delete.s3_client, include.registry_prune.in_cluster_guard; "
        "print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ).stdout.split()  # fmt: skip
    assert {"boto3", "kubernetes", "pydantic"} <= set(loaded)
    assert not {"airflow", "asgiref", "fsspec", "sqlalchemy", "moto"} & set(loaded)


def test_the_programs_memory_does_not_grow_with_the_list(tmp_path: Path, bucket: Any, write_list: Any) -> None:
    """The whole program in a process of its own, against a bucket: none of the keys is there, so nothing is seeded.

    With EXACT_DELETE_KEYS=1000000 it is the bound that is documented.
    """
    bucket.blob(b"needed")
    count = int(os.environ.get("EXACT_DELETE_KEYS", "20000"))
    seal = write_list(tmp_path, [f"sha256:{number:064x}" for number in range(count)])
    environ = {**bucket.environ, "PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    script = (
        # Not ru_maxrss, which begins with that of the process that has started this one.
        "import sys; from include.registry_prune.exact_delete.__main__ import main; "
        "status = main(sys.argv[1:]); "
        "(peak,) = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]; "
        "print(peak, file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "delete", "--work-folder", str(tmp_path)],
        env={
            **environ,
            "REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}",
            "REGISTRY_PRUNE_SEAL": seal.model_dump_json(),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout.splitlines()[-1])
    kibibytes = int(done.stderr.splitlines()[-1])
    assert ended["blobs"]["done"] == count
    assert kibibytes < 256 * 1024, f"{count:,} keys took {kibibytes / 1024:.0f} MiB, {ended['seconds']} s"
