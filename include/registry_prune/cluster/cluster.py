"""The registry as the Kubernetes API shows it: the objects that a run reads and writes (execs: ``pod_exec.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from include.registry_prune.cluster import requests
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.kubernetes_api import KubernetesApi
from include.registry_prune.cluster.registry_state import RegistryState, registry_state
from include.registry_prune.cluster.requests import CONFIG, DEPLOYMENTS, IMAGE_STREAMS, IMAGES, PODS, Request
from include.registry_prune.names import (
    DEPLOYMENT,
    GUARD_NAME,
    GUARD_NAMESPACE,
    IMAGE_PRUNER_CRON_JOB,
    NAMESPACE,
    OPERATOR_GROUP,
    REGISTRY_POD_LABELS,
)

IMAGE_PRUNER = f"/apis/{OPERATOR_GROUP}/v1/imagepruners/cluster"
BUILDS = "/apis/build.openshift.io/v1/builds"
CLUSTER_VERSION = "/apis/config.openshift.io/v1/clusterversions/version"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
CRON_JOB = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/{IMAGE_PRUNER_CRON_JOB}"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
EVENTS = "/api/v1/namespaces/default/events"
MYSELF = "/apis/user.openshift.io/v1/users/~"

SUSPENDED_BY = "registry-prune/suspended-by"
"""Of the ImagePruner: token of the window that suspended it. Without it a suspension is somebody else's."""

IMAGES_PER_PAGE = 250
"""An Image or image stream is about 10 KiB of JSON: a page of 250 stays near 2.5 MiB."""
BUILDS_PER_PAGE = 500
"""A Build is about 5 KiB of JSON."""
_NOT_TOLD = (403, 404)


class Cluster(KubernetesApi):
    """One OpenShift cluster, as far as its image registry goes.

    :param api_client: a configured client; its configuration (server, credentials, proxy, TLS) is used.
    """

    def who_am_i(self) -> str:
        """The user name that the cluster knows the connection's account by; in words, if it does not tell.

        Kubernetes tells it since 1.28 (OpenShift 4.15). Before, the question is not found, or refused, as RBAC comes
        first and nobody was given the right; then OpenShift itself tells it.
        """
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._json(Request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review))
            return str(answer["status"]["userInfo"]["username"])
        except ClusterError as error:
            if error.status not in _NOT_TOLD:
                raise
        try:
            return str(self._json(Request("GET", MYSELF))["metadata"]["name"])
        except ClusterError as error:
            if error.status not in _NOT_TOLD:
                raise
            # The name is for people only: what the account may do is asked for one by one.
            return "an account whose name the cluster does not tell"

    def may_i(self, attributes: Mapping[str, str]) -> bool:
        """Whether the account may do what the resource attributes of a SelfSubjectAccessReview say."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": dict(attributes)},
        }
        answer = self._json(Request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review))
        return bool(answer["status"]["allowed"])

    def config(self) -> dict[str, Any]:
        """The Config CR ``cluster`` of the image registry's operator."""
        return self._json(requests.GET_CONFIG)

    def patch_config(self, patch: Mapping[str, Any], *, resource_version: str | None = None) -> dict[str, Any]:
        """Merge into the Config CR.

        :param resource_version: if given, the patch fails with status 409 when the object has changed since.
        """
        return self._json(requests.merge(CONFIG, patch, resource_version=resource_version))

    def note_on_config(self, *, name: str, reason: str, text: str, warns: bool, at: datetime) -> None:
        """Write an Event about the Config CR, or bring the one of this name up to date: it counts how often.

        Events about objects of the whole cluster are in the namespace ``default``: the API server takes them nowhere
        else.

        :param reason: a word in CamelCase.
        :param text: at most 1,024 characters of it are kept, as the API server takes no more.
        :raises ClusterError: also if the account may not write Events.
        """
        moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        shown: dict[str, Any] = {
            "reason": reason,
            "message": text[:1024],
            "type": "Warning" if warns else "Normal",
            "lastTimestamp": moment,
        }
        held = self._json_or_none(Request("GET", f"{EVENTS}/{quote(name)}"))
        if held is not None:
            self._json(requests.merge(f"{EVENTS}/{quote(name)}", {**shown, "count": int(held.get("count") or 1) + 1}))
            return
        config = self.config()
        about = {
            "apiVersion": config["apiVersion"],
            "kind": "Config",
            "name": "cluster",
            "uid": config["metadata"]["uid"],
        }
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": about,
            "source": {"component": "registry-prune"},
            "firstTimestamp": moment,
            "count": 1,
            **shown,
        }
        self._json(Request("POST", EVENTS, body=event))

    def image_pruner(self) -> dict[str, Any] | None:
        """The ImagePruner CR ``cluster``; None if the cluster has none."""
        return self._json_or_none(Request("GET", IMAGE_PRUNER))

    def suspend_image_pruner(
        self, suspend: bool, *, window: str | None = None, resource_version: str | None = None
    ) -> None:
        """Set ``spec.suspend`` of the ImagePruner; the operator carries it on to the CronJob.

        :param window: token of the window that suspends it; noted there, and nowhere else can it be forged.
        :param resource_version: if given, the patch fails with status 409 when the object has changed since.
        """
        patch = {"metadata": {"annotations": {SUSPENDED_BY: window}}, "spec": {"suspend": suspend}}
        self._json(requests.merge(IMAGE_PRUNER, patch, resource_version=resource_version))

    def deployment(self) -> dict[str, Any] | None:
        """The registry's Deployment; None if there is none (managementState Removed)."""
        return self._json_or_none(Request("GET", f"{DEPLOYMENTS}/{DEPLOYMENT}"))

    def pods(self, labels: str = REGISTRY_POD_LABELS) -> list[dict[str, Any]]:
        """The pods with these labels in the registry's namespace, Terminating ones included."""
        return list(self._json(requests.list_pods(labels))["items"])

    def pods_of_job(self, name: str) -> list[dict[str, Any]]:
        """The pods of a Job in the registry's namespace.

        By the older of its two labels: ``batch.kubernetes.io/job-name`` is there since Kubernetes 1.27 only (OpenShift
        4.14), this one in all versions.
        """
        return self.pods(f"job-name={name}")

    def delete_pod(self, name: str, *, uid: str, grace_seconds: int | None = None) -> None:
        """Delete one pod; one that is gone or has been replaced by another of its name is left alone.

        :param grace_seconds: how long its processes may live on; None: what the pod itself says.
        """
        self._json_or_none(requests.delete_pod(name, uid=uid, grace_seconds=grace_seconds))

    def create_pod(self, pod: Mapping[str, Any]) -> str:
        """Create a pod in the registry's namespace; returns its uid.

        :raises ClusterError: status 409 if there is one of that name.
        """
        return str(self._json(Request("POST", PODS, body=pod))["metadata"]["uid"])

    def registry_state(self) -> RegistryState:
        """The registry at this moment: Config first, pods last, so that nothing looks newer than it is."""
        # Arguments are evaluated in this order.
        return registry_state(self.config(), self.deployment(), self.pods())

    def role_bindings(self) -> list[dict[str, Any]]:
        """Every ClusterRoleBinding."""
        return list(self._json(Request("GET", BINDINGS))["items"])

    def role_binding(self, name: str) -> dict[str, Any] | None:
        """One ClusterRoleBinding; None if it is not there."""
        return self._json_or_none(Request("GET", f"{BINDINGS}/{quote(name)}"))

    def create_role_binding(self, binding: Mapping[str, Any]) -> None:
        """Create a ClusterRoleBinding."""
        self._json(Request("POST", BINDINGS, body=binding))

    def delete_role_binding(self, name: str) -> bool:
        """Delete a ClusterRoleBinding; False if it was not there."""
        return self._json_or_none(Request("DELETE", f"{BINDINGS}/{quote(name)}")) is not None

    def cron_job(self) -> dict[str, Any] | None:
        """The CronJob ``image-pruner``; None if there is none."""
        return self._json_or_none(Request("GET", CRON_JOB))

    def guard_cron_job(self, namespace: str = GUARD_NAMESPACE) -> dict[str, Any] | None:
        """The CronJob of the guard in the cluster; None if there is none."""
        return self._json_or_none(Request("GET", f"/apis/batch/v1/namespaces/{quote(namespace)}/cronjobs/{GUARD_NAME}"))

    def jobs(self) -> list[dict[str, Any]]:
        """The Jobs of the registry's namespace."""
        return list(self._json(Request("GET", JOBS))["items"])

    def job(self, name: str) -> dict[str, Any] | None:
        """One Job; None if it is gone."""
        return self._json_or_none(Request("GET", f"{JOBS}/{quote(name)}"))

    def create_job(self, job: Mapping[str, Any]) -> None:
        """Create a Job in the registry's namespace."""
        self._json(Request("POST", JOBS, body=job))

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods; it is gone when they are. One that is gone already is fine."""
        self._json_or_none(Request("DELETE", f"{JOBS}/{quote(name)}", query={"propagationPolicy": "Foreground"}))

    def pod_log(self, pod: str, *, since: str = "", follow: bool, silence_seconds: float) -> Iterator[tuple[str, str]]:
        """The lines of a pod's log as they come, each with the time at which it was written.

        :param since: begin with the lines of that time, as an earlier call gave it.
        :param follow: go on until the container ends.
        :param silence_seconds: how long nothing may come before it is an error.
        :raises ClusterError: if there is no log yet, or the connection breaks off.
        """
        query = {
            "timestamps": "true",
            **({"follow": "true"} if follow else {}),
            **({"sinceTime": since} if since else {}),
        }
        request = Request("GET", f"{PODS}/{quote(pod)}/log", query=query)
        for line in self._lines(request, silence_seconds=silence_seconds):
            time, _, text = line.decode(errors="replace").partition(" ")
            yield time, text

    def image_count(self) -> int:
        """How many Image objects there are; where the API server keeps the rest to itself, at least so many."""
        page = self._json(Request("GET", IMAGES, query={"limit": 1}))
        listed, metadata = len(page["items"]), page["metadata"]
        return listed + int(metadata.get("remainingItemCount") or bool(metadata.get("continue")))

    def images(self) -> Iterator[dict[str, Any]]:
        """Every Image object, page by page.

        :raises ClusterError: status 410 if the list took longer than the API server keeps its snapshot; begin again.
        """
        return self._pages(IMAGES, per_page=IMAGES_PER_PAGE)

    def image_streams(self) -> Iterator[dict[str, Any]]:
        """Every ImageStream object of every namespace, page by page.

        :raises ClusterError: as for :meth:`images`.
        """
        return self._pages(IMAGE_STREAMS, per_page=IMAGES_PER_PAGE)

    def builds(self) -> Iterator[dict[str, Any]]:
        """Every Build of the cluster, page by page; none where the cluster has no builds at all (since 4.14 they can be
        left out).
        """
        try:
            yield from self._pages(BUILDS, per_page=BUILDS_PER_PAGE)
        except ClusterError as error:
            if error.status != 404:
                raise

    def serves_builds(self) -> bool:
        """Whether the cluster has builds at all; see :meth:`builds`."""
        return self._json_or_none(requests.page(BUILDS, per_page=1)) is not None

    def cluster_id(self) -> str:
        """The cluster's own id, by its ClusterVersion; empty if it does not tell."""
        return cluster_id(self.cluster_version())

    def cluster_version(self) -> dict[str, Any] | None:
        """The ClusterVersion ``version``; None if the cluster has none."""
        return self._json_or_none(Request("GET", CLUSTER_VERSION))


def suspended_by(image_pruner: Mapping[str, Any]) -> str | None:
    """Token of the window that suspended this ImagePruner; None if no window did."""
    noted = (image_pruner["metadata"].get("annotations") or {}).get(SUSPENDED_BY)
    return str(noted) if noted and image_pruner["spec"].get("suspend") else None


def cluster_id(cluster_version: Mapping[str, Any] | None) -> str:
    """Which cluster it is, by its ClusterVersion; empty if that does not tell."""
    return str(((cluster_version or {}).get("spec") or {}).get("clusterID") or "")
