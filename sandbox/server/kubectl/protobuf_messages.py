"""Field numbers of the messages that clients send in protobuf (interface facts of the Kubernetes API).

A line names number, field and type; no type is a string. ``*`` marks a repeated field, ``?`` one that is a
pointer in Go (its zero is a value), ``-`` as the name an embedded struct (its fields belong to the outer one).
``ignored`` fields are for the server to fill.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """A field of a message.

    :param type: ``string``, ``int``, ``bool``, ``quantity``, ``int_or_string``, ``time``, ``map``,
        ``map_of_bytes``, ``map_of_quantities``, ``ignored``, or the name of a message.
    :param keeps_zero: 0, false and the empty string are values, not a missing field.
    """

    name: str
    type: str
    repeated: bool
    inlined: bool
    keeps_zero: bool


_OBJECT = "1 metadata ObjectMeta, 2 spec {0}Spec, 3 status ignored"
_LOCAL = "1 - LocalObjectReference"
_KEY = f"{_LOCAL}, 2 key, 3 optional bool?"
_SUBJECTS = "1 metadata ObjectMeta, 2 subjects Subject*, 3 roleRef RoleRef"
_TERMS = (
    "1 requiredDuringSchedulingIgnoredDuringExecution PodAffinityTerm*, "
    "2 preferredDuringSchedulingIgnoredDuringExecution WeightedPodAffinityTerm*"
)
_ACTIONS = "1 exec ExecAction, 2 httpGet HTTPGetAction, 3 tcpSocket TCPSocketAction"

_META = {
    "ObjectMeta": "1 name, 2 generateName, 3 namespace, 4 selfLink, 5 uid, 6 resourceVersion, 7 generation int, "
    "8 creationTimestamp time, 9 deletionTimestamp time, 10 deletionGracePeriodSeconds int?, 11 labels map, "
    "12 annotations map, 13 ownerReferences OwnerReference*, 14 finalizers *, 17 managedFields ignored",
    "OwnerReference": "1 kind, 3 name, 4 uid, 5 apiVersion, 6 controller bool?, 7 blockOwnerDeletion bool?",
    "LabelSelector": "1 matchLabels map, 2 matchExpressions LabelSelectorRequirement*",
    "LabelSelectorRequirement": "1 key, 2 operator, 3 values *",
    "DeleteOptions": "1 gracePeriodSeconds int?, 2 preconditions Preconditions, 3 orphanDependents bool?, "
    "4 propagationPolicy, 5 dryRun *, 6 ignoreStoreReadErrorWithClusterBreakingPotential bool",
    "Preconditions": "1 uid, 2 resourceVersion",
    "Eviction": "1 metadata ObjectMeta, 2 deleteOptions DeleteOptions",
}
_ACCESS = {
    "SelfSubjectAccessReview": _OBJECT.format("SelfSubjectAccessReview"),
    "SelfSubjectAccessReviewSpec": "1 resourceAttributes ResourceAttributes, "
    "2 nonResourceAttributes NonResourceAttributes",
    "SubjectAccessReview": _OBJECT.format("SubjectAccessReview"),
    "SubjectAccessReviewSpec": "1 resourceAttributes ResourceAttributes, "
    "2 nonResourceAttributes NonResourceAttributes, 3 user, 4 groups *, 5 extra ignored, 6 uid",
    "ResourceAttributes": "1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name, "
    "8 fieldSelector ignored, 9 labelSelector ignored",
    "NonResourceAttributes": "1 path, 2 verb",
    "SelfSubjectRulesReview": _OBJECT.format("SelfSubjectRulesReview"),
    "SelfSubjectRulesReviewSpec": "1 namespace",
    "SelfSubjectReview": "1 metadata ObjectMeta, 2 status ignored",
    "TokenRequest": _OBJECT.format("TokenRequest"),
    "TokenRequestSpec": "1 audiences *, 3 boundObjectRef BoundObjectReference, 4 expirationSeconds int?",
    "BoundObjectReference": "1 kind, 2 apiVersion, 3 name, 4 uid",
    "Role": "1 metadata ObjectMeta, 2 rules PolicyRule*",
    "ClusterRole": "1 metadata ObjectMeta, 2 rules PolicyRule*, 3 aggregationRule AggregationRule",
    "AggregationRule": "1 clusterRoleSelectors LabelSelector*",
    "RoleBinding": _SUBJECTS,
    "ClusterRoleBinding": _SUBJECTS,
    "PolicyRule": "1 verbs *, 2 apiGroups *, 3 resources *, 4 resourceNames *, 5 nonResourceURLs *",
    "RoleRef": "1 apiGroup, 2 kind, 3 name",
    "Subject": "1 kind, 2 apiGroup, 3 name, 4 namespace",
}
_CORE = {
    "Namespace": _OBJECT.format("Namespace"),
    "NamespaceSpec": "1 finalizers *",
    "ServiceAccount": "1 metadata ObjectMeta, 2 secrets ObjectReference*, "
    "3 imagePullSecrets LocalObjectReference*, 4 automountServiceAccountToken bool?",
    "Secret": "1 metadata ObjectMeta, 2 data map_of_bytes, 3 type, 4 stringData map, 5 immutable bool?",
    "ConfigMap": "1 metadata ObjectMeta, 2 data map, 3 binaryData map_of_bytes, 4 immutable bool?",
    "LocalObjectReference": "1 name",
    "ObjectReference": "1 kind, 2 namespace, 3 name, 4 uid, 5 apiVersion, 6 resourceVersion, 7 fieldPath",
}
_WORKLOADS = {
    "Job": _OBJECT.format("Job"),
    "JobSpec": "1 parallelism int?, 2 completions int?, 3 activeDeadlineSeconds int?, 4 selector LabelSelector, "
    "5 manualSelector bool?, 6 template PodTemplateSpec, 7 backoffLimit int?, 8 ttlSecondsAfterFinished int?, "
    "9 completionMode, 10 suspend bool?, 12 backoffLimitPerIndex int?, 13 maxFailedIndexes int?, "
    "14 podReplacementPolicy, 15 managedBy",
    "CronJob": _OBJECT.format("CronJob"),
    "CronJobSpec": "1 schedule, 2 startingDeadlineSeconds int?, 3 concurrencyPolicy, 4 suspend bool?, "
    "5 jobTemplate JobTemplateSpec, 6 successfulJobsHistoryLimit int?, 7 failedJobsHistoryLimit int?, 8 timeZone",
    "JobTemplateSpec": "1 metadata ObjectMeta, 2 spec JobSpec",
    "Deployment": _OBJECT.format("Deployment"),
    "DeploymentSpec": "1 replicas int?, 2 selector LabelSelector, 3 template PodTemplateSpec, "
    "4 strategy DeploymentStrategy, 5 minReadySeconds int, 6 revisionHistoryLimit int?, 7 paused bool, "
    "9 progressDeadlineSeconds int?",
    "DeploymentStrategy": "1 type, 2 rollingUpdate RollingUpdateDeployment",
    "RollingUpdateDeployment": "1 maxUnavailable int_or_string?, 2 maxSurge int_or_string?",
    "PodTemplateSpec": "1 metadata ObjectMeta, 2 spec PodSpec",
    "Pod": _OBJECT.format("Pod"),
}
_POD = {
    "PodSpec": "1 volumes Volume*, 2 containers Container*, 3 restartPolicy, "
    "4 terminationGracePeriodSeconds int?, 5 activeDeadlineSeconds int?, 6 dnsPolicy, 7 nodeSelector map, "
    "8 serviceAccountName, 9 serviceAccount, 10 nodeName, 11 hostNetwork bool, 12 hostPID bool, "
    "13 hostIPC bool, 14 securityContext PodSecurityContext, 15 imagePullSecrets LocalObjectReference*, "
    "16 hostname, 17 subdomain, 18 affinity Affinity, 19 schedulerName, 20 initContainers Container*, "
    "21 automountServiceAccountToken bool?, 22 tolerations Toleration*, 24 priorityClassName, 25 priority int?, "
    "27 shareProcessNamespace bool?, 29 runtimeClassName, 30 enableServiceLinks bool?, 31 preemptionPolicy, "
    "33 topologySpreadConstraints TopologySpreadConstraint*, 35 setHostnameAsFQDN bool?, 37 hostUsers bool?",
    "PodSecurityContext": "1 seLinuxOptions SELinuxOptions, 2 runAsUser int?, 3 runAsNonRoot bool?, "
    "4 supplementalGroups int*, 5 fsGroup int?, 6 runAsGroup int?, 9 fsGroupChangePolicy, "
    "10 seccompProfile SeccompProfile, 12 supplementalGroupsPolicy, 13 seLinuxChangePolicy",
    "SELinuxOptions": "1 user, 2 role, 3 type, 4 level",
    "SeccompProfile": "1 type, 2 localhostProfile",
    "Toleration": "1 key, 2 operator, 3 value, 4 effect, 5 tolerationSeconds int?",
    "Affinity": "1 nodeAffinity NodeAffinity, 2 podAffinity PodAffinity, 3 podAntiAffinity PodAntiAffinity",
    "NodeAffinity": "1 requiredDuringSchedulingIgnoredDuringExecution NodeSelector, "
    "2 preferredDuringSchedulingIgnoredDuringExecution PreferredSchedulingTerm*",
    "NodeSelector": "1 nodeSelectorTerms NodeSelectorTerm*",
    "NodeSelectorTerm": "1 matchExpressions LabelSelectorRequirement*, 2 matchFields LabelSelectorRequirement*",
    "PreferredSchedulingTerm": "1 weight int, 2 preference NodeSelectorTerm",
    "PodAffinity": _TERMS,
    "PodAntiAffinity": _TERMS,
    "PodAffinityTerm": "1 labelSelector LabelSelector, 2 namespaces *, 3 topologyKey, "
    "4 namespaceSelector LabelSelector, 5 matchLabelKeys *, 6 mismatchLabelKeys *",
    "WeightedPodAffinityTerm": "1 weight int, 2 podAffinityTerm PodAffinityTerm",
    "TopologySpreadConstraint": "1 maxSkew int, 2 topologyKey, 3 whenUnsatisfiable, "
    "4 labelSelector LabelSelector, 5 minDomains int?, 6 nodeAffinityPolicy, 7 nodeTaintsPolicy, 8 matchLabelKeys *",
}
_CONTAINER = {
    "Container": "1 name, 2 image, 3 command *, 4 args *, 5 workingDir, 6 ports ContainerPort*, 7 env EnvVar*, "
    "8 resources ResourceRequirements, 9 volumeMounts VolumeMount*, 10 livenessProbe Probe, "
    "11 readinessProbe Probe, 12 lifecycle Lifecycle, 13 terminationMessagePath, 14 imagePullPolicy, "
    "15 securityContext SecurityContext, 16 stdin bool, 17 stdinOnce bool, 18 tty bool, "
    "19 envFrom EnvFromSource*, 20 terminationMessagePolicy, 21 volumeDevices VolumeDevice*, "
    "22 startupProbe Probe, 24 restartPolicy",
    "ContainerPort": "1 name, 2 hostPort int, 3 containerPort int, 4 protocol, 5 hostIP",
    "EnvVar": "1 name, 2 value, 3 valueFrom EnvVarSource",
    "EnvVarSource": "1 fieldRef ObjectFieldSelector, 2 resourceFieldRef ResourceFieldSelector, "
    "3 configMapKeyRef ConfigMapKeySelector, 4 secretKeyRef SecretKeySelector",
    "ObjectFieldSelector": "1 apiVersion, 2 fieldPath",
    "ResourceFieldSelector": "1 containerName, 2 resource, 3 divisor quantity",
    "ConfigMapKeySelector": _KEY,
    "SecretKeySelector": _KEY,
    "EnvFromSource": "1 prefix, 2 configMapRef ConfigMapEnvSource, 3 secretRef SecretEnvSource",
    "ConfigMapEnvSource": f"{_LOCAL}, 2 optional bool?",
    "SecretEnvSource": f"{_LOCAL}, 2 optional bool?",
    "ResourceRequirements": "1 limits map_of_quantities, 2 requests map_of_quantities",
    "VolumeMount": "1 name, 2 readOnly bool, 3 mountPath, 4 subPath, 5 mountPropagation, 6 subPathExpr, "
    "7 recursiveReadOnly",
    "VolumeDevice": "1 name, 2 devicePath",
    "Probe": "1 - ProbeHandler, 2 initialDelaySeconds int, 3 timeoutSeconds int, 4 periodSeconds int, "
    "5 successThreshold int, 6 failureThreshold int, 7 terminationGracePeriodSeconds int?",
    "ProbeHandler": _ACTIONS,
    "Lifecycle": "1 postStart LifecycleHandler, 2 preStop LifecycleHandler, 3 stopSignal",
    "LifecycleHandler": f"{_ACTIONS}, 4 sleep SleepAction",
    "ExecAction": "1 command *",
    "HTTPGetAction": "1 path, 2 port int_or_string, 3 host, 4 scheme, 5 httpHeaders HTTPHeader*",
    "HTTPHeader": "1 name, 2 value",
    "TCPSocketAction": "1 port int_or_string, 2 host",
    "SleepAction": "1 seconds int",
    "SecurityContext": "1 capabilities Capabilities, 2 privileged bool?, 3 seLinuxOptions SELinuxOptions, "
    "4 runAsUser int?, 5 runAsNonRoot bool?, 6 readOnlyRootFilesystem bool?, 7 allowPrivilegeEscalation bool?, "
    "8 runAsGroup int?, 9 procMount, 11 seccompProfile SeccompProfile",
    "Capabilities": "1 add *, 2 drop *",
}
_VOLUMES = {
    "Volume": "1 name, 2 - VolumeSource",
    "VolumeSource": "1 hostPath HostPathVolumeSource, 2 emptyDir EmptyDirVolumeSource, "
    "6 secret SecretVolumeSource, 10 persistentVolumeClaim PersistentVolumeClaimVolumeSource, "
    "16 downwardAPI DownwardAPIVolumeSource, 19 configMap ConfigMapVolumeSource, "
    "26 projected ProjectedVolumeSource",
    "EmptyDirVolumeSource": "1 medium, 2 sizeLimit quantity",
    "HostPathVolumeSource": "1 path, 2 type",
    "SecretVolumeSource": "1 secretName, 2 items KeyToPath*, 3 defaultMode int?, 4 optional bool?",
    "ConfigMapVolumeSource": f"{_LOCAL}, 2 items KeyToPath*, 3 defaultMode int?, 4 optional bool?",
    "PersistentVolumeClaimVolumeSource": "1 claimName, 2 readOnly bool",
    "DownwardAPIVolumeSource": "1 items DownwardAPIVolumeFile*, 2 defaultMode int?",
    "ProjectedVolumeSource": "1 sources VolumeProjection*, 2 defaultMode int?",
    "VolumeProjection": "1 secret SecretProjection, 2 downwardAPI DownwardAPIProjection, "
    "3 configMap ConfigMapProjection, 4 serviceAccountToken ServiceAccountTokenProjection",
    "SecretProjection": f"{_LOCAL}, 2 items KeyToPath*, 4 optional bool?",
    "ConfigMapProjection": f"{_LOCAL}, 2 items KeyToPath*, 4 optional bool?",
    "ServiceAccountTokenProjection": "1 audience, 2 expirationSeconds int?, 3 path",
    "DownwardAPIProjection": "1 items DownwardAPIVolumeFile*",
    "DownwardAPIVolumeFile": "1 path, 2 fieldRef ObjectFieldSelector, "
    "3 resourceFieldRef ResourceFieldSelector, 4 mode int?",
    "KeyToPath": "1 key, 2 path, 3 mode int?",
}


def _parse(line: str) -> dict[int, Field]:
    fields = {}
    for entry in line.split(","):
        number, name, *rest = entry.split()
        kind = rest[0] if rest else ""
        fields[int(number)] = Field(
            name,
            kind.rstrip("*?") or "string",
            repeated=kind.endswith("*"),
            inlined=name == "-",
            keeps_zero=kind.endswith("?"),
        )
    return fields


MESSAGES: dict[str, dict[int, Field]] = {
    kind: _parse(line)
    for group in (_META, _ACCESS, _CORE, _WORKLOADS, _POD, _CONTAINER, _VOLUMES)
    for kind, line in group.items()
}
"""By kind, and in it by number: the fields of a message."""
