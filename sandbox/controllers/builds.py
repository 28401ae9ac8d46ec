"""Builds as the API has them."""

from __future__ import annotations

from typing import Any

from sandbox.registry.objects import REGISTRY_HOST

BUILDS = "builds.build.openshift.io"
SECONDS_ANNOTATION = "sandbox/build-seconds"
"""How long a build runs before it pushes."""


def build_object(namespace: str, name: str, output: str, seconds: float) -> dict[str, Any]:
    """A build that is about to be started.

    :param output: ``NAMESPACE/NAME:TAG`` for an image stream tag, ``HOST/…`` for a registry elsewhere, or empty for a
        build that pushes nothing.
    :param seconds: until its push.
    :raises ValueError: the output is none of these.
    """
    return {
        "apiVersion": "build.openshift.io/v1",
        "kind": "Build",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {SECONDS_ANNOTATION: f"{seconds:g}"},
            "labels": {"openshift.io/build.start-policy": "Serial"},
        },
        "spec": {
            "serviceAccount": "builder",
            "source": {"type": "Git", "git": {"uri": f"https://git.example.com/{namespace}/{name}.git"}},
            "strategy": {"type": "Docker", "dockerStrategy": {}},
            "output": _output(output),
            "triggeredBy": [{"message": "Manually triggered"}],
        },
        "status": {"phase": "New"},
    }


def internal_target(build: dict[str, Any]) -> tuple[str, str] | None:
    """``NAMESPACE/NAME`` and tag that a build pushes to this cluster's registry; None if it does not."""
    to = (build["spec"].get("output") or {}).get("to") or {}
    name = str(to.get("name", ""))
    if to.get("kind") == "ImageStreamTag":
        name = f"{to.get('namespace') or build['metadata']['namespace']}/{name}"
    elif to.get("kind") == "DockerImage" and name.startswith(f"{REGISTRY_HOST}/"):
        name = name.removeprefix(f"{REGISTRY_HOST}/")
    else:
        return None
    repository, _, tag = name.partition(":")
    return repository, tag or "latest"


def _output(output: str) -> dict[str, Any]:
    if not output:
        return {}
    first, separator, rest = output.partition("/")
    if not separator:
        raise ValueError(f"{output!r} is no output of a build: write NAMESPACE/NAME:TAG or HOST/NAMESPACE/NAME:TAG")
    if "." in first or ":" in first:
        return {"to": {"kind": "DockerImage", "name": output}}
    return {"to": {"kind": "ImageStreamTag", "namespace": first, "name": rest if ":" in rest else f"{rest}:latest"}}
