"""The pruner's integrity check, ``-restore-mode=check-database``: what its output means (pure).

It prints nothing when all is whole, else a line for each broken image on stdout, and exits 0 even then.
"""

from __future__ import annotations

import re
from typing import Literal

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.pruner.dockerregistry import KEPT_BROKEN, LineKind
from include.registry_prune.pruner.output import KEPT_LINES, understand
from include.registry_prune.records import Record

_BROKEN = ("Broken image ", "Broken imagestream tag ")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class IntegrityCheck(Record):
    """What one integrity check found.

    :param broken: the pruner's own lines about broken images, at most ``KEPT_BROKEN``.
    """

    version: Literal[1] = 1
    broken: tuple[str, ...] = ()
    broken_count: int = 0
    exit_status: int | None
    ended_how: str = ""
    errors: tuple[str, ...] = ()

    def problem(self) -> str | None:
        """Why the check says nothing, or None if it was carried out to its end."""
        if self.exit_status == 0:
            return None
        how = f"exit status {self.exit_status}" if self.exit_status is not None else self.ended_how
        return f"The integrity check did not come to its end ({how}): {'; '.join(self.errors) or 'no error was logged'}"

    def newly_broken(self, before: IntegrityCheck) -> tuple[str, ...]:
        """What is broken here and was not ``before``, as far as the lines were kept."""
        known = {_missing(line) for line in before.broken}
        new = tuple(line for line in self.broken if _missing(line) not in known)
        if not new and self.broken_count > max(len(self.broken), before.broken_count):
            return (f"{self.broken_count} lines about broken images, {before.broken_count} before",)
        return new


def _missing(line: str) -> str:
    """What a line says is missing: the last digest in it. Its tag and position change with every push."""
    digests: list[str] = _DIGEST.findall(line)
    return digests[-1] if digests else line


class IntegrityOutput:
    """Reads the output of one integrity check line by line."""

    def __init__(self) -> None:
        self._broken: list[str] = []
        self._broken_count = 0
        self._errors: list[str] = []

    def feed(self, stream: Stream, line: str) -> None:
        """Take one line, without its line end."""
        if stream is Stream.STDOUT and line.startswith(_BROKEN):
            self._broken_count += 1
            if len(self._broken) < KEPT_BROKEN:
                self._broken.append(line)
        elif stream is Stream.STDERR and len(self._errors) < KEPT_LINES:
            understood = understand(line)
            if understood.kind is LineKind.ERROR:
                self._errors.append(understood.subject)

    def result(self, exit_status: int | None, *, ended_how: str = "") -> IntegrityCheck:
        """The result, once the check has ended."""
        return IntegrityCheck(
            broken=tuple(self._broken),
            broken_count=self._broken_count,
            exit_status=exit_status,
            ended_how=ended_how,
            errors=tuple(self._errors),
        )
