"""What the registry's storage is, and whether it can be pruned."""

from __future__ import annotations

from typing import Any

import pytest

from include.registry_prune.preflight.storage import review_storage


def config(status: Any, spec: Any = None) -> dict[str, Any]:
    return {"spec": {"storage": spec}, "status": {"storage": status}}


def deployment(**source: Any) -> dict[str, Any]:
    volumes = [{"name": "registry-tls", "projected": {}}, {"name": "registry-storage", **source}]
    return {"spec": {"template": {"spec": {"volumes": volumes}}}}


CLAIM = {"persistentVolumeClaim": {"claimName": "image-registry-storage"}}


@pytest.mark.parametrize(
    ("driver", "status"),
    [
        ("pvc", {"pvc": {"claim": "image-registry-storage"}}),
        ("s3", {"managementState": "Managed", "s3": {"bucket": "b", "region": "eu-central-1"}}),
        ("gcs", {"gcs": {"bucket": "b"}}),
        ("azure", {"azure": {"container": "c"}}),
        ("ibmcos", {"ibmcos": {"bucket": "b"}}),
    ],
)
def test_lasting_storage_is_fine(driver: str, status: dict[str, Any]) -> None:
    assert review_storage(config(status), deployment(**CLAIM)) == (driver, (), ())


@pytest.mark.parametrize(
    ("seen", "template"),
    [
        (config({"emptyDir": {}}, {"emptyDir": {}}), deployment(emptyDir={})),
        (config({}, {"emptyDir": {}}), deployment(**CLAIM)),
        # Somebody has set the operator aside and mounted one.
        (config({"pvc": {"claim": "c"}}), deployment(emptyDir={"sizeLimit": "1Gi"})),
    ],
)
def test_an_empty_dir_is_a_stop(seen: dict[str, Any], template: dict[str, Any]) -> None:
    review = review_storage(seen, template)
    assert review.driver == "emptyDir"
    assert "every pod has its own" in review.problems[0]
    assert "Configure lasting storage" in review.problems[0]


@pytest.mark.parametrize("storage", [None, {}, {"managementState": "Unmanaged"}, {"pvc": None}])
def test_no_storage_is_a_stop(storage: Any) -> None:
    review = review_storage(config(storage, storage), None)
    assert review.problems == (
        "Config cluster: no storage is configured, so there is nothing to prune: set spec.storage.",
    )


def test_a_config_without_a_status_is_taken_by_its_spec() -> None:
    assert review_storage({"spec": {"storage": {"pvc": {}}}}, None).driver == "pvc"
    assert review_storage({}, None).driver == ""


def test_a_storage_that_is_being_changed_is_a_stop() -> None:
    review = review_storage(config({"pvc": {"claim": "c"}}, {"s3": {"bucket": "b"}}), deployment(**CLAIM))
    assert "changing the storage from pvc to s3" in review.problems[0]


def test_an_eventually_consistent_store_is_said_and_stops_nothing() -> None:
    swift = review_storage(config({"swift": {"container": "c"}}), deployment(**CLAIM))
    assert (swift.driver, swift.problems) == ("swift", ())
    assert "eventually consistent" in swift.notes[0]


def test_an_s3_of_another_make_is_said() -> None:
    other = review_storage(config({"s3": {"bucket": "b", "regionEndpoint": "https://ceph.test"}}), None)
    assert (other.driver, other.problems) == ("s3", ())
    assert "https://ceph.test" in other.notes[0]
