"""The commands of docs/on-call.md, as they stand there, against the sandbox."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.pod_exec import run_in_pod
from include.registry_prune.deletion.detached_delete import start_command
from include.registry_prune.names import EXACT_DELETE_POD, NAMESPACE
from include.registry_prune.window.opening import begin_attempt, require_open_window
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.deletion.detached_pod import wait_for, wait_until_deleted
from tests.registry_prune.documented import blocks, run_as_typed
from tests.registry_prune.window.test_guard import HOLDER, assert_as_before, leave_window_open

Shell = Callable[[str], str]


def commands(heading: str) -> str:
    """The first block of commands below a heading of the page."""
    return blocks("docs/on-call.md", heading)[0]


@pytest.fixture
def shell(sandbox: Sandbox) -> Shell:
    """Runs commands as an administrator types them; a failure fails the test with what they printed."""
    return partial(run_as_typed, kubeconfig=sandbox.kubeconfig)


@pytest.fixture
def delete_at_work(seeded: Sandbox, cluster: Cluster) -> str:
    """A window whose run is gone while its delete goes on in a pod; returns what the delete is called there."""
    leave_window_open(cluster)
    seeded.order_pruner(PrunerFaults(seconds_per_deletion=1))
    _, state = require_open_window(cluster, holder=HOLDER)
    attempt = begin_attempt(cluster, holder=HOLDER, pod=state.ready_pods()[0])
    command = start_command(attempt.name, HOLDER.run, 1 << 20)
    assert run_in_pod(cluster, attempt.pod, command, lambda *_: None, limit_seconds=300).exit_status == 0
    wait_until_deleted(seeded, 1)
    return f"{attempt.pod} {attempt.name}"


def test_a_window_with_a_delete_in_it_is_closed_by_hand(
    seeded: Sandbox, cluster: Cluster, delete_at_work: str, shell: Shell
) -> None:
    names, *steps = re.split(r"(?=^# \d\. )", commands("Close a window by hand"), flags=re.MULTILINE)
    assert seeded.pruners_alive() == 1
    shell(f"oc run {EXACT_DELETE_POD} -n {NAMESPACE} --image=small --restart=Never")
    assert f'"holder":"{HOLDER.run}"' in shell(names + steps[0])
    assert seeded.pruners_alive() == 0, "no pruner may live when pushes are taken again"
    assert shell(f"oc get pod {EXACT_DELETE_POD} -n {NAMESPACE} --ignore-not-found") == ""
    assert cluster.registry_state().read_only
    shell(names + "".join(steps[1:]))
    look = next(line for line in steps[4].splitlines() if line.startswith("oc get pods"))
    wait_for(lambda: "{enabled: true}" not in shell(look))
    assert_as_before(seeded)


def test_the_commands_to_look_show_lease_pods_and_pruner(delete_at_work: str, shell: Shell) -> None:
    seen = shell(commands("First look"))
    assert "readOnly: true" in seen
    assert f'"holder":"{HOLDER.run}"' in seen
    assert "ImagePruner suspended: true" in seen
    assert seen.count("{enabled: true}") == 2
    variables = commands("First look").split("\n\n")[0]
    doing = re.sub("^(POD|NAME)=.*$", "", commands("What the run is doing"), flags=re.MULTILINE)
    pod, name = delete_at_work.split()
    said = shell(f"{variables}\nPOD={pod}\nNAME={name}\n{doing}")
    assert "dockerregistry -prune=delete" in said
    assert "Deleting blob: " in said
