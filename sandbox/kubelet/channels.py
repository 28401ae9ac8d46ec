"""The remote command protocol: binary WebSocket messages whose first byte is a channel.

Source: ``k8s.io/apimachinery/pkg/util/remotecommand/constants.go``.
"""

from __future__ import annotations

import json
from typing import Any

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CLOSING_PROTOCOL = PROTOCOLS[0]
"""The one in which a client can close a single channel."""

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255
"""v5: the next byte names the channel that the client will not write to any more."""


def exit_status(command: list[str], exit_code: int) -> bytes:
    """The last message on the error channel of a command that ran to its end."""
    if exit_code == 0:
        return _encoded({"metadata": {}, "status": "Success"})
    return _encoded(
        {
            "metadata": {},
            "status": "Failure",
            "message": "command terminated with non-zero exit code: "
            f"error executing command [{' '.join(command)}], exit code {exit_code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
        }
    )


def not_started(command: list[str], cause: str) -> bytes:
    """The message on the error channel when the runtime could not start the command."""
    message = (
        f'error executing command in container: failed to exec in container: exec: "{command[0]}": {cause}: unknown'
    )
    return _encoded(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"Internal error occurred: {message}",
            "reason": "InternalError",
            "details": {"causes": [{"message": message}]},
            "code": 500,
        }
    )


def _encoded(status: dict[str, Any]) -> bytes:
    return json.dumps(status, separators=(",", ":")).encode()
