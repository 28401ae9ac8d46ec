"""Whole runs with CeleryExecutor, PostgreSQL, Redis and lists in S3: two workers and a triggerer share no disk.

Airflow is configured by ``deploy/values.yaml`` with ``deploy/values/celery.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local_airflow.distributed.services import missing
from local_airflow.instance.rest import wait_for
from sandbox.registry.faults import PrunerFaults
from tests.distributed.distributed_cases import ORPHANS, RUN_SECONDS, SMALL_IMAGE, Bench, Case

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(1800)]

DEFERRED = {"defer_after": "0s"}
ENTRIES: dict[str, dict[str, Any]] = {
    "pruning": {},
    "worker": {},
    "deferred": DEFERRED,
    "slice": {"window_limit": "100s"},
    "approval": {"approval": True},
    "triggerer": DEFERRED,
    "redis": {},
    "list": {"small_image": SMALL_IMAGE},
}
WITHOUT_CHECKS = {"integrity_check": False}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    assert missing() == [], "make distributed says what to install"
    with Bench(tmp_path_factory.mktemp("distributed"), ENTRIES).running() as bench:
        yield bench


def slow_delete(case: Case, seconds: float) -> None:
    case.sandbox.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=seconds / ORPHANS))


def deleting(case: Case) -> bool:
    """Whether the delete is in the middle of its work."""
    return deletes(case) > 0 and case.sandbox.pruners_alive() > 0


def deletes(case: Case) -> int:
    """How many deletes were begun."""
    return len({each["pod"] for each in case.sandbox.pruner_journal() if each.get("mode") == "delete"})


def assert_pruned(case: Case) -> dict[str, Any]:
    """The run ended well, and everything was deleted; its report."""
    assert case.state() == "success", case.problems()
    report = case.result("report")
    assert (report["outcome"], report["deleted_blobs"]) == ("pruned", ORPHANS)
    case.assert_whole(orphans_left=0)
    return report


def test_a_whole_run(bench: Bench) -> None:
    with bench.case("pruning") as case:
        case.trigger(base_prune=True)
        assert_pruned(case)
        assert any(name.endswith("survey-candidates.txt.gz") for name in bench.lists("pruning"))
        assert any("/reports/" in name for name in bench.lists("pruning"))
        assert not list(bench.airflow.folder.glob("*/registry-prune")), "no list is on the disk of a part"


def test_a_worker_that_is_lost_in_the_window_costs_nothing_but_time(bench: Bench) -> None:
    with bench.case("worker") as case:
        slow_delete(case, 40)
        case.trigger(**WITHOUT_CHECKS)
        wait_for(lambda: deleting(case), RUN_SECONDS, pause_seconds=0.1)
        worker = bench.airflow.worker_of("hard_prune")
        assert worker is not None
        bench.airflow.lose(worker)
        assert_pruned(case)
        assert case.tasks()["hard_prune"].try_number == 2
        assert deletes(case) == 1, "the other worker follows the delete that is at work"


def test_the_triggerer_follows_a_delete_that_holds_no_worker(bench: Bench) -> None:
    with bench.case("deferred") as case:
        slow_delete(case, 10)
        case.trigger(**WITHOUT_CHECKS)
        case.await_task("hard_prune", "deferred")
        assert_pruned(case)
        deletion = case.result("hard_prune")
        assert (deletion["counted_blobs"], deletion["list_complete"]) == (ORPHANS, True)
        assert [name for name in bench.lists("deferred") if "hard_prune-deleted-" in name]


def test_a_triggerer_that_is_lost_in_the_delete_costs_nothing_but_time(bench: Bench) -> None:
    with bench.case("triggerer") as case:
        slow_delete(case, 30)
        case.trigger(**WITHOUT_CHECKS)
        case.await_task("hard_prune", "deferred")
        wait_for(lambda: deleting(case), RUN_SECONDS, pause_seconds=0.1)
        bench.airflow.lose("triggerer")
        bench.airflow.start("triggerer")
        assert_pruned(case)
        assert deletes(case) == 1


def test_redis_may_be_restarted_in_the_window(bench: Bench) -> None:
    with bench.case("redis") as case:
        slow_delete(case, 10)
        case.trigger(**WITHOUT_CHECKS)
        wait_for(lambda: deleting(case), RUN_SECONDS, pause_seconds=0.1)
        bench.services.restart_redis()
        assert_pruned(case)
        assert deletes(case) == 1


def test_what_does_not_fit_into_the_window_is_a_slice(bench: Bench) -> None:
    with bench.case("slice") as case:
        slow_delete(case, 600)
        case.trigger(**WITHOUT_CHECKS)
        assert case.state() == "success", case.problems()
        report = case.result("report")
        assert report["outcome"] == "slice"
        assert 0 < report["deleted_blobs"] < ORPHANS
        verified = case.sandbox.verify()
        assert verified.ok, verified.problems
        assert case.sandbox.pruners_alive() == 0


def test_a_person_approves_over_rest(bench: Bench) -> None:
    with bench.case("approval") as case:
        case.trigger(**WITHOUT_CHECKS)
        wait_for(lambda: bool(case.api.questions(case.dag_id)), RUN_SECONDS)
        (question,) = case.api.questions(case.dag_id)
        assert f"{ORPHANS} blobs" in question["body"]
        case.api.answer(question, "Approve")
        assert_pruned(case)


def test_exactly_the_list_is_deleted_by_a_pod_of_its_own(bench: Bench) -> None:
    with bench.case("list") as case:
        case.trigger(delete_by="list", **WITHOUT_CHECKS)
        assert_pruned(case)
        assert deletes(case) == 0
