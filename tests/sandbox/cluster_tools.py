"""What the tests of the whole sandbox have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config

from sandbox.base.names import NAMESPACE
from sandbox.base.proc_files import pod_processes
from sandbox.cluster import Sandbox

Result = TypeVar("Result")

CONFIG = "configs.imageregistry.operator.openshift.io/cluster"
COMMAND_SECONDS = 120.0


def eventually(look: Callable[[], Result], told: str, seconds: float = 60.0) -> Result:
    """What ``look`` returns as soon as that is true; fails the test when it does not become so."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {told}"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Kubectl:
    """The real kubectl, working in the registry's namespace."""

    kubeconfig: Path

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """kubectl while it runs; it does not outlive the with block."""
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "kubectl"), "--namespace", NAMESPACE, *arguments],
            env={
                "HOME": str(self.kubeconfig.parent),
                "KUBECONFIG": str(self.kubeconfig),
                "PATH": os.defpath,
                "KUBECACHEDIR": str(self.kubeconfig.parent / "kubectl-cache"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(stdin, COMMAND_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def patch_config(self, **spec: Any) -> str:
        return self("patch", CONFIG, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def shell(self, pod: str, script: str) -> str:
        return self("exec", pod, "--", "/bin/sh", "-c", script)


def create_job(kubectl: Kubectl, script: str, name: str = "work", **spec: object) -> None:
    pod_spec = {"restartPolicy": spec.pop("restartPolicy", "Never"), "terminationGracePeriodSeconds": 1}
    container = {"name": "main", "image": "image", "command": ["/bin/sh", "-c", script]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, **spec, "template": {"spec": {**pod_spec, "containers": [container]}}},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(job))


def wait_for_job(kubectl: Kubectl, kind: str, name: str = "work") -> None:
    kubectl("wait", f"--for=condition={kind}", f"job/{name}", "--timeout=90s")


def api_client(sandbox: Sandbox) -> client.ApiClient:
    return config.new_client_from_config(str(sandbox.kubeconfig))


def names(pods: list[dict[str, Any]]) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods]


def condition(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    found = [entry for entry in obj.get("status", {}).get("conditions") or [] if entry["type"] == kind]
    return found[0] if found else {}


def wait_for_commands(sandbox: Sandbox, *commands: str) -> None:
    """Return when all of these commands run in pods: one that was just started is still the shell that starts it."""
    eventually(lambda: set(commands) <= set(commands_in_pods(sandbox)), f"these run in pods: {', '.join(commands)}")


def commands_in_pods(sandbox: Sandbox) -> list[str]:
    """Command lines of everything that runs in the sandbox's pods."""
    found = []
    for pid in pod_processes(sandbox.state.root):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found.append(b" ".join(words).decode().strip())
    return found
