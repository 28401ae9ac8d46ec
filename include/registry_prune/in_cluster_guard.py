"""The guard inside the cluster, for when Airflow itself is gone: ``python -m include.registry_prune.in_cluster_guard``.

Runs as the CronJob of ``deploy/guard.yaml``, knows nothing of Airflow, and closes a window when its lease has run out,
when it had to end by now, or when it takes pushes although its run has opened it. What it did, or could not do, an
Event on the Config CR tells, which ``oc describe`` shows.
"""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.settling import NotSettledError
from include.registry_prune.preflight.access import EVENTS, GUARD, Permission, missing_permissions
from include.registry_prune.pruner.processes import PrunerLivesError
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.units import parse_duration
from include.registry_prune.window.closing import ClosingLimits
from include.registry_prune.window.guard import guard, guard_to_the_end
from include.registry_prune.window.guard_round import Found
from include.registry_prune.window.lease import LeaseError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def main(arguments: list[str] | None = None) -> int:
    """One round of the guard.

    :return: exit status: 0 if nothing is wrong now, 1 if a window could not be closed, the cluster not be asked, or the
        account lacks a right that it needs to close one.
    """
    defaults = ClusterSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service-account-directory", type=Path, default=SERVICE_ACCOUNT)
    parser.add_argument("--period", type=parse_duration, default="5m", help="from one round to the next")
    for name in ("settle_limit", "pruner_stop", "reopen_anyway", "window_warning"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=parse_duration, default=getattr(defaults, name))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    limits = ClosingLimits(
        settle_seconds=options.settle_limit.total_seconds(),
        stop_seconds=options.pruner_stop.total_seconds(),
        reopen_anyway_seconds=options.reopen_anyway.total_seconds(),
    )
    try:
        cluster = Cluster.of_service_account(options.service_account_directory)
    except ClusterError as error:
        logging.critical("The guard could not do its work, the next round tries again: %s", error)
        return 1
    try:
        seen = guard_to_the_end(
            lambda: guard(cluster, limits=limits, run_is_over=lambda holder: False, warning=options.window_warning),
            warning=options.window_warning,
            within=options.period,
            warned=lambda late: logging.warning(late.message),
        )
    except (ClusterError, LeaseError, NotSettledError, PrunerLivesError) as error:
        problem = f"The guard could not do its work, the next round tries again: {error}"
        logging.critical(problem)
        _note_on_config(cluster, problem)
        _has_its_rights(cluster)
        return 1
    acted = seen.found in (Found.CLOSED, Found.DELETE_ENDED)
    logging.log(logging.WARNING if acted or seen.found is Found.UNEXPLAINED else logging.INFO, seen.message)
    if acted:
        _note_on_config(cluster, seen.message)
    return 0 if _has_its_rights(cluster) else 1


def _note_on_config(cluster: Cluster, text: str) -> None:
    """Tell it by an Event on the Config CR: who looks there need not know that there is a guard. Without one, the log
    alone tells."""
    try:
        cluster.note_on_config(
            name="registry-guard.guard", reason="RegistryPruneGuard", text=text, warns=True, at=datetime.now(UTC)
        )
    except ClusterError as error:
        logging.warning("No Event on Config cluster tells of it: %s", error)


def _has_its_rights(cluster: Cluster) -> bool:
    """Name what the account lacks, before a window is in need of it.

    :return: whether it may close a window; it may without Events.
    """
    try:
        missing = missing_permissions(cluster, GUARD)
        silent = missing_permissions(cluster, EVENTS)
    except ClusterError as error:
        logging.warning("Whether the guard has its rights is not known: %s", error)
        return True
    if missing:
        logging.critical(
            "The guard lacks %d of %d permissions, and may not be able to close a window. Add these rules "
            "(deploy/guard.yaml has all):%s", len(missing), len(GUARD), _rules(missing),
        )  # fmt: skip
    if silent:
        logging.warning(
            "The guard may not write Events: this log alone tells what it did. Add these rules (deploy/guard.yaml has "
            "all):%s", _rules(silent),
        )  # fmt: skip
    return not missing


def _rules(permissions: list[Permission]) -> str:
    return "".join(f"\n  - {permission.rule()}" for permission in permissions)


if __name__ == "__main__":
    sys.exit(main())
