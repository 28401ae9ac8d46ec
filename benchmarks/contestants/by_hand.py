"""The documented procedure step by step with ``kubectl``, as a script, and the limit: the same with nothing between."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psutil
from kubernetes import client, config
from kubernetes.stream import stream

from benchmarks.contestants.contestant import MIN_BLOBS, Arena, Kubectl
from sandbox.assembly.credentials import ADMINISTRATOR
from sandbox.base.names import NAMESPACE, READ_ONLY_VARIABLE

_CONFIG = "configs.imageregistry.operator.openshift.io/cluster"
_ROLLOUT_SECONDS = 600.0
_WOULD_DELETE = re.compile(r"^Would delete (\d+) blobs$", re.MULTILINE)


class DocumentedProcedure:
    """Section 14.7 of OpenShift's documentation, each command as soon as the one before it has ended.

    :param careful: wait until the operator has changed the Deployment before each ``rollout status``. Asked right
        after the patch, ``rollout status`` tells of the rollout before.
    """

    user = ADMINISTRATOR

    def __init__(self, *, careful: bool) -> None:
        self.careful = careful
        self.name = "kubectl, careful" if careful else "kubectl, as documented"

    @contextmanager
    def ready(self, arena: Arena) -> Iterator[None]:
        """Nothing but kubectl's cache of what the API server offers."""
        self._arena = arena
        self._kubectl = Kubectl(arena)
        self._kubectl("api-resources")
        try:
            yield
        finally:
            self._kubectl.revoke_role()

    def prune(self) -> None:
        """Steps 3 to 7; step 2, the base prune, is left out for all contestants."""
        self._set_read_only(True)
        self._kubectl.grant_role()
        check = self._pruner("check")
        found = _WOULD_DELETE.search(check)
        if found is None:
            raise RuntimeError(f"the dry run says nothing of blobs: {check}")
        if int(found[1]) >= MIN_BLOBS:
            self._pruner("delete")
        self._set_read_only(False)
        self._arena.observer.wait_for(lambda window: window.closed_at, _ROLLOUT_SECONDS)

    def processes(self) -> Iterable[psutil.Process]:
        """Not measured."""
        return ()

    def _set_read_only(self, read_only: bool) -> None:
        value = str(read_only).lower()
        self._kubectl("patch", _CONFIG, "--type=merge", "-p", f'{{"spec":{{"readOnly":{value}}}}}')
        if self.careful:
            self._wait_for_template(read_only)
        self._kubectl("rollout", "status", "deployment/image-registry", f"--timeout={_ROLLOUT_SECONDS:.0f}s")

    def _wait_for_template(self, read_only: bool) -> None:
        query = "jsonpath={.spec.template.spec.containers[*].env[*].name}"
        deadline = time.monotonic() + _ROLLOUT_SECONDS
        while (READ_ONLY_VARIABLE in self._kubectl("get", "deployment/image-registry", "-o", query)) is not read_only:
            if time.monotonic() > deadline:
                raise TimeoutError("the operator did not change the Deployment")

    def _pruner(self, mode: str) -> str:
        """What the pruner says; it may take another pod, where the rollout takes the first one away."""
        command = f"/usr/bin/dockerregistry -prune={mode}"
        errors = self._arena.folder / f"kubectl-{mode}.log"
        for last in (False, False, True):
            pod = self._kubectl.running_pod()
            try:
                return self._kubectl("exec", f"pod/{pod}", "--", "/bin/sh", "-c", command, errors=errors)
            except subprocess.CalledProcessError:
                if last:
                    raise
        raise AssertionError


class Limit:
    """Rollout, delete, rollout, with nothing between: what a read-only time cannot be shorter than.

    The sandbox itself says at the moment it is so that the registry has settled; nobody polls or watches. On a quiet
    day nothing is done.
    """

    name = "limit"
    user = ADMINISTRATOR

    @contextmanager
    def ready(self, arena: Arena) -> Iterator[None]:
        """The role is there, and it is known whether there is something to prune."""
        self._arena = arena
        self._worth_it = arena.orphans >= MIN_BLOBS
        kubectl = Kubectl(arena)
        kubectl.grant_role()
        try:
            yield
        finally:
            kubectl.revoke_role()

    def prune(self) -> None:
        """Patch, delete, patch."""
        if not self._worth_it:
            return
        sandbox, observer = self._arena.sandbox, self._arena.observer
        api = client.CoreV1Api(config.new_client_from_config(str(sandbox.kubeconfig)))
        sandbox.configure_registry(readOnly=True)
        observer.wait_for(lambda window: window.settled_at and not window.closed_at, _ROLLOUT_SECONDS)
        self._delete(api, sandbox.registry_pods()[0]["metadata"]["name"])
        sandbox.configure_registry(readOnly=False)
        observer.wait_for(lambda window: window.closed_at, _ROLLOUT_SECONDS)

    def processes(self) -> Iterable[psutil.Process]:
        """Not measured."""
        return ()

    @staticmethod
    def _delete(api: client.CoreV1Api, pod: str) -> None:
        connection = stream(
            api.connect_get_namespaced_pod_exec,
            pod,
            NAMESPACE,
            container="registry",
            # No list: nothing is done with it.
            command=["/bin/sh", "-c", "REGISTRY_LOG_LEVEL=error exec /usr/bin/dockerregistry -prune=delete"],
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        connection.run_forever()
        if connection.returncode != 0:
            raise RuntimeError(f"the delete ended with {connection.returncode}: {connection.read_all()}")
