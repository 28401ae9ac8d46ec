"""Waiting for the end of a process itself, whoever still holds its output open."""

from __future__ import annotations

import asyncio
import os

_REAP_INTERVAL_SECONDS = 0.002


def exit_code_of(return_code: int) -> int:
    """The exit code as a container runtime reports it: 128 + n for a process that signal n has ended."""
    return 128 - return_code if return_code < 0 else return_code


async def wait_for_exit(process: asyncio.subprocess.Process) -> int:
    """The exit code of a process as soon as it has ended.

    ``Process.wait`` of Python 3.11 returns only when its pipes are closed too; a child that it leaves behind
    keeps them open (https://github.com/python/cpython/issues/119710).
    """
    if process.returncode is None:
        await _signalled(process.pid)
    while process.returncode is None:  # noqa: ASYNC110 - asyncio tells nobody that it has reaped a child
        await asyncio.sleep(_REAP_INTERVAL_SECONDS)
    return exit_code_of(process.returncode)


async def _signalled(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
