"""How far a delete is, in words: the scan before the first blob is no slow delete, and nothing goes back."""

from __future__ import annotations

import re

import pytest

from include.registry_prune.pruner import progress
from include.registry_prune.pruner.progress import Progress

HOUR = 3600.0


class Clock:
    """A clock that the test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level("INFO")
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def last(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.messages[-1]


def hours_left(message: str) -> float:
    found = re.search(r"done in about (\d+) h (\d+) min", message)
    assert found, message
    return int(found[1]) + int(found[2]) / 60


def test_the_scan_before_the_first_blob_is_no_part_of_the_rate(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A published run: 4 h 21 min of scan, then 505,651 blobs in 10 h 22 min: in the middle 5 h 11 are left."""
    expected, scan, removal = 505_651, 4.35 * HOUR, 10.37 * HOUR
    said = Progress("delete", expected)
    for second in range(0, int(scan), 10):
        clock.now = 1000.0 + second
        said.blobs(0)
    first_blobs: list[str] = []
    for share in range(1, 501):
        clock.now = 1000.0 + scan + removal * share / 1000
        said.blobs(expected * share // 1000)
        said.say()
        first_blobs.append(last(caplog))
    assert hours_left(first_blobs[10]) == pytest.approx(10.37, rel=0.1)
    assert hours_left(first_blobs[-1]) == pytest.approx(5.18, rel=0.05)


def test_a_follower_that_comes_late_does_not_take_what_it_reads_at_once_for_the_rate(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    said = Progress("delete", 100_000, running_for=5 * HOUR)
    for second in range(60):
        clock.now += 1
        said.blobs(40_000 + 10 * second)
    said.say()
    assert " 10 blobs/s" in last(caplog)


def test_a_delete_that_is_over_at_once_has_a_rate(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    said = Progress("delete", 3000)
    clock.now += 2
    said.blobs(3000)
    said.say()
    assert last(caplog) == "progress: 3,000 of 3,000 blobs deleted (100 %), 1500 blobs/s"


def test_what_is_said_does_not_go_back_when_another_process_follows(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    said = Progress("delete", 10_000, done_before=1000, counted=2500, running_for=600)
    said.say()
    assert "progress: 3,500 of 10,000" in last(caplog)


def test_the_estimate_is_shown_beside_the_progress(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    said = Progress("delete", 10_000, estimated_seconds=5.5 * HOUR)
    clock.now += HOUR
    said.say(100)
    assert "; so far 1 h 00 min of an estimated 5 h 30 min" in last(caplog)


def test_silence_during_the_scan_is_no_fault_and_later_it_is_a_warning(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    said = Progress("delete", 10_000, silence_seconds=600)
    for _ in range(3):
        clock.now += 700
        said.tick()
    assert [record.levelname for record in caplog.records] == ["INFO"] * 3
    assert "scans the storage, before the first blob; so far for 35 min 00 s" in last(caplog)
    said.blobs(5)
    clock.now += 700
    said.tick()
    assert caplog.records[-1].levelname == "WARNING"
    assert "has named no new blob for 11 min 40 s" in last(caplog)


def test_silence_of_zero_says_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    said = Progress("delete", 10_000, silence_seconds=0)
    clock.now += HOUR
    said.tick()
    assert caplog.messages == []
