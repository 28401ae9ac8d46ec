"""A pod with a deadline of its own: ended by its node, gracefully, and its object and log stay."""

from __future__ import annotations

import time
from pathlib import Path

from kubernetes import client, config

from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox

NAMESPACE = "openshift-image-registry"


def test_a_pod_past_its_deadline_is_asked_to_end_and_called_failed(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox", SandboxSettings.quick(replicas=1)) as sandbox:
        core = client.CoreV1Api(config.new_client_from_config(str(sandbox.kubeconfig)))
        script = "trap 'echo asked; exit 3' TERM; echo begun; while true; do sleep 0.1; done"
        pod = {
            "metadata": {"name": "limited"},
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": 1,
                "terminationGracePeriodSeconds": 20,
                "containers": [{"name": "work", "image": "any", "command": ["/bin/sh", "-c", script]}],
            },
        }
        core.create_namespaced_pod(NAMESPACE, pod)
        while (status := core.read_namespaced_pod("limited", NAMESPACE).status).phase not in ("Succeeded", "Failed"):
            time.sleep(0.05)
        assert (status.phase, status.reason) == ("Failed", "DeadlineExceeded")
        assert status.container_statuses[0].state.terminated.exit_code == 3
        log = core.read_namespaced_pod_log("limited", NAMESPACE, _preload_content=False).data
        assert log.split() == [b"begun", b"asked"]
