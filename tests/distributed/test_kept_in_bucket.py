"""Reports and lists in a bucket, through Airflow's own library for it: kept, read back, downloaded, removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.lists.artifacts import artifact_path, list_writer
from include.registry_prune.lists.old_lists import remove_old_lists
from include.registry_prune.page.downloads import lists_of, open_list
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.report.kept_reports import (
    KeptReports,
    keep_report,
    kept_report,
    kept_reports,
    remove_reports,
)
from include.registry_prune.report.report import Outcome, RunReport
from sandbox.object_storage.server import ObjectStorageServer
from tests.distributed.distributed_cases import BUCKET, bucket_client, bucket_connection

pytestmark = pytest.mark.distributed
DAG_ID = "registry_prune"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACE = f"s3://bucket@{BUCKET}/lists"
DAMAGED = f"lists/reports/{DAG_ID}/20260102T120000Z-damaged.json"
DIGESTS = [f"sha256:{number:064x}" for number in range(1_000)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """A bucket, and the Airflow connection to it. One for the module: Airflow keeps a connection for good."""
    with ObjectStorageServer() as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_BUCKET", bucket_connection(server))
        client = bucket_client(server)
        client.create_bucket(Bucket=BUCKET)
        yield client


def report(day: int, **changes: Any) -> RunReport:
    due = NOON + timedelta(days=day)
    facts = {"run_id": f"scheduled__{due.isoformat()}", "dag_id": DAG_ID, "run_after": due, "cluster": "berlin"}
    return RunReport(**{"outcome": Outcome.PRUNED, **facts, **changes})


def test_reports_are_kept_in_their_order_a_damaged_one_is_named_and_old_ones_are_removed(bucket: Any) -> None:
    assert kept_reports(PLACE, DAG_ID, newest=20) == KeptReports()
    for day in (2, 0, 3):
        keep_report(report(day, outcome=Outcome.FAILED), PLACE)
        keep_report(report(day), PLACE)
    keep_report(report(1, dag_id="registry_prune_hamburg"), PLACE)
    bucket.put_object(Bucket=BUCKET, Key=DAMAGED, Body=b'{"version": 3, "run_id"')
    kept = kept_reports(PLACE, DAG_ID, newest=20)
    assert kept.reports == (report(3), report(2), report(0))
    (damaged,) = kept.damaged
    assert DAMAGED in damaged
    assert "it is no JSON" in damaged
    assert kept_reports(PLACE, DAG_ID, newest=1).reports == (report(3),)
    assert kept_report(PLACE, DAG_ID, report(2).run_id).reports == (report(2),)
    assert remove_reports(PLACE, DAG_ID, before=NOON + timedelta(days=3)) == 3
    assert kept_reports(PLACE, DAG_ID, newest=20) == KeptReports((report(3),))
    assert len(kept_reports(PLACE, "registry_prune_hamburg", newest=20).reports) == 1


def test_a_list_is_downloaded_whole_and_removed_when_it_is_old(bucket: Any) -> None:
    run_id = report(0).run_id
    for dag_id in (DAG_ID, "registry_prune_hamburg"):
        with list_writer(artifact_path(PLACE, dag_id=dag_id, run_id=run_id, task_id="survey"), {}) as writer:
            for digest in DIGESTS:
                writer.add(LineKind.BLOB, digest)
    (found,) = lists_of(PLACE, DAG_ID, run_id)
    assert (found.name, found.counts[LineKind.BLOB], found.problem) == ("survey-candidates", len(DIGESTS), "")
    text = b"".join(open_list(PLACE, DAG_ID, run_id, found.name)).decode()
    assert [line.split()[1] for line in text.splitlines() if line.startswith("blob ")] == DIGESTS
    assert remove_old_lists(PLACE, DAG_ID, before=datetime.now(UTC) - timedelta(hours=1)) == 0
    assert remove_old_lists(PLACE, DAG_ID, before=datetime.now(UTC) + timedelta(hours=1)) == 1
    assert lists_of(PLACE, DAG_ID, run_id) == []
    assert len(lists_of(PLACE, "registry_prune_hamburg", run_id)) == 1
