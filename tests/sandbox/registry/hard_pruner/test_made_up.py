"""Orphans that are in no storage: output of any length, quickly."""

from __future__ import annotations

import json
import re
import signal

import pytest

from sandbox.registry.faults import PrunerFaults
from sandbox.registry.hard_pruner.made_up import digest
from tests.sandbox.registry.registry_world import RegistryWorld

COUNT = 5_100
"""Two whole blocks and a part of one."""
JSON = {"REGISTRY_LOG_LEVEL": "info", "REGISTRY_LOG_FORMATTER": "json"}
TEXT = {"REGISTRY_LOG_LEVEL": "info"}
EXPECTED = [digest(index) for index in range(COUNT)]


def messages(stderr: str) -> list[str]:
    return [json.loads(line)["msg"] for line in stderr.splitlines()]


def test_each_is_listed_once_with_a_digest_of_its_own_and_counted(world: RegistryWorld) -> None:
    PrunerFaults(made_up_orphans=COUNT, made_up_bytes=1024).write(world.state)
    done = world.run("-prune=check", **JSON)
    listed = [text.removeprefix("Would delete blob: ") for text in messages(done.stderr) if "Would delete" in text]
    assert listed == EXPECTED
    assert len(set(listed)) == COUNT
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", found) for found in listed)
    assert done.stdout.splitlines()[:2] == [f"Would delete {COUNT} blobs", "Would free up 4.98MiB of disk space"]
    assert done.exit_code == 0


def test_made_up_lines_are_those_of_the_logger(world: RegistryWorld) -> None:
    PrunerFaults(made_up_orphans=1).write(world.state)
    done = world.run("-prune=check", **TEXT)
    line = done.stderr.splitlines()[-1]
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    assert re.fullmatch(rf'time="{time}" level=info msg="Would delete blob: {digest(0)}" go.version=go1.26.6', line)


def test_at_a_higher_level_there_is_the_summary_only(world: RegistryWorld) -> None:
    PrunerFaults(made_up_orphans=COUNT).write(world.state)
    done = world.run("-prune=check", REGISTRY_LOG_LEVEL="warn")
    assert done.stderr == ""
    assert done.stdout.startswith(f"Would delete {COUNT} blobs\n")


@pytest.mark.parametrize("killed_after", [1, 2_000, 3_333])
def test_a_delete_goes_on_where_a_killed_one_stopped(world: RegistryWorld, killed_after: int) -> None:
    PrunerFaults(made_up_orphans=COUNT, kill_after_blobs=killed_after, seconds_per_deletion=1e-6).write(world.state)
    first = world.run("-prune=delete", **JSON)
    assert first.exit_code == -9
    faults = world.state.pruner_faults
    faults.write_text(json.dumps(json.loads(faults.read_text()) | {"kill_after_blobs": None}))
    second = world.run("-prune=delete", **JSON)
    paths = [text.removeprefix("Deleting blob: ") for text in messages(first.stderr + second.stderr) if "blob" in text]
    prefix = "/docker/registry/v2/blobs/sha256/"
    assert paths == [f"{prefix}{name[7:9]}/{name[7:]}" for name in EXPECTED]
    left = COUNT - sum("blob" in text for text in messages(first.stderr))
    assert second.stdout.startswith(f"Deleted {left} blobs\n")
    assert world.run("-prune=check", **JSON).stdout.startswith("Would delete 0 blobs\n")


def test_a_delete_can_be_slower_than_a_dry_run(world: RegistryWorld) -> None:
    PrunerFaults(made_up_orphans=100_000, seconds_per_deletion=60).write(world.state)
    assert world.run("-prune=check", **JSON).exit_code == 0
    process = world.start("-prune=delete", **JSON)
    assert process.stderr is not None
    assert "start prune" in process.stderr.readline()
    process.terminate()
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (-signal.SIGTERM, "")
    assert messages(stderr) == []
