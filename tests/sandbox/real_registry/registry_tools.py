"""What the tests of serving registry pods have in common."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.base.names import NAMESPACE
from sandbox.cluster import Sandbox
from sandbox.real_registry.pusher import SmallImage, push
from sandbox.registry.storage import media_types
from sandbox.registry.storage.digests import digest_of
from tests.sandbox.cluster_tools import Kubectl, eventually

IMAGES = "images.image.openshift.io"
IMAGE_STREAMS = "imagestreams.image.openshift.io"

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="docker-registry is not installed (apt-get install docker-registry)"
)
needs_skopeo = pytest.mark.skipif(
    shutil.which("skopeo") is None, reason="skopeo is not installed (apt-get install skopeo)"
)


def kubectl(sandbox: Sandbox, *words: str) -> str:
    return Kubectl(sandbox.kubeconfig)(*words)


def grant(sandbox: Sandbox) -> None:
    """Let the registry's pods prune."""
    role, account = "--clusterrole=system:image-pruner", f"--serviceaccount={NAMESPACE}:registry"
    kubectl(sandbox, "create", "clusterrolebinding", "grant", role, account)


def revoke(sandbox: Sandbox) -> None:
    kubectl(sandbox, "delete", "clusterrolebinding", "grant")


def hard_prune(sandbox: Sandbox, pod: str) -> str:
    return kubectl(sandbox, "exec", pod, "--", "/usr/bin/dockerregistry", "-prune=delete")


def pushed(sandbox: Sandbox, address: str, repository: str, tag: str) -> SmallImage:
    """A new image in the registry, known to the cluster."""
    image = SmallImage.make()
    assert push(address, repository, tag, image) == 201
    eventually(lambda: has_image(sandbox, image.digest), "the cluster knows the image")
    return image


def pushed_list(sandbox: Sandbox, address: str, repository: str, tag: str) -> str:
    """A new image of two architectures, known to the cluster; its digest."""
    children = [SmallImage.make(), SmallImage.make()]
    for child in children:
        assert push(address, repository, child.digest, child) == 201
    manifests = [
        {
            "mediaType": media_types.DOCKER_MANIFEST,
            "size": len(child.manifest),
            "digest": child.digest,
            "platform": {"architecture": architecture, "os": "linux"},
        }
        for child, architecture in zip(children, ("amd64", "arm64"), strict=True)
    ]
    content = json.dumps(
        {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST_LIST, "manifests": manifests}
    ).encode()
    place = f"/v2/{repository}/manifests/{tag}"
    assert ask(address, "PUT", place, content, {"Content-Type": media_types.DOCKER_MANIFEST_LIST}) == 201
    digest = digest_of(content)
    eventually(lambda: has_image(sandbox, digest), "the cluster knows the list")
    return digest


def has_image(sandbox: Sandbox, digest: str) -> bool:
    return any(image["metadata"]["name"] == digest for image in sandbox.list_objects(IMAGES))


def revisions(sandbox: Sandbox, repository: str) -> dict[str, list[str]]:
    """Tags of an image stream and the digests of their revisions, the newest first."""
    namespace, _, name = repository.partition("/")
    tags = sandbox.get_object(IMAGE_STREAMS, name, namespace)["status"]["tags"]
    return {tag["tag"]: [item["image"] for item in tag["items"]] for tag in tags}


def ask(address: str, method: str, place: str, content: bytes = b"", headers: dict[str, str] | None = None) -> int:
    """Status of a registry's answer."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, place, content, headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def has_layer(address: str, repository: str, digest: str) -> int:
    return ask(address, "HEAD", f"/v2/{repository}/blobs/{digest}")


class Skopeo:
    """The real skopeo, over plain HTTP.

    :param home: where it looks for settings.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["skopeo", "--insecure-policy", "--tmpdir", str(self._home), *words],
            env={"HOME": str(self._home), "PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"skopeo {' '.join(words)}: {done.stderr}"
        return done.stdout

    def copy(self, source: str, target: str, *options: str) -> None:
        self("copy", "--src-tls-verify=false", "--dest-tls-verify=false", *options, source, target)

    def pull(self, reference: str, target: Path) -> None:
        """Pull an image with all its architectures; skopeo checks every digest."""
        self.copy(f"docker://{reference}", f"dir:{target}", "--all")

    def inspect(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("inspect", "--tls-verify=false", f"docker://{reference}"))
        return found
