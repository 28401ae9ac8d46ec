"""What is said of a run's images."""

from __future__ import annotations

from benchmarks.read_only.measurement import torn_images


def test_an_image_counts_as_torn_once_however_many_blobs_it_lacks() -> None:
    lacks = "blob sha256:{}: it is missing in the storage; it is the {} of registry:5000/pushes/app-1@sha256:{}"
    problems = [
        lacks.format("1" * 64, "config", "a" * 64),
        lacks.format("2" * 64, "manifest", "a" * 64),
        lacks.format("3" * 64, "layer", "b" * 64),
        "clusterrolebindings.rbac.authorization.k8s.io/x: it is new",
    ]
    assert torn_images(problems) == {f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"}
