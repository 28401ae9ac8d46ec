"""What an alert says, and which incident it belongs to (pure)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime

from include.registry_prune.records import Record
from include.registry_prune.settings.alerting import AlertKind

FIRES_FOR = timedelta(days=7)
"""An incident that nobody resolves is over for Alertmanager after this time."""


class Incident(StrEnum):
    """What several alerts are about: a person sees one message of each."""

    WINDOW = "window"
    """The registry is read-only, and will be so for too long perhaps."""
    RESTORE = "restore"
    RUN = "run"
    GUARD = "guard"
    """The guard could not do its work."""
    UNEXPLAINED = "unexplained"
    IMAGES = "images"
    TOKEN = "token"  # noqa: S105  a name, and no secret
    BACKLOG = "backlog"
    APPROVAL = "approval"


class Status(StrEnum):
    """Where an incident is."""

    FIRING = "firing"
    RESOLVED = "resolved"
    SAID = "said"
    """There is nothing to resolve: something was done."""


@dataclass(frozen=True)
class Facts:
    """What is the same for all alerts of a kind.

    :param incident: that it begins, or goes on with; None: nothing is to be resolved later.
    :param resolves: incidents that are over with it.
    :param runbook: the page below ``docs/runbooks``.
    """

    level: int
    next_step: str
    runbook: str
    incident: Incident | None = None
    resolves: tuple[Incident, ...] = ()

    @property
    def severity(self) -> str:
        """In Prometheus's words."""
        return {logging.CRITICAL: "critical", logging.ERROR: "warning", logging.WARNING: "warning"}.get(
            self.level, "info"
        )


_OPEN = (Incident.WINDOW, Incident.RESTORE)
FACTS: dict[AlertKind, Facts] = {
    AlertKind.READ_ONLY: Facts(
        logging.WARNING,
        "Nothing has to be done. Pushes and builds fail until then; start them again afterwards.",
        "read-only",
        Incident.WINDOW,
    ),
    AlertKind.READ_WRITE: Facts(
        logging.INFO, "Start builds again whose push failed: the run's report lists them.", "read-only", resolves=_OPEN
    ),
    AlertKind.PRUNED: Facts(
        logging.INFO,
        "Nothing has to be done. If the report lists builds whose push failed, start them again.",
        "run",
        resolves=(Incident.RUN, Incident.APPROVAL),
    ),
    AlertKind.SLICE: Facts(
        logging.INFO,
        "Nothing has to be done: the next run goes on with what is left.",
        "run",
        resolves=(Incident.RUN, Incident.APPROVAL),
    ),
    AlertKind.SKIPPED: Facts(
        logging.INFO, "Nothing has to be done.", "run", resolves=(Incident.RUN, Incident.APPROVAL)
    ),
    AlertKind.STOPPED: Facts(
        logging.ERROR,
        "Nothing was deleted. Look whether the figure can be right; if so, let one run pass the ceiling by its name.",
        "stopped-at-a-ceiling",
        Incident.RUN,
    ),
    AlertKind.RUN_FAILED: Facts(
        logging.ERROR,
        "Read the log of the first red task: it says what is wrong, on which object, and what to do. The registry "
        "takes pushes, unless a restore failed came too.",
        "run-failed",
        Incident.RUN,
    ),
    AlertKind.END_NOT_KNOWN: Facts(
        logging.ERROR,
        "Read the report. A run with dry_run_only shows what is left; the next run goes on from there.",
        "run-failed",
        Incident.RUN,
    ),
    AlertKind.RESTORE_FAILED: Facts(
        logging.CRITICAL,
        "Remove the cause (API server, operator, a pod's node). If neither the run nor the guard can close the window, "
        "close it by hand.",
        "restore-failed",
        Incident.RESTORE,
    ),
    AlertKind.WINDOW_ENDING: Facts(
        logging.WARNING,
        "Nothing has to be done: the guard closes the window at its end. See why the run is late.",
        "read-only",
        Incident.WINDOW,
    ),
    AlertKind.GUARD: Facts(
        logging.CRITICAL,
        "Find out why the run died: Airflow was down, the DAG paused, its file broken. Start the builds again that "
        "failed meanwhile.",
        "guard",
        resolves=_OPEN,
    ),
    AlertKind.IMAGE_LOST: Facts(
        logging.CRITICAL,
        "Push or import the named image again. Pause the DAG until it is known why its blob was taken for an orphan.",
        "images",
        Incident.IMAGES,
    ),
    AlertKind.IMAGES_BROKEN: Facts(
        logging.CRITICAL,
        "Push or import the named images again. Pause the DAG until it is known why they broke.",
        "images",
        Incident.IMAGES,
    ),
    AlertKind.TOKEN_ENDING: Facts(
        logging.WARNING,
        "Make a new token and put it into the Airflow connection, while no run is at work (docs/connection.md).",
        "token",
        Incident.TOKEN,
    ),
    AlertKind.BACKLOG: Facts(
        logging.WARNING,
        "See in the reports why the runs do not delete what they find: thresholds, opening hours, builds, a ceiling.",
        "backlog",
        Incident.BACKLOG,
    ),
    AlertKind.APPROVAL: Facts(
        logging.WARNING, "Answer it in Airflow, or leave it: the default answer counts in the end.", "approval",
        Incident.APPROVAL,
    ),
    AlertKind.TEST: Facts(logging.INFO, "Nothing has to be done: somebody tried this channel.", "alerts"),
}  # fmt: skip
GUARD_FAILED = Facts(
    logging.CRITICAL,
    "If a lease has run out, the registry is still read-only: take the first look. A 401 says that the connection's "
    "token has expired.",
    "guard",
    Incident.GUARD,
)
UNEXPLAINED = Facts(
    logging.CRITICAL,
    "If it is maintenance, leave it. If nobody wants it, set spec.readOnly back to false.",
    "guard",
    Incident.UNEXPLAINED,
)


class Message(Record):
    """One alert, as every channel takes it.

    :param text: what is known.
    :param runbook: where it stands what to do, as a URL or a path in this project.
    :param until: of a window: when it has to end.
    :param resolves: incidents that are over with it.
    """

    version: Literal[1] = 1
    kind: AlertKind
    status: Status
    severity: str
    cluster: str
    dag_id: str
    run_id: str = ""
    run_url: str = ""
    text: str
    next_step: str
    runbook: str
    at: AwareDatetime
    until: AwareDatetime | None = None
    incident: Incident | None = None
    resolves: tuple[Incident, ...] = ()
    report: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """One line."""
        resolved = "resolved: " if self.status is Status.RESOLVED else ""
        return f"Registry of {self.cluster}: {resolved}{self.kind}"

    def full_text(self) -> str:
        """What is known, what to do next, and where there is more."""
        next_step = "" if self.status is Status.RESOLVED else f"Next: {self.next_step}"
        run = f"Run: {self.run_url or self.run_id}" if self.run_id else ""
        return "\n".join(filter(None, (self.text, next_step, run, f"Runbook: {self.runbook}")))

    def resolution(self, of: Message) -> Message:
        """That an earlier message's incident is over with this one."""
        return of.model_copy(
            update={"status": Status.RESOLVED, "at": self.at, "text": f"Over: {of.kind}. {self.text}", "report": None}
        )

    def body(self) -> dict[str, Any]:
        """As the JSON that is posted."""
        names = (
            "cluster",
            "dag_id",
            "run_id",
            "text",
            "report",
            "status",
            "incident",
            "next_step",
            "run_url",
            "runbook",
        )
        return {"alert": self.kind.value, **{name: self.to_json()[name] for name in names}}
