"""What the small image is asked to do outside of a delete, to its end, whatever becomes of the hand-over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.exec_channels import ExecEnd
from include.registry_prune.cluster.pod_exec import feed_pod
from include.registry_prune.exact_pod import hand_over
from include.registry_prune.exact_pod.errand import Done, end_leftover, make_way, run_errand
from include.registry_prune.exact_pod.pod import ExactPodError, Follower, make_pod
from include.registry_prune.pruner.exact_delete_pod import exact_pod
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.conftest import PROJECT, kubectl
from tests.registry_prune.exact_pod.test_pod import orphans, packed

IMAGE = "registry.test/registry-prune-small:1"
RUN = "registry_prune/run"
KILLED = ExecEnd(137, "exit status 137")
"""What a command in a container answers whose main process has ended."""
Feed = Callable[..., tuple[ExecEnd, str]]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    settings = SandboxSettings.quick(replicas=1, storage="pvc", real_registry=False)
    with Sandbox(tmp_path / "sandbox", settings) as running:
        running.seed(SeedPlan(images=5, orphans=40))
        kubectl(running.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "exact-delete-rbac.yaml"))
        yield running


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Feed], Feed]], None]:
    """Replaces the exec that hands the list over by what is made of it."""

    def replace(change: Callable[[Feed], Feed]) -> None:
        monkeypatch.setattr(hand_over, "feed_pod", change(feed_pod))

    return replace


def undo(cluster: Cluster, digests: list[str]) -> Done:
    seal, content = packed(digests)
    return run_errand(
        cluster,
        "undo",
        image=IMAGE,
        window=RUN,
        limit_seconds=60,
        kept_as="nothing-kept",
        seal=seal,
        blocks=lambda: [content],
    )


def test_a_pod_that_is_done_before_it_can_say_that_it_took_its_list_is_done(
    sandbox: Sandbox, cluster: Cluster, feed: Any
) -> None:
    def killed_by_the_end_of_the_pod(real: Feed) -> Feed:
        def feeding(*arguments: Any, **named: Any) -> tuple[ExecEnd, str]:
            _, printed = real(*arguments, **named)
            there = exact_pod(cluster)
            assert there is not None
            assert Follower(cluster, there.uid, lambda event: None).follow(limit_seconds=60) is not None
            return KILLED, printed

        return feeding

    feed(killed_by_the_end_of_the_pod)
    done = undo(cluster, orphans(sandbox))
    assert done.end.complete, done.end.text()
    assert exact_pod(cluster) is None


def test_a_list_whose_hand_over_was_killed_is_handed_over_again(sandbox: Sandbox, cluster: Cluster, feed: Any) -> None:
    killed: list[bool] = []

    def killed_once(real: Feed) -> Feed:
        def feeding(*arguments: Any, **named: Any) -> tuple[ExecEnd, str]:
            if not killed:
                killed.append(True)
                return KILLED, ""
            return real(*arguments, **named)

        return feeding

    feed(killed_once)
    done = undo(cluster, orphans(sandbox))
    assert killed
    assert done.end.complete, done.end.text()


def test_the_pod_of_an_earlier_try_is_ended_and_that_of_another_run_is_not(sandbox: Sandbox, cluster: Cluster) -> None:
    make_pod(
        cluster,
        image=IMAGE,
        purpose="undo",
        window=RUN,
        kept_as="nothing-kept",
        seal=packed([])[0],
        deadline_seconds=300,
    )
    end_leftover(cluster, "registry_prune/another")
    with pytest.raises(ExactPodError, match="never more than one"):
        undo(cluster, [])
    make_way(cluster, RUN)
    assert exact_pod(cluster) is None
    assert undo(cluster, orphans(sandbox)).end.complete
