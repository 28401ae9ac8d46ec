"""The resource types that the API serves, and what is particular about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


@dataclass(frozen=True)
class ResourceType:
    """One resource of the API.

    :param group: API group; empty for the core group.
    :param subresources: of ``status``, ``scale``, ``log``, ``exec``, ``eviction``, ``token``.
    :param custom: defined by a CustomResourceDefinition in a real cluster: no strategic merge patch, and an
        update has to name the resourceVersion.
    :param tracks_generation: ``metadata.generation`` rises when the wanted state changes.
    :param selectable_fields: field selectors beside ``metadata.name`` and ``metadata.namespace``. Of a Build,
        ``status`` means its phase.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    custom: bool = False
    tracks_generation: bool = False
    selectable_fields: frozenset[str] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        """``plural`` or ``plural.group``: how this project and kubectl name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.kind.lower()

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return f"{self.kind}List"

    @property
    def stored(self) -> bool:
        """False for what is only asked (``selfsubjectaccessreviews``) and never kept."""
        return self.verbs != CREATE_ONLY

    def collection_path(self, namespace: str | None = None) -> str:
        """Path of the collection, of one namespace if that is given."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


def _core() -> Iterator[ResourceType]:
    involved = ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath", "resourceVersion")
    event_fields = frozenset({f"involvedObject.{part}" for part in involved} | {"reason", "type", "source"})
    pod_fields = frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        }
    )
    yield ResourceType(
        "", "v1", "namespaces", "Namespace", namespaced=False, short_names=("ns",), subresources=("status",),
        selectable_fields=frozenset({"status.phase"}),
    )  # fmt: skip
    yield ResourceType(
        "", "v1", "nodes", "Node", namespaced=False, short_names=("no",), subresources=("status",),
        selectable_fields=frozenset({"spec.unschedulable"}),
    )  # fmt: skip
    yield ResourceType(
        "", "v1", "pods", "Pod", short_names=("po",), categories=("all",),
        subresources=("status", "log", "exec", "eviction"), tracks_generation=True,
        selectable_fields=pod_fields,
    )  # fmt: skip
    yield ResourceType(
        "", "v1", "services", "Service", short_names=("svc",), categories=("all",), subresources=("status",)
    )
    yield ResourceType("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",), subresources=("token",))
    yield ResourceType("", "v1", "secrets", "Secret", selectable_fields=frozenset({"type"}))
    yield ResourceType("", "v1", "configmaps", "ConfigMap", short_names=("cm",))
    yield ResourceType("", "v1", "events", "Event", short_names=("ev",), selectable_fields=event_fields)
    yield ResourceType(
        "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short_names=("pvc",),
        subresources=("status",),
    )  # fmt: skip


def _workloads() -> Iterator[ResourceType]:
    yield ResourceType(
        "apps", "v1", "deployments", "Deployment", short_names=("deploy",), categories=("all",),
        subresources=("status", "scale"), tracks_generation=True,
    )  # fmt: skip
    yield ResourceType(
        "apps", "v1", "replicasets", "ReplicaSet", short_names=("rs",), categories=("all",),
        subresources=("status", "scale"), tracks_generation=True,
    )  # fmt: skip
    yield ResourceType(
        "batch", "v1", "jobs", "Job", categories=("all",), subresources=("status",), tracks_generation=True,
        selectable_fields=frozenset({"status.successful"}),
    )  # fmt: skip
    yield ResourceType(
        "batch", "v1", "cronjobs", "CronJob", short_names=("cj",), categories=("all",),
        subresources=("status",), tracks_generation=True,
    )  # fmt: skip
    yield ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
    yield ResourceType("events.k8s.io", "v1", "events", "Event", short_names=("ev",))


def _access() -> Iterator[ResourceType]:
    rbac = "rbac.authorization.k8s.io"
    yield ResourceType(rbac, "v1", "roles", "Role")
    yield ResourceType(rbac, "v1", "rolebindings", "RoleBinding")
    yield ResourceType(rbac, "v1", "clusterroles", "ClusterRole", namespaced=False)
    yield ResourceType(rbac, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
    for plural, kind in (
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
        ("subjectaccessreviews", "SubjectAccessReview"),
    ):
        yield ResourceType("authorization.k8s.io", "v1", plural, kind, namespaced=False, verbs=CREATE_ONLY)
    yield ResourceType(
        "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False,
        verbs=CREATE_ONLY,
    )  # fmt: skip


def _openshift() -> Iterator[ResourceType]:
    for plural, kind, short_names in (
        ("clusterversions", "ClusterVersion", ()),
        ("clusteroperators", "ClusterOperator", ("co",)),
    ):
        yield ResourceType(
            "config.openshift.io", "v1", plural, kind, namespaced=False, short_names=short_names,
            subresources=("status",), custom=True, tracks_generation=True,
        )  # fmt: skip
    for plural, kind in (("configs", "Config"), ("imagepruners", "ImagePruner")):
        yield ResourceType(
            "imageregistry.operator.openshift.io", "v1", plural, kind, namespaced=False,
            subresources=("status",), custom=True, tracks_generation=True,
        )  # fmt: skip
    yield ResourceType("image.openshift.io", "v1", "images", "Image", namespaced=False)
    yield ResourceType(
        "image.openshift.io", "v1", "imagestreams", "ImageStream", short_names=("is",), categories=("all",),
        subresources=("status",), tracks_generation=True,
    )  # fmt: skip
    yield ResourceType(
        "build.openshift.io", "v1", "builds", "Build", categories=("all",),
        selectable_fields=frozenset({"status"}),
    )  # fmt: skip


RESOURCE_TYPES: dict[str, ResourceType] = {
    resource_type.name: resource_type
    for group in (_core(), _workloads(), _access(), _openshift())
    for resource_type in group
}
"""Every resource type by its name (``pods``, ``deployments.apps``)."""


def resource_type(name: str) -> ResourceType:
    """The resource type of that name (``plural`` or ``plural.group``).

    :raises KeyError: there is none; the message lists what there is.
    """
    try:
        return RESOURCE_TYPES[name]
    except KeyError:
        known = ", ".join(sorted(RESOURCE_TYPES))
        raise KeyError(f"no resource type {name!r}; there are: {known}") from None


def find(group: str, version: str, plural: str) -> ResourceType | None:
    """The resource type at that place in the API, or None."""
    found = RESOURCE_TYPES.get(f"{plural}.{group}" if group else plural)
    return found if found and found.version == version else None


def of_kind(api_version: str, kind: str) -> ResourceType | None:
    """The resource type whose objects carry that ``apiVersion`` and ``kind``, or None."""
    for candidate in RESOURCE_TYPES.values():
        if candidate.kind == kind and candidate.api_version == api_version:
            return candidate
    return None
