"""The sandbox after a run: is the cluster as it was, is every image whole, how many orphans are left?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from sandbox.base.errors import SandboxError
from sandbox.base.paths import StateDirectory
from sandbox.registry.api import IMAGES, ApiClient, ApiFailureError
from sandbox.registry.storage.bucket import storage_of
from sandbox.registry.storage.sizes import bytes_size
from sandbox.registry.verify.verify_cluster import cluster_problems
from sandbox.registry.verify.verify_storage import StorageCheck

_TIMEOUT_SECONDS = 30.0


class SandboxDownError(SandboxError):
    """There is no sandbox to look at."""


@dataclass(frozen=True)
class VerifyReport:
    """What was found.

    :param problems: a line for each thing that is not as it has to be.
    :param orphans_left: blobs that no Image needs.
    :param orphaned_bytes_left: their bytes.
    :param images_checked: Images whose content the registry has to hold.
    :param digests_checked: blobs of those that were looked for and hashed.
    """

    problems: Sequence[str]
    orphans_left: int
    orphaned_bytes_left: int
    images_checked: int
    digests_checked: int

    @property
    def ok(self) -> bool:
        """Nothing is wrong. Orphans that are left are not wrong."""
        return not self.problems


def verify(state: StateDirectory) -> VerifyReport:
    """Look at a sandbox that is up, as its administrator.

    :raises SandboxDownError: there is none in that folder, or its API does not answer.
    """
    if not state.kubeconfig.exists() or not state.baseline.exists():
        raise SandboxDownError(f"no sandbox is up in {state.root}: start it with `python -m sandbox up`")
    storage = StorageCheck(storage_of(state))
    try:
        with closing(ApiClient.from_kubeconfig(state.kubeconfig, _TIMEOUT_SECONDS)) as api:
            problems = list(cluster_problems(api, state))
            storage.check(api.list(IMAGES))
    except ApiFailureError as error:
        raise SandboxDownError(f"the sandbox in {state.root} does not answer: {error}") from error
    orphans, size = storage.orphans()
    return VerifyReport(
        problems=tuple(problems + storage.problems),
        orphans_left=orphans,
        orphaned_bytes_left=size,
        images_checked=storage.images_checked,
        digests_checked=storage.digests_checked,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m sandbox verify``: none of its own."""


def run(arguments: argparse.Namespace, state: StateDirectory) -> int:
    """Run ``python -m sandbox verify``.

    :returns: 0 all is well, 1 something is not, 2 there is no sandbox.
    """
    try:
        report = verify(state)
    except SandboxDownError as error:
        print(error, file=sys.stderr)
        return 2
    for problem in report.problems:
        print(f"PROBLEM {problem}")
    print(
        f"{report.images_checked} images checked, {report.digests_checked} blobs hashed, "
        f"{len(report.problems)} problems"
    )
    print(f"orphans left: {report.orphans_left} ({bytes_size(report.orphaned_bytes_left)})")
    return 0 if report.ok else 1
