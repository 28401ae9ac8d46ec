"""The columns of each resource's table, as in ``pkg/printers/internalversion/printers.go``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.server.errors import JsonObject
from sandbox.server.kubectl import pod_columns
from sandbox.server.kubectl.ages import UNKNOWN, age, human_duration, moment

NONE = "<none>"


@dataclass(frozen=True)
class Column:
    """One column.

    :param cell: makes the cell of an object.
    :param wide: shown by ``-o wide`` only.
    """

    name: str
    cell: Callable[[JsonObject], Any]
    type: str = "string"
    wide: bool = False


def _at(path: str, default: Any = "") -> Callable[[JsonObject], Any]:
    steps = path.split(".")

    def cell(value: Any) -> Any:
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return default if value is None else value

    return cell


def _number(name: str, path: str) -> Column:
    return Column(name, _at(path, 0), type="integer")


def _age_of(path: str, default: str = UNKNOWN) -> Callable[[JsonObject], str]:
    read = _at(path, None)

    def cell(value: JsonObject) -> str:
        timestamp = read(value)
        return age(timestamp) if timestamp else default

    return cell


def _condition(kind: str, part: str = "status") -> Callable[[JsonObject], str]:
    def cell(value: JsonObject) -> str:
        for condition in _at("status.conditions", [])(value):
            if condition.get("type") == kind:
                return str(condition.get(part, ""))
        return ""

    return cell


def _containers(part: str, path: str = "spec.template.spec.containers") -> Callable[[JsonObject], str]:
    return lambda value: ",".join(str(item.get(part, "")) for item in _at(path, [])(value))


def _match_labels(value: JsonObject) -> str:
    labels = _at("spec.selector.matchLabels", {})(value)
    return ",".join(f"{key}={label}" for key, label in sorted(labels.items())) or NONE


def _deployment_ready(value: JsonObject) -> str:
    return f"{_at('status.readyReplicas', 0)(value)}/{_at('spec.replicas', 0)(value)}"


def _job_status(value: JsonObject) -> str:
    for kind in ("Complete", "Failed"):
        if _condition(kind)(value) == "True":
            return kind
    if "deletionTimestamp" in value["metadata"]:
        return "Terminating"
    return "Suspended" if _condition("Suspended")(value) == "True" else "Running"


def _job_completions(value: JsonObject) -> str:
    return f"{_at('status.succeeded', 0)(value)}/{_at('spec.completions', 1)(value)}"


def _duration(start_path: str, end_path: str) -> Callable[[JsonObject], str]:
    def cell(value: JsonObject) -> str:
        start, end = moment(_at(start_path, None)(value)), moment(_at(end_path, None)(value))
        if start is None:
            return ""
        return human_duration((end - start).total_seconds()) if end else age(_at(start_path)(value))

    return cell


def _service_ports(value: JsonObject) -> str:
    ports = _at("spec.ports", [])(value)
    return ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports) or NONE


def _node_status(value: JsonObject) -> str:
    ready = "Ready" if _condition("Ready")(value) == "True" else "NotReady"
    return f"{ready},SchedulingDisabled" if _at("spec.unschedulable", False)(value) else ready


def _node_roles(value: JsonObject) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = value["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def _role(value: JsonObject) -> str:
    return f"{_at('roleRef.kind')(value)}/{_at('roleRef.name')(value)}"


def _event_object(value: JsonObject) -> str:
    involved = value.get("involvedObject") or value.get("regarding") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


def _image_stream_tags(value: JsonObject) -> str:
    return ",".join(str(tag.get("tag", "")) for tag in _at("status.tags", [])(value))


def _image_stream_updated(value: JsonObject) -> str:
    times = [item.get("created", "") for tag in _at("status.tags", [])(value) for item in tag.get("items") or []]
    return age(max(times)) + " ago" if times else ""


def _size(path: str) -> Callable[[JsonObject], int]:
    return lambda value: len(_at(path, ())(value))


_AGE = Column("Age", _age_of("metadata.creationTimestamp"))
_CREATED_AT = Column("Created At", _at("metadata.creationTimestamp"))
_WORKLOAD_WIDE = (
    Column("Containers", _containers("name"), wide=True),
    Column("Images", _containers("image"), wide=True),
    Column("Selector", _match_labels, wide=True),
)
_BINDING = (Column("Role", _role), _AGE)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "pods": (
        Column("Ready", pod_columns.ready),
        Column("Status", pod_columns.status),
        Column("Restarts", pod_columns.restarts),
        _AGE,
        Column("IP", _at("status.podIP", NONE), wide=True),
        Column("Node", _at("spec.nodeName", NONE), wide=True),
        Column("Nominated Node", _at("status.nominatedNodeName", NONE), wide=True),
        Column("Readiness Gates", lambda _: NONE, wide=True),
    ),
    "deployments.apps": (
        Column("Ready", _deployment_ready),
        _number("Up-to-date", "status.updatedReplicas"),
        _number("Available", "status.availableReplicas"),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "replicasets.apps": (
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "jobs.batch": (
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _duration("status.startTime", "status.completionTime")),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "cronjobs.batch": (
        Column("Schedule", _at("spec.schedule")),
        Column("Timezone", _at("spec.timeZone", NONE)),
        Column("Suspend", lambda value: str(_at("spec.suspend", False)(value))),
        Column("Active", _size("status.active"), type="integer"),
        Column("Last Schedule", _age_of("status.lastScheduleTime", NONE)),
        _AGE,
    ),
    "namespaces": (Column("Status", _at("status.phase")), _AGE),
    "nodes": (
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        _AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion")),
    ),
    "services": (
        Column("Type", _at("spec.type", "ClusterIP")),
        Column("Cluster-IP", _at("spec.clusterIP", NONE)),
        Column("External-IP", lambda _: NONE),
        Column("Port(s)", _service_ports),
        _AGE,
    ),
    "secrets": (
        Column("Type", _at("type", "Opaque")),
        Column("Data", _size("data"), type="integer"),
        _AGE,
    ),
    "configmaps": (Column("Data", _size("data"), type="integer"), _AGE),
    "events": (
        Column("Last Seen", _age_of("lastTimestamp")),
        Column("Type", _at("type")),
        Column("Reason", _at("reason")),
        Column("Object", _event_object),
        Column("Message", _at("message")),
    ),
    "persistentvolumeclaims": (
        Column("Status", _at("status.phase")),
        Column("Volume", _at("spec.volumeName")),
        Column("Capacity", _at("status.capacity.storage")),
        Column("Access Modes", lambda value: ",".join(_at("spec.accessModes", [])(value))),
        Column("StorageClass", _at("spec.storageClassName")),
        _AGE,
    ),
    "leases.coordination.k8s.io": (Column("Holder", _at("spec.holderIdentity")), _AGE),
    "roles.rbac.authorization.k8s.io": (_CREATED_AT,),
    "clusterroles.rbac.authorization.k8s.io": (_CREATED_AT,),
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "images.image.openshift.io": (Column("Image Reference", _at("dockerImageReference")),),
    "imagestreams.image.openshift.io": (
        Column("Image Repository", _at("status.dockerImageRepository")),
        Column("Tags", _image_stream_tags),
        Column("Updated", _image_stream_updated),
    ),
    "builds.build.openshift.io": (
        Column("Type", _at("spec.strategy.type")),
        Column("From", _at("spec.source.type")),
        Column("Status", _at("status.phase")),
        Column("Started", _age_of("status.startTimestamp", "")),
        Column("Duration", _duration("status.startTimestamp", "status.completionTimestamp")),
    ),
    "clusterversions.config.openshift.io": (
        Column("Version", _at("status.desired.version")),
        Column("Available", _condition("Available")),
        Column("Progressing", _condition("Progressing")),
        Column("Since", lambda value: age(_condition("Progressing", "lastTransitionTime")(value))),
        Column("Status", _condition("Progressing", "message")),
    ),
    "clusteroperators.config.openshift.io": (
        Column("Version", lambda value: (_at("status.versions", None)(value) or [{}])[0].get("version", "")),
        Column("Available", _condition("Available")),
        Column("Progressing", _condition("Progressing")),
        Column("Degraded", _condition("Degraded")),
        Column("Since", lambda value: age(_condition("Available", "lastTransitionTime")(value))),
        Column("Message", _condition("Degraded", "message")),
    ),
}
"""By resource: the columns after NAME. A resource that is not here has AGE."""
