"""The pusher: what is accepted, what is refused, and what falls into the life of a pruner."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import Sandbox
from sandbox.real_registry.pusher import Pusher, Upload
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from tests.sandbox.cluster_tools import eventually
from tests.sandbox.real_registry.registry_tools import grant, has_image, kubectl, needs_registry

DETACHED = "/usr/bin/setsid /usr/bin/dockerregistry -prune=delete >/dev/null 2>&1 & sleep 0.1"


def start_pruner(sandbox: Sandbox) -> None:
    """Returns when it is at work."""
    pod = next(iter(sandbox.registry_addresses()))
    kubectl(sandbox, "exec", pod, "--", "/bin/sh", "-c", DETACHED)
    eventually(sandbox.pruner_journal, "the pruner has started")


def more(pusher: Pusher, accepted: bool) -> None:
    """Returns when something more was accepted (refused), of which all happened from now on."""
    now = time.time()
    eventually(
        lambda: any(
            upload.accepted == accepted and upload.status is not None
            for upload in pusher.uploads
            if upload.started_at > now
        ),
        "another upload has ended",
    )


@needs_registry
def test_uploads_are_accepted_until_the_registry_is_settled_read_only(sandbox: Sandbox) -> None:
    with sandbox.pusher() as pusher:
        more(pusher, accepted=True)
        sandbox.configure_registry(readOnly=True)
        sandbox.wait_until_settled()
        settled_at = time.time()
        more(pusher, accepted=False)
    late = [upload for upload in pusher.uploads if upload.started_at > settled_at]
    assert {upload.status for upload in late} == {405}
    assert {upload.status for upload in pusher.uploads} <= {201, 405, None}
    assert all(upload.ended_at < settled_at for upload in pusher.accepted)
    assert all(has_image(sandbox, upload.digest) for upload in pusher.accepted)


@needs_registry
class TestWhilePruning:
    @pytest.fixture(autouse=True)
    def garbage(self, sandbox: Sandbox) -> None:
        sandbox.seed(SeedPlan(images=2, orphans=10))
        grant(sandbox)

    def test_a_pruner_in_a_registry_that_takes_pushes_is_found_out(self, sandbox: Sandbox) -> None:
        sandbox.order_pruner(PrunerFaults(seconds_per_blob=0.2))
        with sandbox.pusher() as pusher:
            more(pusher, accepted=True)
            assert pusher.accepted_while(sandbox.pruner_journal()) == []
            start_pruner(sandbox)
            more(pusher, accepted=True)
            eventually(lambda: not sandbox.pruners_alive(), "the pruner has ended")
            ended_at = time.time()
            more(pusher, accepted=True)
        found = pusher.accepted_while(sandbox.pruner_journal())
        assert 0 < len(found) < len(pusher.accepted)
        assert all(upload.started_at < ended_at for upload in found)

    def test_a_pruner_in_a_settled_registry_meets_no_upload(self, sandbox: Sandbox) -> None:
        with sandbox.pusher() as pusher:
            more(pusher, accepted=True)
            sandbox.configure_registry(readOnly=True)
            sandbox.wait_until_settled()
            sandbox.order_pruner(PrunerFaults(seconds_per_blob=0.02))
            start_pruner(sandbox)
            more(pusher, accepted=False)
            eventually(lambda: not sandbox.pruners_alive(), "the pruner has ended")
            sandbox.configure_registry(readOnly=False)
            more(pusher, accepted=True)
            sandbox.wait_until_settled()
        assert pusher.accepted_while(sandbox.pruner_journal()) == []
        eventually(
            lambda: all(has_image(sandbox, upload.digest) for upload in pusher.accepted), "the cluster knows them all"
        )
        problems = [line for line in sandbox.verify().problems if not line.startswith("clusterrolebindings/grant")]
        assert problems == []

    def test_a_pruner_that_was_killed_lived_until_it_was_found_gone(self, sandbox: Sandbox) -> None:
        sandbox.order_pruner(PrunerFaults(seconds_per_blob=0.5, kill_after_blobs=3))
        with sandbox.pusher() as pusher:
            start_pruner(sandbox)
            more(pusher, accepted=True)
            eventually(lambda: not sandbox.pruners_alive(), "the pruner is dead")
            more(pusher, accepted=True)
            more(pusher, accepted=True)
        assert [entry["event"] for entry in sandbox.pruner_journal()] == ["start"]
        assert 0 < len(pusher.accepted_while(sandbox.pruner_journal())) < len(pusher.accepted)


def upload(started_at: float, ended_at: float, status: int | None = 201) -> Upload:
    return Upload("pod", "127.0.0.1:1", "pushes/app", "v1", "sha256:0", started_at, ended_at, status)


@pytest.mark.parametrize(
    ("mode", "found", "counted"),
    [
        ("delete", upload(1, 9), False),
        ("delete", upload(9, 11), True),
        ("delete", upload(12, 13), True),
        ("delete", upload(9, 21), True),
        ("delete", upload(20.5, 21), False),
        ("delete", upload(12, 13, 405), False),
        ("delete", upload(12, 13, None), False),
        ("check", upload(12, 13), False),
    ],
)
def test_an_upload_counts_if_a_part_of_it_meets_a_deleting_pruner(mode: str, found: Upload, counted: bool) -> None:
    journal: list[dict[str, Any]] = [
        {"event": "start", "pid": 1, "mode": mode, "time": 10.0},
        {"event": "end", "pid": 1, "exit_code": 0, "time": 20.0},
    ]
    pusher = Pusher(dict, list)
    pusher._uploads.append(found)
    assert (pusher.accepted_while(journal) == [found]) is counted


def test_a_pusher_that_cannot_go_on_says_so() -> None:
    def fail() -> dict[str, str]:
        raise ZeroDivisionError

    pusher = Pusher(fail, list)
    with pytest.raises(RuntimeError, match="the pusher has failed: ZeroDivisionError"), pusher:
        pass


def test_a_registry_that_does_not_answer_is_an_unknown_end(tmp_path: Path) -> None:
    with Pusher(lambda: {"pod": "127.0.0.1:1"}, list) as pusher:
        eventually(lambda: pusher.uploads, "one was tried")
    (first, *_) = pusher.uploads
    assert (first.status, first.accepted) == (None, False)
    assert first.error.startswith("ConnectionRefusedError")
