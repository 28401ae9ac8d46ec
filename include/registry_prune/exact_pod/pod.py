"""The pod of the exact delete: made, followed by its status and its log, to the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import pod_state
from include.registry_prune.exact_delete.events import Begun, Ended, Event, Note, parse_line
from include.registry_prune.exact_pod.manifest import exact_delete_pod, nodes_for
from include.registry_prune.lists.candidate_list import Seal
from include.registry_prune.names import DEPLOYMENT, EXACT_DELETE_LABEL, EXACT_DELETE_POD, WINDOW_ANNOTATION
from include.registry_prune.pruner.exact_delete_pod import PLACEHOLDER, end_exact_pod, exact_pod, release_name
from include.registry_prune.records import Record
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

START_SECONDS = 180.0
"""For a place on a node, and for the image: it has about 100 MiB."""
_POLL_SECONDS, _LATER_POLL_SECONDS, _QUICK_SECONDS = 0.2, 1.0, 30.0
"""The registry is read-only meanwhile, and most deletes end within seconds; others are looked at less often."""
_LOG_SILENCE_SECONDS = 30.0
_LOG_TRIES = 5
"""The log of a pod that has ended is asked for so often: an evicted one may have none."""


class ExactPodError(Exception):
    """The pod could not be made, did not get to work, or is another one; the message says why and what to do."""


class PodGoneError(ExactPodError):
    """The pod was deleted by somebody before it had its list."""


class PodEnd(Record):
    """How the pod ended.

    :param ended: its own last word; None if it never got to say it (killed, evicted, its node lost).
    :param exit_status: of its process; None if it is not known.
    :param why: in words, where Kubernetes ended it.
    """

    version: Literal[1] = 1
    ended: Ended | None = None
    exit_status: int | None = None
    why: str = ""

    @property
    def complete(self) -> bool:
        """Whether it did all of its work: exit status 0 *and* its last word."""
        return self.exit_status == 0 and self.ended is not None and self.ended.complete

    def text(self) -> str:
        """For people."""
        status = "exit status unknown" if self.exit_status is None else f"exit status {self.exit_status}"
        return " ".join(
            filter(None, (self.ended.text() if self.ended else "It said no last word.", self.why, f"({status})"))
        )


def create(cluster: Cluster, manifest: Mapping[str, Any]) -> str:
    """Make the pod; returns its uid.

    Whoever has made it looks at the lease once more before the list is handed over: without a list it touches nothing.

    The caller holds the lease of the window that the pod is for: what holds the name for another window was left
    behind by whoever closed that one, and is taken away.

    :raises ExactPodError: if there is one already, of whatever run.
    :raises ClusterError: if the cluster does not answer, or refuses.
    """
    there = exact_pod(cluster)
    if there is not None and there.purpose == PLACEHOLDER and there.window != _window(manifest):
        release_name(cluster)
    if there is not None and there.over:
        end_exact_pod(cluster, there)
    try:
        return cluster.create_pod(manifest)
    except ClusterError as error:
        if error.status != 409:
            raise
        found = exact_pod(cluster)
        which = found.text() if found else "it has gone since"
        raise ExactPodError(
            f"Pod {EXACT_DELETE_POD} is there already, and there is never more than one: {which}."
        ) from error


def make_pod(
    cluster: Cluster,
    *,
    image: str,
    purpose: str,
    window: str,
    kept_as: str,
    seal: Seal | None,
    deadline_seconds: float,
) -> str:
    """Make the pod from the registry's Deployment as it is; see :func:`exact_delete_pod`, and :func:`create`.

    :raises ExactPodError: if there is no Deployment, or a pod of that name already.
    :raises ClusterError: if the cluster does not answer, or refuses.
    """
    deployment = cluster.deployment()
    if deployment is None:
        raise ExactPodError(f"Deployment {DEPLOYMENT} is not there: look at the operator.")
    manifest = exact_delete_pod(
        deployment,
        image=image,
        purpose=purpose,
        window=window,
        kept_as=kept_as,
        seal=seal,
        deadline_seconds=deadline_seconds,
        list_seconds=START_SECONDS,
        nodes=nodes_for(deployment, cluster.pods()),
    )
    return create(cluster, manifest)


def wait_until_running(cluster: Cluster, uid: str, *, limit_seconds: float) -> None:
    """Return when its process can be given the list, or has ended.

    :raises PodGoneError: if it was deleted.
    :raises ExactPodError: if it does not run in that time: no room, no image.
    :raises ClusterError: if the cluster does not answer.
    """
    deadline, why = time.monotonic() + limit_seconds, ""
    while True:
        pod = _pod(cluster, uid)
        if pod is None:
            raise PodGoneError(f"Pod {EXACT_DELETE_POD} was deleted before it ran.")
        state = pod_state(pod)
        if state.phase in ("Running", "Succeeded", "Failed"):
            return
        why = state.waiting or state.phase or "no phase"
        if time.monotonic() > deadline:
            raise ExactPodError(
                f"Pod {EXACT_DELETE_POD} does not run after {format_seconds(limit_seconds)}: {why}. Can its image be "
                "pulled, and is there room for it on the nodes? Nothing was deleted."
            )
        time.sleep(_POLL_SECONDS)


class Follower:
    """Reads the pod's log from its beginning each time: it is short, and nothing has to be remembered in between.

    :param uid: of the pod: another one of its name is none of ours.
    :param take: gets each event once.
    """

    def __init__(self, cluster: Cluster, uid: str, take: Callable[[Event], None]) -> None:
        self._cluster = cluster
        self._uid = uid
        self._take = take
        self._taken = self._unread = 0
        self.begun: Begun | None = None
        self.ended: Ended | None = None

    def look(self) -> PodEnd | None:
        """Take what is new; how the pod ended, or None while it works.

        :raises ClusterError: if the cluster does not answer: nothing is known then, and the pod works on.
        """
        pod = _pod(self._cluster, self._uid)
        if pod is None:
            return PodEnd(ended=self.ended, why=f"Pod {EXACT_DELETE_POD} is gone.")
        over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") and not _runs(pod)
        readable = self._read()
        self._unread += over and not readable
        state = pod_state(pod)
        if state.running and not readable and state.silent():
            return PodEnd(
                ended=self.ended,
                why=f"The node of pod {EXACT_DELETE_POD} does not answer, so that nobody knows whether it works on: "
                "look at `oc get nodes`, and bring the node back or make sure that it is off.",
            )
        if not over or 0 < self._unread < _LOG_TRIES:
            return None
        return PodEnd(ended=self.ended, exit_status=_exit_status(pod), why=_why(pod))

    def follow(
        self,
        *,
        limit_seconds: float | None,
        tick: Callable[[], None] = lambda: None,
        patience_seconds: float | None = None,
    ) -> PodEnd | None:
        """Look again and again until it has ended; None after the limit, when it works still.

        :param limit_seconds: None: to its end.
        :param tick: called before each look; what it raises goes to the caller, and the pod works on.
        :param patience_seconds: how long the cluster may tell nothing; None: for ever.
        :raises ClusterError: after that time; the pod works on.
        """
        told = began = time.monotonic()
        while True:
            tick()
            try:
                end = self.look()
                told = time.monotonic()
            except ClusterError as error:
                if patience_seconds is not None and time.monotonic() - told > patience_seconds:
                    raise
                log.warning("Pod %s cannot be looked at, and works on: %s", EXACT_DELETE_POD, error)
                end = None
            if end is not None or (limit_seconds is not None and time.monotonic() - began > limit_seconds):
                return end
            time.sleep(_POLL_SECONDS if time.monotonic() - began < _QUICK_SECONDS else _LATER_POLL_SECONDS)

    def _read(self) -> bool:
        try:
            lines = self._cluster.pod_log(EXACT_DELETE_POD, follow=False, silence_seconds=_LOG_SILENCE_SECONDS)
            events = [event for _, line in lines if (event := parse_line(line)) is not None]
        except ClusterError as error:
            # A container that has not started has no log, nor has one whose node is lost.
            log.debug("The log of pod %s cannot be read: %s", EXACT_DELETE_POD, error)
            return False
        for event in events[self._taken :]:
            self._taken += 1
            if isinstance(event, Begun):
                self.begun = event
            if isinstance(event, Ended):
                self.ended = event
            self._take(event)
        return True


def clear_away(cluster: Cluster, uid: str) -> None:
    """End the pod, if it is there still: its log has been read, and the name is free again.

    :raises PrunerLivesError: if it cannot be seen gone.
    :raises ClusterError: if the cluster does not answer.
    """
    pod = exact_pod(cluster)
    if pod is not None and pod.uid == uid:
        end_exact_pod(cluster, pod)


def show_note(note: Note) -> None:
    """What the pod wants a person to read, in the log."""
    log.log(logging.WARNING if note.warning else logging.INFO, "%s | %s", EXACT_DELETE_POD, note.message)


def _window(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["annotations"][WINDOW_ANNOTATION])


def _pod(cluster: Cluster, uid: str) -> dict[str, Any] | None:
    return next((pod for pod in cluster.pods(EXACT_DELETE_LABEL) if pod["metadata"]["uid"] == uid), None)


def _runs(pod: Mapping[str, Any]) -> bool:
    """Whether a container works on: a pod whose deadline is over may be called failed before its end."""
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    return any((container.get("state") or {}).get("running") for container in containers)


def _exit_status(pod: Mapping[str, Any]) -> int | None:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        terminated = (container.get("state") or {}).get("terminated")
        if terminated:
            return int(terminated["exitCode"])
    return None


def _why(pod: Mapping[str, Any]) -> str:
    """Why Kubernetes ended it: Evicted, DeadlineExceeded, OOMKilled; empty if it ended by itself."""
    status = pod.get("status") or {}
    told = [f"{status.get('reason', '')}: {status.get('message', '')}".strip(": ")]
    for container in status.get("containerStatuses") or ():
        reason = ((container.get("state") or {}).get("terminated") or {}).get("reason", "")
        told += [reason] if reason not in ("", "Completed", "Error") else []
    return "; ".join(filter(None, told))
