"""Whole runs with ``delete_by: list``: exactly the judged list goes, it is kept, and it can be put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from dags.registry_undo import build_undo
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.exact_pod import deletion
from include.registry_prune.exact_pod.hand_over import hand_over
from include.registry_prune.pruner.exact_delete_pod import exact_pod
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE
from include.registry_prune.tasks.after_window import RestoreReadWrite
from include.registry_prune.window.config_lease import remove_lease
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.seed.inventory import SeedInventory
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.conftest import IMAGES, ORPHANS, PROJECT
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, connection, run_dag, run_to_its_end
from tests.registry_prune.window.test_opening import armed

pytestmark = pytest.mark.usefixtures("airflow_database")

BY_LIST = {"small_image": "registry.test/registry-prune-small:1"}


@pytest.fixture(params=["pvc"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    settings = SandboxSettings.quick(replicas=2, storage=request.param, real_registry=False)
    with Sandbox(tmp_path / "sandbox", settings) as running:
        running.create_objects(PROJECT / "deploy" / "exact-delete-rbac.yaml")
        running.seed(SeedPlan(images=IMAGES, orphans=ORPHANS))
        yield running


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))
    clusters = tmp_path / "clusters.yaml"
    clusters.write_text(f"default: {{small_image: {BY_LIST['small_image']}}}\n", encoding="utf-8")
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(clusters))


def by_list(caplog: Any, folder: Path, **settings: Any) -> Ended:
    conf = {"min_blobs": 10, "base_prune": False, "delete_by": "list"}
    return run_dag(caplog, conf=conf, artifacts=folder.as_uri(), **BY_LIST, **settings)


def undo(caplog: Any, folder: Path, run_id: str) -> Ended:
    """Runs registry_undo to its end."""
    dag = build_undo(ClusterSettings.from_mapping("default", {"artifacts": folder.as_uri(), **BY_LIST}))
    return run_to_its_end(dag, caplog, {"run": run_id})


def orphans(sandbox: Sandbox) -> set[str]:
    return sandbox.stored_digests() - SeedInventory.read(sandbox.state).needed


def lines(run: Ended) -> dict[str, str]:
    return dict(run.report["lines"])


@pytest.mark.parametrize("sandbox", ["pvc", "s3"], indirect=True)
def test_exactly_the_list_is_deleted_and_by_default_removed_once_every_image_was_seen_whole(
    sandbox: Sandbox, cluster: Cluster, caplog: Any, tmp_path: Path
) -> None:
    """The bucket has no versions: it keeps nothing that could be removed later."""
    before, listed = sandbox.stored_digests(), orphans(sandbox)
    run = by_list(caplog, tmp_path)
    assert run.state == "success", run.errors
    assert sandbox.stored_digests() == before - listed
    verified = sandbox.verify()
    assert (verified.problems, verified.orphans_left) == ((), 0)
    report = run.report
    assert (report["outcome"], report["deleted_by"], report["deleted_blobs"]) == ("pruned", "list", len(listed))
    reconciled = report["reconciliation"]
    assert (reconciled["candidates"], reconciled["deleted"], reconciled["unlisted"]) == (len(listed), len(listed), 0)
    assert exact_pod(cluster) is None
    assert len(list(tmp_path.rglob("hard_prune-progress.json"))) == 1, "the page shows how far the delete is"
    assert [line for line in sandbox.pruner_journal() if line["event"] == "start" and line["mode"] == "delete"] == []
    if run.results["verify_access"]["storage"] != "s3":
        assert_removed_for_good(run, caplog, tmp_path)


def assert_removed_for_good(run: Ended, caplog: Any, folder: Path) -> None:
    """The run removed all that it had kept, and an undo is refused."""
    removal = run.results["remove_deleted"]
    assert removal["blobs"] == run.report["deleted_blobs"]
    assert removal["freed_bytes"] > 0
    assert "removed for good" in lines(run)["kept"]
    undone = undo(caplog, folder, run.report["run_id"])
    assert undone.state == "failed"
    assert "it cannot be undone" in undone.errors["put_back"]


def test_what_is_kept_is_put_back_byte_for_byte_and_twice_but_not_for_an_unknown_run_or_in_a_window(
    sandbox: Sandbox, cluster: Cluster, caplog: Any, tmp_path: Path
) -> None:
    before = sandbox.stored_digests()
    run = by_list(caplog, tmp_path, keep_deleted="168h")
    assert run.report["kept_until"] is not None
    assert "registry_undo" in lines(run)["kept"]
    after = sandbox.stored_digests()
    assert after < before
    unknown = undo(caplog, tmp_path, "nonsense")
    assert unknown.state == "failed"
    assert f"There are: {run.report['run_id']}" in unknown.errors["put_back"]
    assert sandbox.stored_digests() == after
    lease = armed(cluster)
    refused = undo(caplog, tmp_path, run.report["run_id"])
    assert refused.state == "failed"
    assert "holds the read-only window" in refused.errors["put_back"]
    assert sandbox.stored_digests() == after
    remove_lease(cluster, lease)
    cluster.suspend_image_pruner(False)
    deleted = run.report["deleted_blobs"]
    for put_back in (deleted, 0):
        undone = undo(caplog, tmp_path, run.report["run_id"])
        assert undone.state == "success", undone.errors
        result = undone.results["put_back"]
        assert (result["put_back"], result["there"]) == (put_back, deleted - put_back)
        assert sandbox.stored_digests() == before
    assert sandbox.verify().problems == ()


def test_what_no_run_saw_to_be_needless_is_kept_a_week(sandbox: Sandbox, caplog: Any, tmp_path: Path) -> None:
    run = run_dag(
        caplog,
        conf={"min_blobs": 10, "base_prune": False, "delete_by": "list", "integrity_check": False},
        artifacts=tmp_path.as_uri(),
        **BY_LIST,
    )
    assert run.state == "success", run.errors
    removal = run.results["remove_deleted"]
    assert removal["names"] == []
    assert removal["kept"][0]["blobs"] == run.report["deleted_blobs"]


Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def before_the_list_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    def order(change: Callable[[], object]) -> None:
        real = hand_over

        def changed(*arguments: Any, **named: Any) -> None:
            change()
            real(*arguments, **named)

        monkeypatch.setattr(deletion, "hand_over", changed)

    return order


def make_image(admin: client.ApiClient, layer: str) -> None:
    image = {
        "apiVersion": "image.openshift.io/v1",
        "kind": "Image",
        "metadata": {"name": f"sha256:{'c' * 64}"},
        "dockerImageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "dockerImageLayers": [{"name": layer, "size": 1}],
        "dockerImageMetadata": {"Id": layer},
    }
    client.CustomObjectsApi(admin).create_cluster_custom_object("image.openshift.io", "v1", "images", image)


def test_what_an_image_comes_to_name_while_the_pod_is_at_work_is_not_lost(
    sandbox: Sandbox,
    admin: client.ApiClient,
    before_the_list_is_handed_over: Meanwhile,
    caplog: Any,
    tmp_path: Path,
) -> None:
    """Whether the delete is ended by it or goes on: nothing is missing at the end."""
    layer = min(orphans(sandbox))
    before_the_list_is_handed_over(lambda: make_image(admin, layer))
    run = by_list(caplog, tmp_path, keep_deleted="168h")
    assert layer in sandbox.stored_digests(), run.log
    assert sandbox.verify().problems == ()


@pytest.mark.parametrize("sandbox", ["pvc", "s3"], indirect=True)
def test_what_an_image_comes_to_name_right_after_the_delete_is_put_back_or_the_loudest_alert(
    sandbox: Sandbox, admin: client.ApiClient, monkeypatch: pytest.MonkeyPatch, caplog: Any, tmp_path: Path
) -> None:
    """No watch is at work any more, and pushes are not taken yet: an import needs no push."""
    layer = min(orphans(sandbox))
    restore = RestoreReadWrite.work

    def work(self: RestoreReadWrite, run: Any) -> Any:
        make_image(admin, layer)
        return restore(self, run)

    monkeypatch.setattr(RestoreReadWrite, "work", work)
    run = by_list(caplog, tmp_path)
    if run.results["verify_access"]["storage"] == "s3":
        assert run.state == "failed"
        assert "BLOBS THAT IMAGES NAME WERE DELETED: 1" in run.errors["reconcile"]
        assert layer in run.errors["reconcile"]
    else:
        assert run.results["reconcile"]["put_back"] == 1
        assert layer in sandbox.stored_digests()
        assert sandbox.verify().problems == ()
