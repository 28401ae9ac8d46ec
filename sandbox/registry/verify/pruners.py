"""Which pruners live: what a run must never leave behind, and never have two of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.base.proc_files import command_line, pod_processes

_PROGRAM = "/dockerregistry"
_FLAG = "-prune"


def is_pruner(words: list[str]) -> bool:
    """Whether a command line is that of the hard pruner itself, not of a shell that has it in a script."""
    programs = [index for index, word in enumerate(words) if word.endswith(_PROGRAM)]
    return any(word.lstrip("-").startswith(_FLAG[1:]) for index in programs for word in words[index + 1 :])


def pruner_processes(state_root: Path) -> list[dict[str, Any]]:
    """The hard pruners that run in the pods of a sandbox: pid, pod and command line of each."""
    found = []
    for pid, variables in sorted(pod_processes(state_root).items()):
        words = command_line(pid)
        if is_pruner(words):
            found.append({"pid": pid, "pod": variables.get("HOSTNAME", ""), "command": " ".join(words)})
    return found
